// Sizes and lengths that a model can make.
import type { Model } from "../gen/ltx/v1/node_service_pb";

export type Method = "image" | "ends";

/** Numbers from `least` to `most` in steps. */
export type Range = { least: number; most: number; step: number };

export type Legal = { side: Range; frames: Range };

const LTX = { frameStep: 8, sideStep: 32, mostFrames: 8001, largestSide: 8192, trainedSeconds: undefined };

/** What is legal for a model, by its rules; by those of every LTX model as long as its own are not known. */
export function legalFor(
  model: Model | undefined,
  wish: { method: Method; stages: number; fps: number; beyondTrained: boolean },
): Legal {
  const rules = model?.rules ?? { ...LTX, beyondTrainedLength: false };
  const step = rules.sideStep * wish.stages;
  const trained = wish.beyondTrained && rules.beyondTrainedLength ? undefined : rules.trainedSeconds;
  const seen = trained === undefined ? Infinity : Math.floor((trained * rate(wish.fps)) / rules.frameStep);
  const steps = Math.min(seen, Math.floor((rules.mostFrames - 1) / rules.frameStep));
  const least = wish.method === "ends" ? rules.frameStep + 1 : 1;
  return {
    side: { least: step, most: Math.floor(rules.largestSide / step) * step, step },
    frames: { least, most: Math.max(least, steps * rules.frameStep + 1), step: rules.frameStep },
  };
}

/** The rate that a number of frames a second means: 23.976, 29.97, 59.94 and 119.88 are the NTSC fractions. */
export function rate(fps: number): number {
  const whole = Math.ceil(fps);
  return [24, 30, 60, 120].includes(whole) && Math.abs((whole * 1000) / 1001 - fps) < 0.0006 ? (whole * 1000) / 1001 : fps;
}

/** The legal number that is nearest to another. */
export function nearest(value: number, { least, most, step }: Range): number {
  if (!Number.isFinite(value)) return least;
  const steps = Math.round((Math.min(Math.max(value, least), most) - least) / step);
  return Math.min(least + steps * step, least + Math.floor((most - least) / step) * step);
}

/** Sides of given proportions (width over height) with about as many pixels as before. */
export function sidesFor(proportion: number, pixels: number, side: Range): { width: number; height: number } {
  const width = nearest(Math.sqrt(pixels * proportion), side);
  return { width, height: nearest(width / proportion, side) };
}
