// A clip in the making: its place, its stages, the step, seconds left, the latest preview; and the way to stop it.
import { useEffect, useState } from "preact/hooks";
import { problemOf, type Problem } from "../../api/problem";
import { calls } from "../../api/calls";
import { GenerationState, Stage, type Generation } from "../../gen/ltx/v1/generation_pb";
import type { Live } from "../../state/live";
import { glanced } from "../../state/open";
import { say } from "../../state/say";
import { text } from "../../text";
import { ProblemText } from "../problem";

export function Progress(props: { generation: Generation; live: Live }) {
  const t = text.value;
  const { generation, live } = props;
  const running = live.state === GenerationState.RUNNING;
  const stage = live.progress?.stage ?? Stage.UNSPECIFIED;
  const place = live.position === undefined ? "" : t.place(live.position);
  // Stages and places are said aloud, steps are not: they come too fast.
  useEffect(() => say(running ? t.stagesDone[stage] : place), [running, stage, place]);
  return (
    <section class="making" aria-label={t.progress}>
      <Preview png={live.preview} width={generation.spec?.width ?? 1} height={generation.spec?.height ?? 1} />
      <div class="making-words">
        {!running && (
          <p class="place">
            {place}
            {live.waitSeconds !== undefined && <span>, {t.beginsIn(t.units.seconds(live.waitSeconds))}</span>}
          </p>
        )}
        {running && <Stages generation={generation} live={live} />}
        {glanced.value && <p class="hint">{t.glanced}</p>}
        {live.resumed && <p class="hint">{t.resumed}</p>}
        <Cancel id={generation.id} cancelling={live.cancelling} />
      </div>
    </section>
  );
}

function Preview(props: { png: Uint8Array | undefined; width: number; height: number }) {
  const t = text.value;
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!props.png) return;
    const made = URL.createObjectURL(new Blob([props.png as Uint8Array<ArrayBuffer>], { type: "image/png" }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [props.png]);
  return (
    <figure class="preview" style={{ aspectRatio: `${props.width} / ${props.height}` }}>
      {url ? <img src={url} alt={t.previewAlt} /> : <p class="hint">{t.previewNone}</p>}
      <figcaption>{t.preview}</figcaption>
    </figure>
  );
}

function Stages(props: { generation: Generation; live: Live }) {
  const t = text.value;
  const { progress } = props.live;
  const now = progress?.stage ?? Stage.UNSPECIFIED;
  const two = props.generation.spec?.stages === 2;
  const all = [Stage.TEXT_ENCODING, Stage.IMAGE_ENCODING, Stage.DENOISING, Stage.UPSAMPLING, Stage.REFINING, Stage.DECODING];
  const stages = all.filter((stage) => two || (stage !== Stage.UPSAMPLING && stage !== Stage.REFINING));
  const { step = 0, steps = 0, secondsLeft } = progress ?? {};
  return (
    <>
      <ol class="stages">
        {stages.map((stage) => (
          <li key={stage} class={stage < now ? "done" : stage === now ? "now" : ""} aria-current={stage === now ? "step" : undefined}>
            <span>{t.stagesDone[stage]}</span>
            {stage === now && steps > 0 && <span class="step">{t.stepOf(step, steps)}</span>}
          </li>
        ))}
      </ol>
      <progress aria-label={t.stagesDone[now]} max={Math.max(1, steps)} value={step} />
      <p class="left">{secondsLeft === undefined ? "\u00a0" : t.secondsLeft(t.units.seconds(secondsLeft))}</p>
    </>
  );
}

function Cancel(props: { id: string; cancelling: boolean }) {
  const t = text.value;
  const [asked, ask] = useState(false);
  const [problem, fail] = useState<Problem>();
  const cancel = async () => {
    ask(true);
    fail(undefined);
    try {
      await calls.generations.cancelGeneration({ id: props.id });
    } catch (thrown) {
      ask(false);
      fail(problemOf(thrown));
    }
  };
  const going = asked || props.cancelling;
  return (
    <>
      <button type="button" disabled={going} onClick={() => void cancel()}>
        {going ? t.cancelling : t.cancel}
      </button>
      <div role="alert">{problem && <ProblemText problem={problem} />}</div>
    </>
  );
}
