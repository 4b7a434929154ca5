// The generation that is open: fetched, then followed; a tab follows one at a time, or looks at it now and then where other tabs
// follow theirs.
import { batch, signal } from "@preact/signals";
import { calls } from "../api/calls";
import { insist, pause } from "../api/insist";
import { inPlace, seen } from "../api/places";
import { problemOf, type Problem } from "../api/problem";
import { follow } from "../api/watch";
import type { Generation } from "../gen/ltx/v1/generation_pb";
import { after, isFinal, liveOf, type Live } from "./live";

/** The record; what is in it beside the spec may be older than `live`. */
export const opened = signal<Generation | undefined>();
export const live = signal<Live | undefined>();
/** Why it cannot be shown. */
export const missing = signal<Problem | undefined>();
/** Why it is not heard of just now. */
export const unheard = signal<Problem | undefined>();

/** Whether it is looked at now and then, because other tabs keep the connections that there are for following. */
export const glanced = signal(false);

const EVERY_MS = 2500;

// What was seen of generations that were open before: coming back goes on behind their last event.
const before = new Map<string, Live>();

/** Opens a generation, and follows it until it ends or the returned function is called. */
export function open(id: string): () => void {
  const stop = new AbortController();
  batch(() => {
    opened.value = missing.value = unheard.value = undefined;
    glanced.value = false;
    live.value = before.get(id);
  });
  run(id, stop.signal).catch((thrown: unknown) => {
    if (!stop.signal.aborted) missing.value = problemOf(thrown);
  });
  return () => stop.abort();
}

async function run(id: string, stop: AbortSignal): Promise<void> {
  const fetch = async () => {
    const answer = await insist(() => calls.generations.getGeneration({ id }, { signal: stop }), stop, wait);
    opened.value = answer.generation;
    return answer.generation;
  };
  const wait = (problem: Problem | undefined) => (unheard.value = problem);
  const found = await fetch();
  if (!found) return;
  const known = before.get(id);
  live.value = known && !isFinal(found.state) ? known : liveOf(found);
  if (isFinal(found.state)) return;
  const hear = (news: Parameters<typeof after>[1]) => {
    const now = after(live.peek() ?? liveOf(found), news);
    before.set(id, now);
    live.value = now;
    if (now.done) opened.value = now.done;
  };
  for (;;) {
    const followed = await inPlace((leave) => {
      glanced.value = false;
      return follow(id, before.get(id)?.seen ?? 0n, leave, hear, wait);
    }, stop);
    if (followed) break;
    stop.throwIfAborted();
    // A tab out of sight may be the only one.
    glanced.value = !document.hidden;
    await pause(document.hidden ? EVERY_MS * 4 : EVERY_MS, stop, seen);
    const now = await fetch();
    if (!now) continue;
    // Following goes on behind what was looked at.
    const { preview, cancelling = false } = live.peek() ?? {};
    const looked: Live = { ...liveOf(now), seen: now.lastEvent, preview, cancelling };
    before.set(id, looked);
    live.value = looked;
    if (isFinal(now.state)) return void before.delete(id);
  }
  before.delete(id);
  await fetch();
}

/** Fetches the record again: something was done to it. */
export async function refresh(id: string): Promise<void> {
  try {
    const { generation } = await calls.generations.getGeneration({ id });
    if (generation && opened.peek()?.id === id) opened.value = generation;
  } catch (thrown) {
    if (opened.peek()?.id === id) missing.value = problemOf(thrown);
  }
}
