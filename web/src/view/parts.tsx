// Small parts that several views are made of.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

/** A choice of one among few, as radio buttons in a row. */
export function Segments<T extends string | number>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  choose(value: T): void;
  hideLabel?: boolean;
}) {
  const name = useId();
  return (
    <fieldset class="segments">
      <legend class={props.hideLabel ? "unseen" : undefined}>{props.label}</legend>
      <div class="segments-row">
        {props.options.map(([value, label]) => (
          <label key={value}>
            <input
              type="radio"
              name={name}
              checked={value === props.value}
              onChange={() => props.choose(value)}
            />
            <span>{label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** A labelled control with a hint below it. */
export function Field(props: {
  label: string;
  hint?: ComponentChildren;
  wrong?: boolean;
  children(ids: { id: string; "aria-describedby": string | undefined }): ComponentChildren;
}) {
  const id = useId();
  const hint = props.hint ? `${id}-hint` : undefined;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children({ id, "aria-describedby": hint })}
      {hint && (
        <p id={hint} class={props.wrong ? "hint wrong" : "hint"}>
          {props.hint}
        </p>
      )}
    </div>
  );
}

/** A choice of one among many. */
export function Select(props: {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  choose(value: string): void;
  hint?: string;
}) {
  return (
    <Field label={props.label} {...(props.hint ? { hint: props.hint } : {})}>
      {(ids) => (
        <select {...ids} value={props.value} onChange={(event) => props.choose(event.currentTarget.value)}>
          {props.options.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** Facts as pairs; those without a value are left out. */
export function Facts(props: { rows: readonly (readonly [string, ComponentChildren])[]; mono?: boolean }) {
  const rows = props.rows.filter(([, value]) => value !== undefined && value !== "");
  return (
    <dl class={props.mono ? "facts mono" : "facts"}>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** How much of something is taken, as a bar beside words that say the same. */
export function Bar(props: { share: number; over?: boolean }) {
  const width = `${Math.min(100, Math.max(0, props.share * 100))}%`;
  return (
    <span class={props.over ? "bar over" : "bar"} aria-hidden="true">
      <span style={{ width }} />
    </span>
  );
}
