// The clip itself, fetched whole and played from here.
import { useEffect, useState } from "preact/hooks";
import { fetchOutput } from "../../api/download";
import { problemOf, type Problem } from "../../api/problem";
import { Output, type Generation } from "../../gen/ltx/v1/generation_pb";
import { unfetched, type Film } from "../../state/pair";
import { percent, text } from "../../text";
import { ProblemText } from "../problem";

export function Video(props: { generation: Generation; ready(film: Film): void }) {
  const t = text.value;
  const { id, spec } = props.generation;
  const [url, setUrl] = useState<string>();
  const [share, tell] = useState(0);
  const [problem, fail] = useState<Problem>();
  useEffect(() => {
    const stop = new AbortController();
    let made: string | undefined;
    fetchOutput(id, Output.MP4, stop.signal, tell).then(
      ({ blob }) => {
        made = URL.createObjectURL(blob);
        setUrl(made);
        props.ready({ url: made });
      },
      (thrown: unknown) => {
        if (stop.signal.aborted) return;
        const problem = problemOf(thrown);
        fail(problem);
        props.ready({ lack: unfetched(problem) });
      },
    );
    return () => {
      stop.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [id]);
  return (
    <section class="video" aria-label={t.video}>
      {url ? (
        <video src={url} controls loop muted playsInline aria-label={spec?.prompt || t.video} style={{ aspectRatio: `${spec?.width} / ${spec?.height}` }} />
      ) : problem ? (
        <div role="alert" class="note bad">
          <ProblemText problem={problem} />
        </div>
      ) : (
        <div class="video-wait" style={{ aspectRatio: `${spec?.width} / ${spec?.height}` }}>
          <p>{t.videoFetching(percent(share))}</p>
        </div>
      )}
    </section>
  );
}
