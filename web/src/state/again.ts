// A clip's request once more: with another seed, or back in the form.
import { clone } from "@bufbuild/protobuf";
import { fetchGiven } from "../api/download";
import { GivenImage } from "../gen/ltx/v1/generation_service_pb";
import type { Generation } from "../gen/ltx/v1/generation_pb";
import { GenerationSpecSchema } from "../gen/ltx/v1/spec_pb";
import { ask, type Pictures } from "./asking";
import { put } from "./form";
import { Picture } from "./picture";
import { drawSeed, fillFrom } from "./spec";

/** The pictures that a generation was given, from the node. */
export async function picturesOf(generation: Generation, stop: AbortSignal): Promise<Pictures> {
  const one = async (image: GivenImage) => {
    const { blob, name } = await fetchGiven(generation.id, image, stop);
    const picture = await Picture.open(blob, name);
    if (!picture) throw new Error("an image that the node keeps cannot be opened here");
    return picture;
  };
  const start = await one(GivenImage.START);
  return generation.spec?.images.case === "startEndImages" ? [start, await one(GivenImage.END)] : [start];
}

/** Asks for the same with another seed; undefined where it was refused. */
export async function askAgain(generation: Generation, stop: AbortSignal): Promise<Generation | undefined> {
  const spec = clone(GenerationSpecSchema, generation.spec!);
  spec.seed = drawSeed();
  return ask(spec, await picturesOf(generation, stop));
}

/** Fills the form with the request; its pictures too, where the node still has them. */
export async function takeOver(generation: Generation, stop: AbortSignal): Promise<void> {
  fillFrom(generation.spec!);
  put("start", undefined);
  put("end", undefined);
  const [start, end] = await picturesOf(generation, stop);
  put("start", start);
  put("end", end);
}
