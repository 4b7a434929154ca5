// A clip that is open in a tab that has no place to follow it at first.
import { createRouterTransport } from "@connectrpc/connect";
import { effect, type Signal } from "@preact/signals";
import { afterEach, expect, test, vi } from "vitest";
import { clientsOver, replaceCalls } from "../src/api/calls";
import { GenerationState } from "../src/gen/ltx/v1/generation_pb";
import { GenerationService } from "../src/gen/ltx/v1/generation_service_pb";
import { glanced, live, open, opened } from "../src/state/open";

const ID = "01a228a1-0000-7000-8000-000000000000";
const until = <T>(signal: Signal<T>, holds: (value: T) => boolean) =>
  new Promise<void>((resolve) => {
    const leave: () => void = effect(() => {
      if (holds(signal.value)) queueMicrotask(() => (leave(), resolve()));
    });
  });

/** A tab, in sight or not; `free` says whether it finds a place. */
function tab(hidden: boolean) {
  const found = { free: false, document: Object.assign(new EventTarget(), { hidden }) };
  const request = async (_name: string, _options: object, then: (lock: object | null) => unknown) => then(found.free ? {} : null);
  vi.stubGlobal("document", found.document);
  vi.stubGlobal("navigator", { locks: { request } });
  return found;
}

/** A node whose clip runs, another event behind it whenever it is looked at; after `looks` of them it has ended. */
function nodeWith(looks: number) {
  const asked = { looks: 0, resumed: [] as bigint[] };
  replaceCalls(
    clientsOver(
      createRouterTransport(({ rpc }) => {
        rpc(GenerationService.method.getGeneration, () => {
          const state = ++asked.looks > looks ? GenerationState.CANCELLED : GenerationState.RUNNING;
          return { generation: { id: ID, state, lastEvent: BigInt(asked.looks) } };
        });
        rpc(GenerationService.method.watchGeneration, async function* ({ resumeAfter }) {
          asked.resumed.push(resumeAfter);
          yield { news: { case: "event" as const, value: { number: resumeAfter + 1n, event: { case: "cancelled" as const, value: {} } } } };
        });
      }),
    ),
  );
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

test("following goes on behind what was looked at", async () => {
  const there = tab(false);
  const asked = nodeWith(2);
  const leave = open(ID);
  await until(glanced, (now) => now);
  live.value = { ...live.peek()!, cancelling: true };
  there.free = true;
  there.document.dispatchEvent(new Event("visibilitychange"));
  await until(opened, (now) => now?.state === GenerationState.CANCELLED);
  expect(asked.resumed).toEqual([2n]);
  expect(live.peek()).toMatchObject({ state: GenerationState.CANCELLED, cancelling: true });
  leave();
});

test("a clip that ends while it is looked at is fetched once", async () => {
  const there = tab(false);
  const asked = nodeWith(1);
  const leave = open(ID);
  await until(glanced, (now) => now);
  there.document.dispatchEvent(new Event("visibilitychange"));
  await until(live, (now) => now?.state === GenerationState.CANCELLED);
  await new Promise((done) => setTimeout(done));
  expect(asked).toEqual({ looks: 2, resumed: [] });
  leave();
});

test("a tab out of sight says nothing of other tabs, and a clip that is left is looked at no more", async () => {
  const there = tab(true);
  const asked = nodeWith(Infinity);
  const leave = open(ID);
  await until(live, (now) => now !== undefined);
  await new Promise((done) => setTimeout(done));
  expect(glanced.peek()).toBe(false);
  leave();
  there.document.dispatchEvent(new Event("visibilitychange"));
  await new Promise((done) => setTimeout(done));
  expect(asked).toEqual({ looks: 1, resumed: [] });
});
