// One clip in the gallery: its poster or where it stands, and playing in place.
import { useEffect, useState } from "preact/hooks";
import { fetchOutput } from "../../api/download";
import { GenerationState, Output, type Generation } from "../../gen/ltx/v1/generation_pb";
import { posterOf } from "../../state/files";
import { moment, text } from "../../text";

export function Tile(props: { generation: Generation; playing: boolean; play(id: string): void }) {
  const t = text.value;
  const { generation, playing, play } = props;
  const { id, state, spec } = generation;
  const name = t.openOf(spec?.prompt ?? "");
  const kept = state === GenerationState.DONE && generation.outputs.length > 0;
  return (
    <article class="tile">
      <div class="tile-media">
        {playing ? <Playing id={id} name={name} stopped={() => play("")} /> : kept ? <Poster id={id} /> : <Standing generation={generation} />}
        {kept && !playing && (
          <button type="button" class="play" aria-label={t.playOf(name)} onClick={() => play(id)}>
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d="M7 4.5v15l13-7.5z" />
            </svg>
          </button>
        )}
      </div>
      <a class="tile-name" href={`#/clip/${id}`}>
        {name}
      </a>
      <p class="tile-meta">
        <span class={`state s${state}`}>{t.states[state]}</span>
        <span>
          {spec?.width} × {spec?.height}
        </span>
        <span>{moment(generation.created, "short")}</span>
      </p>
    </article>
  );
}

function Poster(props: { id: string }) {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const stop = new AbortController();
    posterOf(props.id, stop.signal).then((found) => stop.signal.aborted || setUrl(found), () => {});
    return () => stop.abort();
  }, [props.id]);
  return url ? <img src={url} alt="" /> : <span class="tile-blank" />;
}

function Playing(props: { id: string; name: string; stopped(): void }) {
  const t = text.value;
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const stop = new AbortController();
    let made: string | undefined;
    fetchOutput(props.id, Output.MP4, stop.signal).then(
      ({ blob }) => setUrl((made = URL.createObjectURL(blob))),
      () => stop.signal.aborted || props.stopped(),
    );
    return () => {
      stop.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [props.id]);
  return url ? (
    <video src={url} autoPlay loop muted playsInline controls aria-label={props.name} ref={(video) => video?.focus()} />
  ) : (
    <span class="tile-blank">{t.fetchingClip}</span>
  );
}

/** What stands in place of a poster: progress, or why there is none. */
function Standing(props: { generation: Generation }) {
  const t = text.value;
  const { state, progress, queuePosition } = props.generation;
  const steps = progress?.steps ?? 0;
  return (
    <span class={`tile-standing s${state}`}>
      {state === GenerationState.QUEUED && <span>{t.place(queuePosition ?? 0)}</span>}
      {state === GenerationState.RUNNING && (
        <>
          <span>
            {t.stagesDone[progress?.stage ?? 0]}
            {steps > 0 && `, ${t.stepOf(progress?.step ?? 0, steps)}`}
          </span>
          <progress aria-label={t.progress} max={Math.max(1, steps)} value={progress?.step ?? 0} />
        </>
      )}
      {state === GenerationState.DONE && <span>{t.filesGone}</span>}
      {(state === GenerationState.FAILED || state === GenerationState.CANCELLED) && <span>{t.states[state]}</span>}
    </span>
  );
}
