// The client's generations, newest first, page by page as they are scrolled to; the newest are looked at again and again.
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { batch, effect, signal } from "@preact/signals";
import { calls } from "../api/calls";
import { insist } from "../api/insist";
import { problemOf, type Problem } from "../api/problem";
import { token } from "../api/session";
import { GenerationState, Method, type Generation } from "../gen/ltx/v1/generation_pb";

const PAGE = 100;
const EVERY_MS = 2500;

export type States = "all" | "going" | "done" | "failed" | "cancelled";
export const STATES: Record<States, GenerationState[]> = {
  all: [],
  going: [GenerationState.QUEUED, GenerationState.RUNNING],
  done: [GenerationState.DONE],
  failed: [GenerationState.FAILED],
  cancelled: [GenerationState.CANCELLED],
};

/** What is shown of them; days are the reader's own, as YYYY-MM-DD. */
export type Filter = { states: States; method: Method; model: string; text: string; from: string; to: string };
export const EVERYTHING: Filter = { states: "all", method: Method.UNSPECIFIED, model: "", text: "", from: "", to: "" };

export const filter = signal<Filter>(EVERYTHING);
export const items = signal<Generation[]>([]);
/** Where the next page begins; empty on the last. */
export const nextPage = signal("");
export const loaded = signal(false);
export const fetching = signal(false);
export const unlisted = signal<Problem | undefined>();

let stop = new AbortController();
let timer: ReturnType<typeof setTimeout> | undefined;

/** Shows the list while the gallery is open; begins again whenever filter or client change. */
export function beginListing(): () => void {
  const leave = effect(() => {
    filter.value;
    token.value;
    begin();
  });
  return () => {
    leave();
    stop.abort();
    clearTimeout(timer);
  };
}

function begin(): void {
  stop.abort();
  clearTimeout(timer);
  stop = new AbortController();
  fetching.value = false;
  batch(() => {
    loaded.value = false;
    unlisted.value = undefined;
  });
  void look(stop.signal, true);
}

/** Day boundaries are the reader's own. */
function queryOf({ states, method, model, text, from, to }: Filter) {
  const day = (text: string, plus: number) => {
    const [y, m, d] = text.split("-").map(Number);
    return timestampFromDate(new Date(y!, m! - 1, d! + plus));
  };
  return {
    pageSize: PAGE,
    states: STATES[states],
    method,
    model,
    text,
    ...(from && { createdFrom: day(from, 0) }),
    ...(to && { createdBefore: day(to, 1) }),
  };
}

/** Looks at the newest page; `anew` drops what was there. */
async function look(stopped: AbortSignal, anew: boolean): Promise<void> {
  try {
    const query = queryOf(filter.peek());
    const answer = await insist(
      () => calls.generations.listGenerations(query, { signal: stopped }),
      stopped,
      (problem) => (unlisted.value = problem),
    );
    batch(() => {
      const kept = anew ? [] : items.peek();
      items.value = merge(answer.generations, kept, answer.nextPageToken !== "");
      if (anew || !answer.nextPageToken) nextPage.value = answer.nextPageToken;
      loaded.value = true;
      unlisted.value = undefined;
    });
  } catch (thrown) {
    if (!stopped.aborted) unlisted.value = problemOf(thrown);
  }
  if (!stopped.aborted) timer = setTimeout(() => look(stopped, !loaded.peek()), document.hidden ? EVERY_MS * 4 : EVERY_MS);
}

/** The newest page over what was there: what is older than it stays, what is gone from it is gone. */
export function merge(page: Generation[], kept: Generation[], more: boolean): Generation[] {
  const oldest = page.at(-1);
  if (!more || !oldest) return page;
  return [...page, ...kept.filter(({ id }) => id < oldest.id)];
}

/** Fetches the next page, where there is one and none is on its way. */
export async function fetchMore(): Promise<void> {
  const pageToken = nextPage.peek();
  if (!pageToken || fetching.peek()) return;
  fetching.value = true;
  const { signal: stopped } = stop;
  try {
    const query = { ...queryOf(filter.peek()), pageToken };
    const answer = await insist(() => calls.generations.listGenerations(query, { signal: stopped }), stopped);
    batch(() => {
      const here = new Set(items.peek().map(({ id }) => id));
      items.value = [...items.peek(), ...answer.generations.filter(({ id }) => !here.has(id))];
      nextPage.value = answer.nextPageToken;
    });
  } catch (thrown) {
    if (!stopped.aborted) unlisted.value = problemOf(thrown);
  }
  if (!stopped.aborted) fetching.value = false;
}
