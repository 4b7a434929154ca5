// Follows a generation to its end: a watch that breaks off begins again behind the last event that was seen.
import type { WatchGenerationResponse } from "../gen/ltx/v1/generation_service_pb";
import { calls } from "./calls";
import { insist } from "./insist";
import type { Problem } from "./problem";

export type News = WatchGenerationResponse["news"];

const FINAL = ["done", "failed", "cancelled"];

/** Follows `id` from behind event `after`; returns once it has ended. */
export async function follow(
  id: string,
  after: bigint,
  stop: AbortSignal,
  hear: (news: News) => void,
  waiting: (problem: Problem | undefined) => void,
): Promise<void> {
  let seen = after;
  let ended = false;
  const once = async () => {
    for await (const { news } of calls.generations.watchGeneration(
      { id, resumeAfter: seen, previews: true },
      { signal: stop },
    )) {
      waiting(undefined);
      if (news.case === "event") {
        if (news.value.number <= seen) continue;
        seen = news.value.number;
        ended = FINAL.includes(news.value.event.case ?? "");
      }
      hear(news);
    }
    if (!ended) throw new Error("the stream ended early");
  };
  await insist(once, stop, waiting);
}
