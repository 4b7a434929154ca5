// A number of which only legal values can be chosen: typed ones go to the nearest, and the page says so.
import { useId, useState } from "preact/hooks";
import { nearest, type Range } from "../state/legal";
import { say } from "../state/say";
import { text } from "../text";

export function LegalNumber(props: { label: string; value: number; range: Range; hint: string; set(value: number): void }) {
  const t = text.value;
  const id = useId();
  const { range, value } = props;
  const [note, tell] = useState("");
  const show = t.units.count;
  const set = (wished: number) => {
    const got = nearest(wished, range);
    const sentence = got === wished ? "" : t.snapped(show(wished), show(got));
    tell(sentence);
    if (sentence) say(`${props.label}: ${sentence}`);
    props.set(got);
    return got;
  };
  const button = (by: number, sign: string, name: string) => (
    <button
      type="button"
      aria-label={name}
      disabled={by < 0 ? value <= range.least : value + by > range.most}
      onClick={() => set(value + by)}
    >
      {sign}
    </button>
  );
  return (
    <div class="field number">
      <label for={id}>{props.label}</label>
      <div class="number-box">
        {button(-range.step, "−", t.less(props.label))}
        <input
          id={id}
          type="number"
          inputMode="numeric"
          min={range.least}
          max={range.most}
          step={range.step}
          value={value}
          aria-describedby={`${id}-hint`}
          onChange={(event) => {
            const field = event.currentTarget;
            // An emptied field has its value back.
            field.value = String(Number.isNaN(field.valueAsNumber) ? value : set(field.valueAsNumber));
          }}
        />
        {button(range.step, "+", t.more(props.label))}
      </div>
      <p id={`${id}-hint`} class={note ? "hint told" : "hint"}>
        {note || props.hint}
      </p>
    </div>
  );
}
