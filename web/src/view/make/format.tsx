// Size and length: only what the model can make can be chosen.
import { batch } from "@preact/signals";
import { sidesFor } from "../../state/legal";
import { form, fps, frames, height, legal, model, start, width } from "../../state/form";
import { text } from "../../text";
import { LegalNumber } from "../number";
import { Field, Select } from "../parts";

const PROPORTIONS = [
  ["16:9", 16 / 9],
  ["3:2", 3 / 2],
  ["1:1", 1],
  ["2:3", 2 / 3],
  ["9:16", 9 / 16],
] as const;
const RATES = [12, 16, 23.976, 24, 25, 29.97, 30, 50, 60];

export function Format() {
  const t = text.value;
  return (
    <fieldset class="block">
      <legend>{t.format}</legend>
      <Sides />
      <Length />
    </fieldset>
  );
}

function Sides() {
  const t = text.value;
  const { side } = legal.value;
  const hint = t.legalSides(side.step, side.least, side.most);
  const picture = start.value?.bitmap;
  const shape = (proportion: number) =>
    batch(() => {
      const sides = sidesFor(proportion, width.value * height.value, side);
      form.width.value = sides.width;
      form.height.value = sides.height;
    });
  return (
    <>
      <div class="pair">
        <LegalNumber label={t.width} value={width.value} range={side} hint={hint} set={(value) => (form.width.value = value)} />
        <LegalNumber label={t.height} value={height.value} range={side} hint={hint} set={(value) => (form.height.value = value)} />
      </div>
      <div class="chips" role="group" aria-label={t.proportions}>
        {picture && (
          <button type="button" onClick={() => shape(picture.width / picture.height)}>
            {t.asPicture}
          </button>
        )}
        {PROPORTIONS.map(([name, proportion]) => (
          <button key={name} type="button" onClick={() => shape(proportion)}>
            {name}
          </button>
        ))}
      </div>
    </>
  );
}

function Length() {
  const t = text.value;
  const range = legal.value.frames;
  const { count, seconds } = t.units;
  const told = t.framesAre(count(frames.value), seconds(frames.value / fps.value));
  const steps = (range.most - range.least) / range.step;
  const rates = [...new Set([...RATES, fps.value])].sort((a, b) => a - b);
  return (
    <>
      <Field label={t.length} hint={told}>
        {(ids) => (
          <input
            {...ids}
            class="ruler"
            type="range"
            min={range.least}
            max={range.most}
            step={range.step}
            value={frames.value}
            aria-valuetext={told}
            style={{ "--steps": String(Math.min(steps, 60)) }}
            onInput={(event) => (form.frames.value = event.currentTarget.valueAsNumber)}
          />
        )}
      </Field>
      <div class="pair">
        <LegalNumber
          label={t.frames.charAt(0).toUpperCase() + t.frames.slice(1)}
          value={frames.value}
          range={range}
          hint={t.legalFrames(range.step, range.most)}
          set={(value) => (form.frames.value = value)}
        />
        <Select
          label={t.fps}
          value={String(fps.value)}
          options={rates.map((rate) => [String(rate), count(rate) === String(rate) ? count(rate) : String(rate)])}
          choose={(value) => (form.fps.value = Number(value))}
        />
      </div>
      {(model.value?.rules?.beyondTrainedLength || form.beyondTrained.value) && (
        <label class="check">
          <input
            type="checkbox"
            checked={form.beyondTrained.value}
            onChange={(event) => (form.beyondTrained.value = event.currentTarget.checked)}
          />
          {t.beyond}
        </label>
      )}
    </>
  );
}
