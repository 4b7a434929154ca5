// What a clip was asked with that the form has no field for. It is asked again as it was, and said, until somebody leaves it out.
import { clone, create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { computed, effect, signal } from "@preact/signals";
import { keep, kept } from "../api/storage";
import {
  Conditioning,
  Flow,
  GenerationSpecSchema,
  GuidanceSchema,
  type GenerationSpec,
  type Guidance,
} from "../gen/ltx/v1/spec_pb";
import { form, stages } from "./form";

const KEPT = "carried";

/** Names of the contract's fields that may be carried. */
export type CarriedField = "flow" | "sigmas" | "refineSigmas" | "guidance" | "conditioning" | "imageCrf" | "stage2Strength";

function remembered(): GenerationSpec {
  try {
    return fromJsonString(GenerationSpecSchema, kept("tab", KEPT) ?? "{}");
  } catch {
    return create(GenerationSpecSchema);
  }
}

/** A spec that has those fields alone. */
export const carried = signal(remembered());

effect(() => keep("tab", KEPT, toJsonString(GenerationSpecSchema, carried.value)));

/** Strengths of the second stage of LoRAs that are chosen; with one stage nothing reads them. */
export const secondStrengths = computed(() => {
  const chosen = form.loras.value;
  return stages.value === 2 ? carried.value.loras.filter(({ name }) => name in chosen) : [];
});

/** Which fields are carried. */
export const carriedFields = computed(() => {
  const { flow, sigmas, refineSigmas, guidance, conditioning, imageCrf } = carried.value;
  const there: [CarriedField, boolean][] = [
    ["flow", flow !== Flow.UNSPECIFIED],
    ["sigmas", sigmas.length > 0],
    ["refineSigmas", refineSigmas.length > 0],
    ["guidance", guidance !== undefined],
    ["conditioning", conditioning !== Conditioning.UNSPECIFIED],
    ["imageCrf", imageCrf !== undefined],
    ["stage2Strength", secondStrengths.value.length > 0],
  ];
  return there.flatMap(([field, is]) => (is ? [field] : []));
});

/** Keeps of a spec what the form has no field for, where it is not what the model does by itself. */
export function carryFrom(spec: GenerationSpec, own: GenerationSpec | undefined): void {
  const guidance = rest(spec);
  const kept = create(GenerationSpecSchema, {
    flow: spec.flow === own?.flow ? Flow.UNSPECIFIED : spec.flow,
    sigmas: spec.sigmas,
    refineSigmas: spec.refineSigmas,
    conditioning: spec.conditioning === own?.conditioning ? Conditioning.UNSPECIFIED : spec.conditioning,
    loras: spec.loras.filter(({ stage2Strength }) => stage2Strength !== undefined),
  });
  if (spec.imageCrf !== undefined && spec.imageCrf !== own?.imageCrf) kept.imageCrf = spec.imageCrf;
  if (guidance && !(own && same(guidance, rest(own)))) kept.guidance = guidance;
  carried.value = kept;
}

/** Leaves it out from now on. */
export function leaveOut(): void {
  carried.value = create(GenerationSpecSchema);
}

/** Guidance without its CFG scale, which the form has; undefined where nothing else is stated. */
function rest({ guidance }: GenerationSpec): Guidance | undefined {
  if (!guidance) return undefined;
  const { stgScale, rescaleScale, stgBlocks } = guidance;
  if (stgScale === undefined && rescaleScale === undefined && stgBlocks.length === 0) return undefined;
  const others = clone(GuidanceSchema, guidance);
  delete others.cfgScale;
  return others;
}

/** Whether what one states is what the other does; a schedule that reads less of it states less. */
function same(stated: Guidance, own: Guidance | undefined): boolean {
  const equal = (a: number | undefined, b: number | undefined) => a === undefined || a === b;
  const blocks = stated.stgBlocks.length === 0 || stated.stgBlocks.join() === own?.stgBlocks.join();
  return equal(stated.stgScale, own?.stgScale) && equal(stated.rescaleScale, own?.rescaleScale) && blocks;
}
