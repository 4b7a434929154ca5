// Which clips are shown.
import { useEffect, useRef, useState } from "preact/hooks";
import { Method } from "../../gen/ltx/v1/generation_pb";
import { EVERYTHING, filter, type Filter, type States } from "../../state/gallery";
import { node } from "../../state/node";
import { text } from "../../text";
import { Field, Select } from "../parts";

/** The most that the node looks for. */
const TEXT_BYTES = 256;

export function Filters() {
  const t = text.value;
  const now = filter.value;
  const set = (change: Partial<Filter>) => (filter.value = { ...filter.peek(), ...change });
  const models = node.value?.models.map(({ name }) => name) ?? [];
  const changed = JSON.stringify(now) !== JSON.stringify(EVERYTHING);
  return (
    <form class="filters" role="search" aria-label={t.filters} onSubmit={(event) => event.preventDefault()}>
      <Search />
      <Select
        label={t.state}
        value={now.states}
        options={Object.entries(t.stateFilter)}
        choose={(value) => set({ states: value as States })}
      />
      <Select
        label={t.method}
        value={String(now.method)}
        options={[
          [String(Method.UNSPECIFIED), t.allMethods],
          [String(Method.IMAGE_TO_VIDEO), t.methodsMade[1]],
          [String(Method.START_END_FRAMES), t.methodsMade[2]],
        ]}
        choose={(value) => set({ method: Number(value) })}
      />
      <Select
        label={t.model}
        value={now.model}
        options={[["", t.allModels], ...models.map((name): [string, string] => [name, name])]}
        choose={(model) => set({ model })}
      />
      <Day label={t.from} value={now.from} choose={(from) => set({ from })} />
      <Day label={t.to} value={now.to} choose={(to) => set({ to })} />
      {changed && (
        <button type="button" onClick={() => (filter.value = EVERYTHING)}>
          {t.clear}
        </button>
      )}
    </form>
  );
}

function Search() {
  const t = text.value;
  const [typed, type] = useState(filter.value.text);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const set = (wished: string) => {
    // Cut behind the last character that fits.
    let fits = wished;
    while (new TextEncoder().encode(fits).length > TEXT_BYTES) fits = [...fits].slice(0, -1).join("");
    type(fits);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => (filter.value = { ...filter.peek(), text: fits }), 250);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => type(filter.value.text), [filter.value.text]);
  return (
    <Field label={t.search}>
      {(ids) => <input {...ids} type="search" value={typed} onInput={(event) => set(event.currentTarget.value)} />}
    </Field>
  );
}

function Day(props: { label: string; value: string; choose(day: string): void }) {
  return (
    <Field label={props.label}>
      {(ids) => <input {...ids} type="date" value={props.value} onChange={(event) => props.choose(event.currentTarget.value)} />}
    </Field>
  );
}
