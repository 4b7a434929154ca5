// A generation as its events tell it: a pure step from one state to the next.
import type { News } from "../api/watch";
import type { Failure, Generation, Progress } from "../gen/ltx/v1/generation_pb";
import { GenerationState } from "../gen/ltx/v1/generation_pb";

export type Live = {
  /** The number of the last event that was seen. */
  seen: bigint;
  state: GenerationState;
  /** Generations before it. */
  position: number | undefined;
  /** Seconds until it begins. */
  waitSeconds: number | undefined;
  progress: Progress | undefined;
  /** The latest preview, a PNG. */
  preview: Uint8Array | undefined;
  resumed: boolean;
  cancelling: boolean;
  failure: Failure | undefined;
  /** The record, once it is done. */
  done: Generation | undefined;
};

/** Where a generation stands that was fetched, no event of it seen yet. */
export function liveOf(generation: Generation): Live {
  return {
    seen: 0n,
    state: generation.state,
    position: generation.queuePosition,
    waitSeconds: undefined,
    progress: generation.progress,
    preview: undefined,
    resumed: generation.resumptions > 0,
    cancelling: false,
    failure: generation.failure,
    done: generation.state === GenerationState.DONE ? generation : undefined,
  };
}

/** The state behind a piece of news. */
export function after(live: Live, news: News): Live {
  if (news.case === "place") {
    return live.state === GenerationState.QUEUED
      ? { ...live, position: news.value.position, waitSeconds: news.value.secondsLeft }
      : live;
  }
  if (news.case !== "event") return live;
  const { number: seen, event, previewPng } = news.value;
  const now = { ...live, seen, preview: previewPng.length > 0 ? previewPng : live.preview };
  switch (event.case) {
    case "queued":
      return {
        ...now,
        state: GenerationState.QUEUED,
        position: event.value.position,
        waitSeconds: event.value.secondsLeft,
        progress: undefined,
      };
    case "running":
      return { ...now, state: GenerationState.RUNNING, position: undefined, resumed: now.resumed || event.value.resumed };
    case "progress":
      return { ...now, state: GenerationState.RUNNING, position: undefined, progress: event.value };
    case "cancelling":
      return { ...now, cancelling: true };
    case "done":
      return { ...now, state: GenerationState.DONE, done: event.value.generation };
    case "failed":
      return { ...now, state: GenerationState.FAILED, failure: event.value.failure };
    case "cancelled":
      return { ...now, state: GenerationState.CANCELLED };
    default:
      return now;
  }
}

const FINAL = [GenerationState.DONE, GenerationState.FAILED, GenerationState.CANCELLED];

export function isFinal(state: GenerationState): boolean {
  return FINAL.includes(state);
}
