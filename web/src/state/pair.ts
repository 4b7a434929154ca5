// A given image and the frame that was made of it, both at the clip's size.
import { problemOf } from "../api/problem";
import { fetchGiven, fetchOutput } from "../api/download";
import { Output, type Generation } from "../gen/ltx/v1/generation_pb";
import { GivenImage } from "../gen/ltx/v1/generation_service_pb";
import { stretches } from "../media/crop";
import { lastFrame, pixelsOf } from "../media/frames";
import { likeness, type Likeness } from "../media/likeness";
import { prepare } from "../media/prepare";
import { modelOf, node } from "./node";

export type Which = "first" | "last";

/** Either may be missing: no longer kept, or not decodable here. `gone`: the frame's file cannot be fetched. */
export type Pair = { given: ImageData | undefined; made: ImageData | undefined; gone: boolean; likeness: Likeness | undefined };

/** The MP4 as the view has it: its URL, not here yet, or never. */
export type Film = string | undefined | "gone";

/** The pair of the first or the last frame; `video` is needed for the last. */
export async function loadPair(generation: Generation, which: Which, video: Film, stop: AbortSignal): Promise<Pair> {
  let gone = false;
  const [given, made] = await Promise.all([
    givenOf(generation, which, stop).catch(() => undefined),
    madeOf(generation, which, video, stop).catch((thrown: unknown) => {
      gone = problemOf(thrown).kind === "told";
      return undefined;
    }),
  ]);
  const alike = given && made && given.width === made.width && given.height === made.height;
  return { given, made, gone: gone || (which === "last" && video === "gone"), likeness: alike ? likeness(given, made) : undefined };
}

async function givenOf({ id, spec, mark }: Generation, which: Which, stop: AbortSignal): Promise<ImageData> {
  const { blob } = await fetchGiven(id, which === "first" ? GivenImage.START : GivenImage.END, stop);
  const clip = { width: spec?.width ?? 0, height: spec?.height ?? 0 };
  const family = modelOf(mark?.model ?? "", node.peek()?.models ?? [])?.family ?? "";
  return prepare(await pixelsOf(blob), clip, stretches(family));
}

async function madeOf({ id, spec }: Generation, which: Which, video: Film, stop: AbortSignal): Promise<ImageData> {
  if (which === "last") {
    if (!video || video === "gone") throw new Error("there is no video");
    return lastFrame(video, spec?.frames ?? 1, spec?.fps ?? 24);
  }
  return pixelsOf((await fetchOutput(id, Output.POSTER, stop)).blob);
}
