// What a person is about to ask for. Wishes are kept as they were made; what is asked is the nearest that is legal.
import { computed, effect, signal, type Signal } from "@preact/signals";
import { keep, kept } from "../api/storage";
import { Agent, Schedule } from "../gen/ltx/v1/spec_pb";
import { legalFor, nearest, type Method } from "./legal";
import { modelOf, node } from "./node";
import type { Picture } from "./picture";

/** Wishes; undefined and "" are the model's own. */
const wishes = {
  method: "image" as Method,
  prompt: "",
  negative: "",
  model: "",
  width: undefined as number | undefined,
  height: undefined as number | undefined,
  frames: undefined as number | undefined,
  fps: undefined as number | undefined,
  seed: "",
  stages: undefined as number | undefined,
  schedule: Schedule.UNSPECIFIED,
  steps: undefined as number | undefined,
  cfg: undefined as number | undefined,
  startStrength: 1,
  endStrength: 1,
  beyondTrained: false,
  loras: {} as Record<string, number>,
  agent: Agent.AGENT_UNSPECIFIED,
  creditsLow: undefined as boolean | undefined,
  plan: "",
};

export type Wishes = typeof wishes;
type Signals = { readonly [Key in keyof Wishes]: Signal<Wishes[Key]> };

const KEPT = "form";

function remembered(): Partial<Wishes> {
  try {
    return JSON.parse(kept("tab", KEPT) ?? "{}") as Partial<Wishes>;
  } catch {
    return {};
  }
}

const begun = { ...wishes, ...remembered() };

/** The fields of the form. */
export const form = Object.fromEntries(Object.entries(begun).map(([key, value]) => [key, signal(value)])) as Signals;

export const start = signal<Picture | undefined>();
export const end = signal<Picture | undefined>();

effect(() => {
  const values = Object.fromEntries(Object.entries(form).map(([key, field]) => [key, field.value]));
  keep("tab", KEPT, JSON.stringify(values));
});

/** The model that would run; undefined for a name that the node does not have. */
export const model = computed(() => modelOf(form.model.value, node.value?.models ?? []));
const defaults = computed(() => model.value?.defaults ?? modelOf("", node.value?.models ?? [])?.defaults);

export const fps = computed(() => form.fps.value ?? defaults.value?.fps ?? 24);
export const stages = computed(() => {
  const wished = form.stages.value ?? defaults.value?.stages ?? 1;
  return wished === 2 && model.value?.loaded && !model.value.twoStages ? 1 : wished;
});
export const legal = computed(() =>
  legalFor(model.value, {
    method: form.method.value,
    stages: stages.value,
    fps: fps.value,
    beyondTrained: form.beyondTrained.value,
  }),
);
export const width = computed(() => nearest(form.width.value ?? defaults.value?.width ?? 768, legal.value.side));
export const height = computed(() => nearest(form.height.value ?? defaults.value?.height ?? 512, legal.value.side));
export const frames = computed(() => nearest(form.frames.value ?? defaults.value?.frames ?? 121, legal.value.frames));

export const schedule = computed(() => form.schedule.value || defaults.value?.schedule || Schedule.DISTILLED);
export const guided = computed(() => schedule.value === Schedule.GUIDED);
export const steps = computed(() => form.steps.value ?? defaults.value?.steps ?? 30);
export const cfg = computed(() => form.cfg.value ?? defaults.value?.guidance?.cfgScale ?? 3);
/** Whether anything reads a negative prompt. */
export const readsNegative = computed(() => guided.value && cfg.value !== 1);

/** The pictures that the method takes are there. */
export const complete = computed(() => !!start.value && (form.method.value === "image" || !!end.value));

/** Puts a picture into its place; the one before is dropped. */
export function put(place: "start" | "end", picture: Picture | undefined): void {
  const field = place === "start" ? start : end;
  if (field.peek() !== picture) field.peek()?.drop();
  field.value = picture;
}
