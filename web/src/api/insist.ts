// Repeats a call until the node answers it: over lost connections, restarts, rates, and until a token is typed in.
import { passes, problemOf, type Problem } from "./problem";
import { access, link, token } from "./session";

const FIRST_MS = 300;
const LONGEST_MS = 5000;

/** How long to wait before trial `n`, counted from 0: longer every time, never in step with other tabs. */
export function pauseMs(n: number, random = Math.random()): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(n, 10)) * (0.75 + random / 2);
}

/** Runs `call` until it succeeds, is stopped, or fails for a reason that waiting does not mend. */
export async function insist<T>(
  call: () => Promise<T>,
  stop: AbortSignal,
  waiting: (problem: Problem | undefined) => void = () => {},
): Promise<T> {
  for (let trial = 0; ; trial++) {
    stop.throwIfAborted();
    const tried = token.peek();
    try {
      const answer = await call();
      if (trial > 0) waiting(undefined);
      return answer;
    } catch (thrown) {
      stop.throwIfAborted();
      const problem = problemOf(thrown);
      if (!passes(problem)) throw thrown;
      waiting(problem);
      if (problem.reason === "UNAUTHENTICATED") await tokenChanges(tried, stop);
      else await pause(Math.max(pauseMs(trial), (problem.retrySeconds ?? 0) * 1000), problem.kind === "lost", stop);
    }
  }
}

/** Waits; not longer than until another call has found the node, where that is what is waited for. */
export function pause(ms: number, untilUp: boolean, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended: (() => void)[] = [];
    const end = (then: () => void) => {
      ended.forEach((each) => each());
      then();
    };
    const timer = setTimeout(() => end(resolve), ms);
    const stopped = () => end(() => reject(stop.reason));
    stop.addEventListener("abort", stopped);
    ended.push(() => clearTimeout(timer), () => stop.removeEventListener("abort", stopped));
    if (untilUp && link.peek() === "down") {
      ended.push(link.subscribe((now) => now === "up" && queueMicrotask(() => end(resolve))));
    }
  });
}

function tokenChanges(tried: string, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let leave = () => {};
    const stopped = () => {
      leave();
      reject(stop.reason);
    };
    stop.addEventListener("abort", stopped);
    const look = () => {
      if (access.peek() !== "open" && token.peek() === tried) return;
      queueMicrotask(() => {
        leave();
        stop.removeEventListener("abort", stopped);
        resolve();
      });
    };
    const leaves = [access.subscribe(look), token.subscribe(look)];
    leave = () => leaves.forEach((each) => each());
  });
}
