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
      if (problem.reason === "UNAUTHENTICATED") await pause(undefined, stop, tokenChanges(tried));
      else {
        const whenUp = problem.kind === "lost" && link.peek() === "down" ? nodeIsUp : undefined;
        await pause(Math.max(pauseMs(trial), (problem.retrySeconds ?? 0) * 1000), stop, whenUp);
      }
    }
  }
}

/** Has `wake` called once there is something to wake for; what it returns ends that. */
export type Waker = (wake: () => void) => () => void;

/** Waits for `ms`, without it for ever; not longer than until `waker` wakes it. */
export function pause(ms: number | undefined, stop: AbortSignal, waker?: Waker): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stop.aborted) return reject(stop.reason);
    const ended: (() => void)[] = [];
    const end = (then: () => void) => {
      ended.forEach((each) => each());
      then();
    };
    const timer = ms === undefined ? undefined : setTimeout(() => end(resolve), ms);
    const stopped = () => end(() => reject(stop.reason));
    stop.addEventListener("abort", stopped);
    ended.push(() => clearTimeout(timer), () => stop.removeEventListener("abort", stopped));
    // A waker may wake at once, before there is anything to end it by.
    if (waker) ended.push(waker(() => queueMicrotask(() => end(resolve))));
  });
}

/** Another call has found the node. */
const nodeIsUp: Waker = (wake) => link.subscribe((now) => now === "up" && wake());

/** Another token than the one that was tried is there, or the node wants none. */
const tokenChanges = (tried: string): Waker => (wake) => {
  const look = () => void ((access.peek() === "open" || token.peek() !== tried) && wake());
  const leaves = [access.subscribe(look), token.subscribe(look)];
  return () => leaves.forEach((each) => each());
};
