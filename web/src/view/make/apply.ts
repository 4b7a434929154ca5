// The nearest legal value of a field that is wrong, put into the form.
import { form } from "../../state/form";

const NUMBERS = {
  width: form.width,
  height: form.height,
  frames: form.frames,
  fps: form.fps,
  stages: form.stages,
  steps: form.steps,
  "guidance.cfg_scale": form.cfg,
} as const;

const isNumber = (field: string): field is keyof typeof NUMBERS => field in NUMBERS;

/** Whether the form has this field, and the value is one that it takes. */
export function applicable(field: string, value: string): boolean {
  return isNumber(field) && value !== "" && Number.isFinite(Number(value));
}

export function apply(field: string, value: string): void {
  if (isNumber(field)) NUMBERS[field].value = Number(value);
}
