// The form as the contract's GenerationSpec, and a spec back into the form.
import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { batch } from "@preact/signals";
import { GenerationSpecSchema, GuidanceSchema, type GenerationSpec, type Guidance, type ImageSchema } from "../gen/ltx/v1/spec_pb";
import { carried, carryFrom, secondStrengths } from "./carried";
import { modelOf, node } from "./node";
import { cfg, end, form, fps, frames, guided, height, readsNegative, stages, start, steps, width } from "./form";

type Source = MessageInitShape<typeof ImageSchema>["source"];

/** Where the bytes of the images are; undefined for an image that is not there. */
export type Sources = { start: Source; end: Source };

const SEED = /^\d{1,20}$/;

/** Whether this is a seed, or none. */
export function isSeed(text: string): boolean {
  return text === "" || (SEED.test(text) && BigInt(text) < 1n << 64n);
}

/** A seed of its own. Up to 2^53 − 1, so that every tool can read it. */
export function drawSeed(): bigint {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (BigInt(high! & 0x1f_ffff) << 32n) | BigInt(low!);
}

const empty: Source = { case: "data", value: new Uint8Array() };

/** Images without bytes, whatever is chosen: for a verdict, which is of the values. */
export const judged: Sources = { start: empty, end: empty };

/** Images without bytes in the places of those that are chosen. */
export function emptySources(): Sources {
  return { start: start.value && empty, end: end.value && empty };
}

/** The form's CFG scale, and what is carried beside it. */
function guidanceOf(): Guidance | undefined {
  const others = carried.value.guidance;
  if (!guided.value || form.cfg.value === undefined) return others;
  const guidance = others ? clone(GuidanceSchema, others) : create(GuidanceSchema);
  guidance.cfgScale = cfg.value;
  return guidance;
}

/** What the form asks for. */
export function specOf(sources: Sources): GenerationSpec {
  const f = form;
  const image = (source: Source, strength: number) => source && { source, ...(strength === 1 ? {} : { strength }) };
  const first = image(sources.start, f.startStrength.value);
  const last = image(sources.end, f.endStrength.value);
  const both = f.method.value === "ends";
  const { flow, sigmas, refineSigmas, conditioning, imageCrf } = carried.value;
  const guidance = guidanceOf();
  return create(GenerationSpecSchema, {
    prompt: f.prompt.value,
    ...(readsNegative.value && f.negative.value ? { negativePrompt: f.negative.value } : {}),
    images: both
      ? first || last
        ? { case: "startEndImages", value: { ...(first && { start: first }), ...(last && { end: last }) } }
        : { case: undefined }
      : first
        ? { case: "image", value: first }
        : { case: undefined },
    width: width.value,
    height: height.value,
    frames: frames.value,
    fps: fps.value,
    ...(f.seed.value && isSeed(f.seed.value) ? { seed: BigInt(f.seed.value) } : {}),
    schedule: f.schedule.value,
    ...(guided.value && f.steps.value !== undefined ? { steps: steps.value } : {}),
    stages: stages.value,
    ...(guidance ? { guidance } : {}),
    flow,
    sigmas,
    refineSigmas,
    conditioning,
    ...(imageCrf === undefined ? {} : { imageCrf }),
    model: f.model.value,
    caller: {
      agent: f.agent.value,
      ...(f.creditsLow.value === undefined ? {} : { creditsLow: f.creditsLow.value }),
      plan: f.plan.value,
    },
    beyondTrainedLength: f.beyondTrained.value,
    loras: Object.entries(f.loras.value).map(([name, strength]) => {
      const second = secondStrengths.value.find((lora) => lora.name === name)?.stage2Strength;
      return { name, strength, ...(second === undefined ? {} : { stage2Strength: second }) };
    }),
  });
}

/** Fills the form with what a generation was asked to be; images are put in by whoever has them. */
export function fillFrom(spec: GenerationSpec): void {
  batch(() => {
    form.method.value = spec.images.case === "startEndImages" ? "ends" : "image";
    form.prompt.value = spec.prompt;
    form.negative.value = spec.negativePrompt ?? "";
    form.model.value = spec.model;
    form.width.value = spec.width;
    form.height.value = spec.height;
    form.frames.value = spec.frames;
    form.fps.value = spec.fps;
    form.seed.value = spec.seed?.toString() ?? "";
    form.stages.value = spec.stages;
    form.schedule.value = spec.schedule;
    form.steps.value = spec.steps;
    form.cfg.value = spec.guidance?.cfgScale;
    const { images } = spec;
    form.startStrength.value = (images.case === "image" ? images.value.strength : images.value?.start?.strength) ?? 1;
    form.endStrength.value = (images.case === "startEndImages" ? images.value.end?.strength : undefined) ?? 1;
    form.beyondTrained.value = spec.beyondTrainedLength;
    form.loras.value = Object.fromEntries(spec.loras.map(({ name, strength }) => [name, strength ?? 1]));
    form.agent.value = spec.caller?.agent ?? 0;
    form.creditsLow.value = spec.caller?.creditsLow;
    form.plan.value = spec.caller?.plan ?? "";
    carryFrom(spec, modelOf(spec.model, node.value?.models ?? [])?.defaults);
  });
}
