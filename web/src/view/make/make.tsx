// The form: pictures, prompt, size and length; beside it what it costs, and the button that asks.
import { useEffect } from "preact/hooks";
import { filesOf, take } from "../../state/choose";
import { end, form, start } from "../../state/form";
import { beginJudging } from "../../state/eligibility";
import { emptySources, specOf } from "../../state/spec";
import { text } from "../../text";
import { Commands } from "../commands";
import { Segments } from "../parts";
import { Carried } from "./carried";
import { Format } from "./format";
import { Caller, Model, Sampling } from "./more";
import { Prompt } from "./prompt";
import { Slot } from "./slot";
import { VerdictPanel } from "./verdict";

export function Make() {
  const t = text.value;
  useEffect(beginJudging, []);
  useEffect(() => {
    const stop = new AbortController();
    const { signal } = stop;
    document.addEventListener("paste", (event) => {
      const files = filesOf(event.clipboardData);
      if (files.length === 0) return;
      event.preventDefault();
      void take(files);
    }, { signal });
    // A file that misses its place must not replace the page.
    document.addEventListener("dragover", (event) => event.preventDefault(), { signal });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      void take(filesOf(event.dataTransfer));
    }, { signal });
    return () => stop.abort();
  }, []);
  const ends = form.method.value === "ends";
  const swap = () => ([start.value, end.value] = [end.value, start.value]);
  return (
    <div class="make">
      <h1 tabIndex={-1}>{t.makeTitle}</h1>
      <form class="make-form" onSubmit={(event) => event.preventDefault()}>
        <Segments
          label={t.method}
          hideLabel
          value={form.method.value}
          options={[
            ["image", t.methods.image],
            ["ends", t.methods.ends],
          ]}
          choose={(method) => (form.method.value = method)}
        />
        <div class={ends ? "slots two" : "slots"}>
          <Slot place="start" label={ends ? t.startImage : t.onlyImage} />
          {ends && (
            <button type="button" class="swap" aria-label={t.swap} title={t.swap} onClick={swap}>
              ⇄
            </button>
          )}
          {ends && <Slot place="end" label={t.endImage} />}
        </div>
        <Prompt />
        <Format />
        <Model />
        <Sampling />
        <Caller />
        <Carried />
        <Commands
          spec={specOf(emptySources())}
          start={start.value?.name ?? "start.png"}
          end={end.value?.name ?? "end.png"}
        />
      </form>
      <VerdictPanel />
    </div>
  );
}
