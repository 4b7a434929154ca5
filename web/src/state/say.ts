// What is said to screen readers besides what stands on the page.
import { signal } from "@preact/signals";

export const said = signal("");

/** Says a sentence; the same one twice is said twice. */
export function say(sentence: string): void {
  said.value = said.peek() === sentence ? `${sentence}\u00a0` : sentence;
}
