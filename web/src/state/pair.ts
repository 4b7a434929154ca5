// A given image and the frame that was made of it, both at the clip's size.
import { fetchGiven, fetchOutput, type Fetched } from "../api/download";
import { problemOf, type Problem, type Reason } from "../api/problem";
import { Output, type Generation } from "../gen/ltx/v1/generation_pb";
import { GivenImage } from "../gen/ltx/v1/generation_service_pb";
import { stretches } from "../media/crop";
import { lastFrame, pixelsOf } from "../media/frames";
import { likeness, type Likeness } from "../media/likeness";
import { prepare } from "../media/prepare";
import { modelOf, node } from "./node";

export type Which = "first" | "last";

/** Why a file is not here: the node no longer keeps it, or it could not be fetched. */
export type Unfetched = "gone" | "unfetched";

/** Why there are no pixels: their file is not here, or this browser cannot decode it. */
export type Lack = Unfetched | "undecoded";

export type Pair = { given: ImageData | Lack; made: ImageData | Lack; likeness: Likeness | undefined };

/** The MP4 as the view has it: its URL, or why there is none; undefined while it is on its way. */
export type Film = { url: string } | { lack: Unfetched } | undefined;

const GONE: (Reason | undefined)[] = ["OUTPUT_NOT_FOUND", "IMAGE_NOT_FOUND"];

/** Why a file could not be fetched. */
export function unfetched({ reason }: Problem): Unfetched {
  return GONE.includes(reason) ? "gone" : "unfetched";
}

/** The pair of the first or the last frame; `video` is needed for the last. */
export async function loadPair(generation: Generation, which: Which, video: Film, stop: AbortSignal): Promise<Pair> {
  const [given, made] = await Promise.all([givenOf(generation, which, stop), madeOf(generation, which, video, stop)]);
  const both = typeof given !== "string" && typeof made !== "string";
  const alike = both && given.width === made.width && given.height === made.height;
  return { given, made, likeness: alike ? likeness(given, made) : undefined };
}

/** The pixels of a file, or why there are none. */
async function decoded(file: Promise<Fetched>, decode: (blob: Blob) => Promise<ImageData>): Promise<ImageData | Lack> {
  const fetched = await file.catch((thrown: unknown) => unfetched(problemOf(thrown)));
  return typeof fetched === "string" ? fetched : decode(fetched.blob).catch(() => "undecoded");
}

function givenOf({ id, spec, mark }: Generation, which: Which, stop: AbortSignal): Promise<ImageData | Lack> {
  const clip = { width: spec?.width ?? 0, height: spec?.height ?? 0 };
  const family = modelOf(mark?.model ?? "", node.peek()?.models ?? [])?.family ?? "";
  const image = which === "first" ? GivenImage.START : GivenImage.END;
  return decoded(fetchGiven(id, image, stop), async (blob) => prepare(await pixelsOf(blob), clip, stretches(family)));
}

async function madeOf({ id, spec }: Generation, which: Which, video: Film, stop: AbortSignal): Promise<ImageData | Lack> {
  if (which === "first") return decoded(fetchOutput(id, Output.POSTER, stop), pixelsOf);
  if (!video) throw new Error("there is no video yet");
  if ("lack" in video) return video.lack;
  return lastFrame(video.url, spec?.frames ?? 1, spec?.fps ?? 24).catch(() => "undecoded" as const);
}
