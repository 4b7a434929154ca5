// Given pictures outlive a reload: kept for this tab until the clip is asked for, they are removed, or a day has passed.
import { effect } from "@preact/signals";
import { shelve, shelved, type Shelved } from "../api/shelf";
import { keep, kept } from "../api/storage";
import { newRequestId } from "./asking";
import type { Place } from "./choose";
import { end, put, start } from "./form";
import { Picture } from "./picture";

const KEPT = "tab";
const PLACES: [Place, typeof start][] = [["start", start], ["end", end]];
const tab = kept("tab", KEPT) ?? newRequestId();
keep("tab", KEPT, tab);

// One at a time, in the order that they were wanted in.
let latest: Promise<unknown> = Promise.resolve();

/** Brings back the pictures that were in the form, and keeps those that come. */
export async function beginKeeping(): Promise<void> {
  const before = await shelved(tab);
  for (const [place, field] of PLACES) {
    const found = before[place];
    const picture = found && !field.peek() ? await Picture.open(found.file, found.name) : undefined;
    if (picture && !field.peek()) put(place, picture);
  }
  effect(() => {
    const files: Record<string, Shelved> = {};
    for (const [place, { value }] of PLACES) if (value) files[place] = { name: value.name, file: value.file };
    latest = latest.then(() => shelve(tab, files));
  });
}

/** Forgets what is kept: it was sent, or whoever chose it has left. What is in the form stays there. */
export function forgetKept(): void {
  latest = latest.then(() => shelve(tab, {}));
}
