// Files that a person chose, dropped or pasted become pictures in their places.
import { signal } from "@preact/signals";
import { text } from "../text";
import { end, form, put, start } from "./form";
import { node } from "./node";
import { Picture } from "./picture";
import { say } from "./say";

export type Place = "start" | "end";

/** Why a file was not taken, by place. */
export const untaken = signal<Record<Place, string>>({ start: "", end: "" });

/** Takes files: one into `place` or where one is missing, two as start and end. */
export async function take(files: readonly File[], place?: Place): Promise<void> {
  const [first, second, ...others] = files;
  if (!first) return;
  if (second && !place) {
    form.method.value = "ends";
    await Promise.all([takeOne(first, "start"), takeOne(second, "end")]);
    if (others.length > 0) leaveOut(others, "end");
    return;
  }
  const free: Place = form.method.peek() === "ends" && start.peek() && !end.peek() ? "end" : "start";
  await takeOne(first, place ?? free);
}

async function takeOne(file: File, place: Place): Promise<void> {
  const t = text.peek();
  const most = Number(node.peek()?.limits?.imageBytes ?? Infinity);
  const name = file.name || "image.png";
  const tooLarge = file.size > most;
  const picture = tooLarge ? undefined : await Picture.open(file, name);
  const why = picture ? "" : tooLarge ? t.tooLarge(name, t.units.bytes(most)) : t.notAnImage(name);
  untaken.value = { ...untaken.peek(), [place]: why };
  if (picture) put(place, picture);
  else say(why);
}

/** Says that there were more files than a clip takes. */
function leaveOut(files: File[], place: Place): void {
  const why = text.peek().tooMany(files.map(({ name }) => name).join(", "));
  untaken.value = { ...untaken.peek(), [place]: [untaken.peek()[place], why].filter(Boolean).join(" ") };
  say(why);
}

/** Images among what is dropped or pasted. */
export function filesOf(data: DataTransfer | null): File[] {
  return [...(data?.files ?? [])];
}
