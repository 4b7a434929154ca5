// Given pictures outlive a reload: kept for this tab until a clip of them is asked for, they are removed, or a day has passed.
import { effect } from "@preact/signals";
import { newId } from "../api/id";
import { shelve, shelved, type Shelved } from "../api/shelf";
import { keep, kept } from "../api/storage";
import type { Place } from "./choose";
import { end, put, start } from "./form";
import { Picture } from "./picture";

const KEPT = "tab";
const PLACES: [Place, typeof start][] = [["start", start], ["end", end]];
const tab = kept("tab", KEPT) ?? newId();

// One at a time, in the order that they were wanted in.
let latest: Promise<unknown> = Promise.resolve();

/**
 * A tab that is made from this one begins with a copy of its storage: the id is in there only while the page is out of sight, as
 * it is before a reload, and before a browser discards it.
 */
function holdId(): void {
  const hold = () => keep("tab", KEPT, document.hidden ? tab : undefined);
  hold();
  document.addEventListener("visibilitychange", hold);
  addEventListener("pageshow", hold);
  addEventListener("pagehide", () => keep("tab", KEPT, tab));
}

/** Brings back the pictures that were in the form, and keeps those that come; `data-kept` of the document says that they are back. */
export async function beginKeeping(): Promise<void> {
  holdId();
  let known = await shelved(tab);
  for (const [place, field] of PLACES) {
    const found = known[place];
    const picture = found && !field.peek() ? await Picture.open(found.file, found.name) : undefined;
    if (!picture) continue;
    // Somebody may have chosen one meanwhile.
    if (field.peek()) picture.drop();
    else put(place, picture);
  }
  effect(() => {
    const files: Record<string, Shelved> = {};
    for (const [place, { value }] of PLACES) if (value) files[place] = { name: value.name, file: value.file };
    if (PLACES.every(([place]) => files[place]?.file === known[place]?.file)) return;
    known = files;
    latest = latest.then(() => shelve(tab, files));
  });
  document.documentElement.dataset["kept"] = "";
}

/** Forgets what is kept: it was sent, or whoever chose it has left. What is in the form stays there. */
export function forgetKept(): void {
  latest = latest.then(() => shelve(tab, {}));
}
