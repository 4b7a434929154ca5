// Who calls, and whether the node can be reached: what every call reads and reports.
import { effect, signal } from "@preact/signals";
import { keep, kept } from "./storage";

const KEPT = "token";

/** The token that calls carry; empty for none. Kept for this tab only. */
export const token = signal(kept("tab", KEPT) ?? "");

effect(() => {
  keep("tab", KEPT, token.value || undefined);
});

/** Whether the node wants a token: not that we know, it asked for one, or it does not know the one it got. */
export const access = signal<"open" | "asked" | "unknown">("open");

/** Whether the latest call reached the node. */
export const link = signal<"unknown" | "up" | "down">("unknown");

/** Takes a token that was typed in; what waits for one goes on. */
export function enter(typed: string): void {
  token.value = typed.trim();
  access.value = "open";
}
