// What can be done with a clip that has ended: fetch its files, ask again, take it into the form, delete it.
import { useEffect, useRef, useState } from "preact/hooks";
import { calls } from "../../api/calls";
import { fetchOutput } from "../../api/download";
import { problemOf, type Problem } from "../../api/problem";
import { Output, type Generation } from "../../gen/ltx/v1/generation_pb";
import { askAgain, takeOver } from "../../state/again";
import { asking } from "../../state/asking";
import { untaken } from "../../state/choose";
import { save } from "../../state/files";
import { refresh } from "../../state/open";
import { go } from "../../state/route";
import { say } from "../../state/say";
import { text } from "../../text";
import { ProblemText } from "../problem";

export function Actions(props: { generation: Generation }) {
  const t = text.value;
  const { generation } = props;
  const { id } = generation;
  const [busy, work] = useState<"" | "again" | "takeOver" | "download" | "delete">("");
  const [problem, fail] = useState<Problem>();
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const { signal } = stop.current;

  /** Does one thing; what goes wrong is told here. */
  const run = async (what: typeof busy, task: () => Promise<void>) => {
    work(what);
    fail(undefined);
    try {
      await task();
    } catch (thrown) {
      if (!signal.aborted) fail(problemOf(thrown));
    }
    work("");
  };
  const download = (output: Output) =>
    run("download", async () => {
      try {
        const { blob, name } = await fetchOutput(id, output, signal);
        save(blob, name);
      } catch (thrown) {
        if (problemOf(thrown).reason === "OUTPUT_NOT_FOUND") await refresh(id);
        throw thrown;
      }
    });
  const again = () =>
    run("again", async () => {
      const made = await askAgain(generation, signal);
      const refusal = asking.peek();
      if (made) go(`clip/${made.id}`);
      else if (refusal.is === "refused") fail(refusal.problem);
    });
  const over = () =>
    run("takeOver", async () => {
      untaken.value = { start: "", end: "" };
      await takeOver(generation, signal).catch((thrown: unknown) => {
        if (problemOf(thrown).reason !== "IMAGE_NOT_FOUND") throw thrown;
        untaken.value = { ...untaken.peek(), start: t.imagesGone };
        say(t.imagesGone);
      });
      go("make");
    });
  const remove = () =>
    run("delete", async () => {
      await calls.generations.deleteGeneration({ id });
      say(t.deleted);
      go("clips");
    });

  return (
    <div class="actions">
      {generation.outputs.map(({ output, totalBytes }) => (
        <button key={output} type="button" disabled={busy !== ""} onClick={() => void download(output)}>
          <span class="unseen">{t.download} </span>
          {t.outputs[output as 1 | 2 | 3]} <span class="size">{t.units.bytes(totalBytes)}</span>
        </button>
      ))}
      <span class="gap" />
      <button type="button" class="primary" disabled={busy !== ""} onClick={() => void again()}>
        {busy === "again" ? t.againGoing : t.again}
      </button>
      <button type="button" disabled={busy !== ""} onClick={() => void over()}>
        {busy === "takeOver" ? t.takeOverGoing : t.takeOver}
      </button>
      <Delete disabled={busy !== ""} remove={() => void remove()} />
      <div role="alert" class="actions-problem">
        {problem && <ProblemText problem={problem} />}
      </div>
    </div>
  );
}

function Delete(props: { disabled: boolean; remove(): void }) {
  const t = text.value;
  const [sure, ask] = useState(false);
  const keep = useRef<HTMLButtonElement>(null);
  const begin = useRef<HTMLButtonElement>(null);
  useEffect(() => void (sure && keep.current?.focus()), [sure]);
  if (!sure) {
    return (
      <button ref={begin} type="button" disabled={props.disabled} onClick={() => ask(true)}>
        {t.deleteClip}
      </button>
    );
  }
  const back = () => {
    ask(false);
    setTimeout(() => begin.current?.focus());
  };
  return (
    <span class="sure" role="group" aria-label={t.deleteSure} onKeyDown={(event) => event.key === "Escape" && back()}>
      <span>{t.deleteSure}</span>
      <button ref={keep} type="button" onClick={back}>
        {t.deleteNo}
      </button>
      <button type="button" class="danger" disabled={props.disabled} onClick={props.remove}>
        {t.deleteYes}
      </button>
    </span>
  );
}
