// The button that asks for the clip, and how far asking is.
import { useEffect } from "preact/hooks";
import { effect } from "@preact/signals";
import { ask, asking, forgetRefusal, stopAsking, type Pictures } from "../../state/asking";
import { complete, end, form, start } from "../../state/form";
import { forgetKept } from "../../state/keeping";
import { go } from "../../state/route";
import { say } from "../../state/say";
import { emptySources, isSeed, specOf } from "../../state/spec";
import { text } from "../../text";
import { ProblemText } from "../problem";

export function Ask(props: { blocked: boolean; show(): void }) {
  const t = text.value;
  const state = asking.value;
  const busy = state.is === "uploading" || state.is === "sending";
  const missing = !complete.value;
  // A refusal is of what was asked; another form is another question.
  useEffect(() => {
    let first = true;
    return effect(() => {
      specOf(emptySources());
      if (first) first = false;
      else forgetRefusal();
    });
  }, []);
  const press = async () => {
    if (missing) {
      say(form.method.value === "ends" ? t.needImages : t.needImage);
      const empty = form.method.value === "ends" && start.value ? 1 : 0;
      document.querySelectorAll<HTMLInputElement>(".slot input[type=file]")[empty]?.focus();
      return;
    }
    if (props.blocked || !isSeed(form.seed.value)) return props.show();
    const pictures: Pictures = form.method.value === "ends" ? [start.value!, end.value!] : [start.value!];
    const made = await ask(specOf(emptySources()), pictures);
    if (!made) return;
    // What was chosen meanwhile, or for the other method, is still to be sent.
    const given = [start.peek(), end.peek()].filter((each) => each !== undefined);
    if (given.every((each) => pictures.includes(each))) forgetKept();
    go(`clip/${made.id}`);
  };
  const waiting = state.is === "sending" || state.is === "uploading" ? state.waiting : undefined;
  return (
    <div class="ask">
      <button type="button" class="primary" aria-disabled={props.blocked || missing} disabled={busy} onClick={() => void press()}>
        {busy ? t.asking[state.is] : t.go}
      </button>
      {busy && (
        <button type="button" onClick={stopAsking}>
          {t.stop}
        </button>
      )}
      <div role="status">
        {waiting && (
          <p>{waiting.kind === "told" && waiting.retrySeconds ? t.askingBusy(t.units.seconds(waiting.retrySeconds)) : t.askingWaits}</p>
        )}
      </div>
      <div role="alert">
        {state.is === "refused" && (
          <div class="refusal">
            <h3>{t.notAccepted}</h3>
            <ProblemText problem={state.problem} />
            <p class="hint">{t.nothingLost}</p>
          </div>
        )}
      </div>
    </div>
  );
}
