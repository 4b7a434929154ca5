// How firmly images are held, and LoRAs over the model.
import type { Signal } from "@preact/signals";
import { form, model } from "../../state/form";
import { text } from "../../text";
import { Field } from "../parts";

export function Hold() {
  const t = text.value;
  const ends = form.method.value === "ends";
  return (
    <div class="pair">
      <Share label={ends ? t.startStrength : t.strength} field={form.startStrength} />
      {ends && <Share label={t.endStrength} field={form.endStrength} />}
    </div>
  );
}

function Share(props: { label: string; field: Signal<number> }) {
  const t = text.value;
  const value = props.field.value;
  return (
    <Field label={props.label} hint={`${value}; ${t.strengthHint}`}>
      {(ids) => (
        <input
          {...ids}
          type="range"
          min={0}
          max={1}
          step={0.05}
          value={value}
          onInput={(event) => (props.field.value = event.currentTarget.valueAsNumber)}
        />
      )}
    </Field>
  );
}

export function Loras() {
  const t = text.value;
  const chosen = form.loras.value;
  const listed = model.value?.loras ?? [];
  // Those that were chosen for another model, or taken over, can be left out here.
  const others = Object.keys(chosen).filter((name) => !listed.some((lora) => lora.name === name));
  const all = [...listed, ...others.map((name) => ({ name, strength: undefined }))];
  if (all.length === 0) return null;
  const set = (name: string, strength: number | undefined) => {
    const { [name]: _, ...others } = chosen;
    form.loras.value = strength === undefined ? others : { ...others, [name]: strength };
  };
  return (
    <fieldset class="block">
      <legend>{t.loras}</legend>
      {all.map(({ name, strength: own }) => (
        <div key={name} class="lora">
          <label class="check">
            <input
              type="checkbox"
              checked={name in chosen}
              onChange={(event) => set(name, event.currentTarget.checked ? (own ?? 1) : undefined)}
            />
            {name}
          </label>
          <input
            type="number"
            min={-100}
            max={100}
            step={0.05}
            aria-label={t.loraStrength(name)}
            disabled={!(name in chosen)}
            value={chosen[name] ?? own ?? 1}
            onChange={(event) => {
              const wished = event.currentTarget.valueAsNumber;
              set(name, Number.isNaN(wished) ? (own ?? 1) : wished);
              event.currentTarget.value = String(form.loras.value[name]);
            }}
          />
        </div>
      ))}
    </fieldset>
  );
}
