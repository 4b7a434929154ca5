// Which tabs may keep a stream open. Over HTTP/1.1 a browser opens six connections to a node, all tabs together; streams that
// took them all would leave none for calls.
import type { Waker } from "./insist";

const PLACES = 3;

/** Whether one connection carries as many calls as there are: HTTP/2 or 3, which browsers speak over TLS alone. */
function shared(): boolean {
  const [opened] = globalThis.performance?.getEntriesByType?.("navigation") ?? [];
  return /^h[23]/.test((opened as PerformanceNavigationTiming | undefined)?.nextHopProtocol ?? "");
}

/**
 * Runs `stream` while this tab has a place for it; false when there is none, or it was given up because the tab is out of
 * sight. A browser without Web Locks, as on plain HTTP beyond loopback, or that refuses them, as where it keeps nothing of a
 * site, gives a place to every tab in sight.
 */
export async function inPlace(stream: (stop: AbortSignal) => Promise<void>, stop: AbortSignal): Promise<boolean> {
  stop.throwIfAborted();
  if (shared() || !globalThis.document) return stream(stop).then(() => true);
  if (document.hidden) return false;
  const leave = new AbortController();
  const over = new AbortController();
  stop.addEventListener("abort", () => leave.abort(stop.reason), { signal: over.signal });
  document.addEventListener("visibilitychange", () => document.hidden && leave.abort(), { signal: over.signal });
  let began = false;
  const run = async () => {
    began = true;
    try {
      await stream(leave.signal);
      return true;
    } catch (thrown) {
      if (leave.signal.aborted && !stop.aborted) return false;
      throw thrown;
    } finally {
      over.abort();
    }
  };
  const { locks } = navigator;
  if (!locks) return run();
  try {
    for (let place = 0; place < PLACES; place++) {
      const ended = await locks.request(`ltxd.stream.${place}`, { ifAvailable: true }, (lock) => (lock ? run() : undefined));
      if (ended !== undefined) return ended;
    }
  } catch (thrown) {
    if (began) throw thrown;
    return run();
  }
  over.abort();
  return false;
}

/** The tab comes into sight. */
export const seen: Waker = (wake) => {
  const look = () => document.hidden || wake();
  document.addEventListener("visibilitychange", look);
  return () => document.removeEventListener("visibilitychange", look);
};
