// Which tabs may keep a stream open, where a browser refuses its locks.
import { afterEach, expect, test, vi } from "vitest";
import { inPlace } from "../src/api/places";

const never = new AbortController().signal;

/** A tab in sight, of a browser whose Web Locks answer so. */
function tabWith(request: (name: string, options: object, then: (lock: object | null) => unknown) => Promise<unknown>) {
  vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }));
  vi.stubGlobal("navigator", { locks: { request } });
}

afterEach(() => vi.unstubAllGlobals());

test("a tab that is refused its locks has a place", async () => {
  tabWith(() => Promise.reject(new DOMException("no data of sites", "SecurityError")));
  let ran = 0;
  expect(await inPlace(async () => void ran++, never)).toBe(true);
  expect(ran).toBe(1);
});

test("what goes wrong in a place is told, and not tried again", async () => {
  tabWith(async (_name, _options, then) => then({}));
  let ran = 0;
  const failing = async () => {
    ran++;
    throw new Error("of the stream");
  };
  await expect(inPlace(failing, never)).rejects.toThrow("of the stream");
  expect(ran).toBe(1);
});

test("a tab without a place is told so", async () => {
  const asked: string[] = [];
  tabWith(async (name, _options, then) => (asked.push(name), then(null)));
  let ran = 0;
  expect(await inPlace(async () => void ran++, never)).toBe(false);
  expect([ran, asked]).toEqual([0, ["ltxd.stream.0", "ltxd.stream.1", "ltxd.stream.2"]]);
});
