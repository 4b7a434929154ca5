// One clip: while it is made, once it is done, or why there is none.
import { useEffect, useRef, useState } from "preact/hooks";
import { GenerationState, type Generation } from "../../gen/ltx/v1/generation_pb";
import { said } from "../../state/asking";
import { imagesOf } from "../../state/commands";
import { isFinal } from "../../state/live";
import type { Film } from "../../state/pair";
import { live, missing, open, opened, unheard } from "../../state/open";
import { moment, text } from "../../text";
import { Commands } from "../commands";
import { ProblemText } from "../problem";
import { Actions } from "./actions";
import { Compare } from "./compare";
import { Mark, Request } from "./mark";
import { Progress } from "./progress";
import { Video } from "./video";

export function ClipView(props: { id: string }) {
  const t = text.value;
  useEffect(() => open(props.id), [props.id]);
  const generation = opened.value;
  if (missing.value) return <Missing />;
  if (!generation || generation.id !== props.id) {
    return (
      <div class="clip">
        <h1 tabIndex={-1}>{t.clipTitle}</h1>
        <p>{t.fetchingClip}</p>
      </div>
    );
  }
  return <Clip generation={generation} />;
}

function Missing() {
  const t = text.value;
  const problem = missing.value!;
  const gone = problem.reason === "GENERATION_NOT_FOUND";
  return (
    <div class="clip">
      <h1 tabIndex={-1}>{gone ? t.notThere : t.clipTitle}</h1>
      <div role="alert">{gone ? <p>{t.notThereText}</p> : <ProblemText problem={problem} />}</div>
      <p>
        <a href="#/clips">{t.backToClips}</a>
      </p>
    </div>
  );
}

function Clip(props: { generation: Generation }) {
  const t = text.value;
  const { generation } = props;
  const state = live.value?.state ?? generation.state;
  const done = state === GenerationState.DONE;
  const kept = generation.outputs.length > 0;
  const spec = generation.spec!;
  const [film, setFilm] = useState<Film>();
  const both = !!imagesOf(spec).end;
  const heading = useRef<HTMLHeadingElement>(null);
  // Who came here heard the heading of an empty view; the clip's own takes its place.
  useEffect(() => {
    if (document.activeElement === document.body) heading.current?.focus();
  }, []);
  return (
    <div class="clip">
      <header class="clip-head">
        <p class="crumbs">
          <a href="#/clips">{t.clips}</a>
        </p>
        <h1 ref={heading} tabIndex={-1}>
          {spec.prompt || t.clipTitle}
        </h1>
        <p class="meta">
          <span class={`state s${state}`}>{t.states[state]}</span>
          <span>{t.methodsMade[generation.method]}</span>
          <span>
            {spec.width} × {spec.height}
          </span>
          <span>{t.framesAre(t.units.count(spec.frames ?? 0), t.units.seconds((spec.frames ?? 0) / (spec.fps ?? 24)))}</span>
          <span>{t.madeAt(moment(generation.created))}</span>
        </p>
      </header>
      {said.value?.id === generation.id &&
        said.value.notes.map(({ field, note }) => (
          <p key={field + note} class="note">
            <strong>{t.fields[field] ?? field}</strong>: <span lang="en">{note}</span>
          </p>
        ))}
      {unheard.value?.kind === "lost" && !isFinal(state) && (
        <p class="note warn" role="status">
          {t.unheardLost}
        </p>
      )}
      {!isFinal(state) && live.value && <Progress generation={generation} live={live.value} />}
      {state === GenerationState.CANCELLED && <p class="note">{t.cancelled}</p>}
      {state === GenerationState.FAILED && <Failed />}
      {done && kept && <Video key={generation.id} generation={generation} ready={setFilm} />}
      {done && !kept && (
        <div class="note warn">
          <h2>{t.expired}</h2>
          <p>{t.expiredText}</p>
        </div>
      )}
      {isFinal(state) && <Actions generation={generation} />}
      {done && kept && <Compare generation={generation} video={film} />}
      <div class="clip-facts">
        {done && generation.mark && <Mark generation={generation} />}
        <Request generation={generation} />
      </div>
      <Commands spec={spec} start={both ? "start.png" : "image.png"} end="end.png" />
    </div>
  );
}

function Failed() {
  const t = text.value;
  const failure = live.value?.failure ?? opened.value?.failure;
  return (
    <div class="note bad" role="alert">
      <h2>{t.failed}</h2>
      <p>{t.failures[failure?.reason ?? 0]}</p>
      {failure?.message && (
        <p class="hint" lang="en">
          {t.nodeSays}: {failure.message}
        </p>
      )}
      {failure?.retryable && <p>{t.mayWork}</p>}
    </div>
  );
}
