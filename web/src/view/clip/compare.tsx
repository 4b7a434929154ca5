// The given image against the frame that was made of it: beside each other, or over each other with a slider; and in numbers.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Generation } from "../../gen/ltx/v1/generation_pb";
import type { Likeness } from "../../media/likeness";
import { loadPair, type Film, type Pair, type Which } from "../../state/pair";
import { text } from "../../text";
import { Segments } from "../parts";

export function Compare(props: { generation: Generation; video: Film }) {
  const t = text.value;
  const { generation, video } = props;
  const both = generation.spec?.images.case === "startEndImages";
  const [which, choose] = useState<Which>("first");
  const [how, show] = useState<"beside" | "over">("beside");
  const [pair, setPair] = useState<Pair>();
  useEffect(() => {
    setPair(undefined);
    if (which === "last" && !video) return;
    const stop = new AbortController();
    loadPair(generation, which, video, stop.signal).then((found) => stop.signal.aborted || setPair(found), () => {});
    return () => stop.abort();
  }, [generation.id, which, which === "last" && video]);
  return (
    <section class="compare">
      <h2>{t.compare}</h2>
      <div class="compare-choices">
        {both && (
          <Segments
            label={t.frame}
            hideLabel
            value={which}
            options={[
              ["first", t.first],
              ["last", t.last],
            ]}
            choose={(value) => choose(value)}
          />
        )}
        <Segments
          label={t.how}
          hideLabel
          value={how}
          options={[
            ["beside", t.beside],
            ["over", t.over],
          ]}
          choose={(value) => show(value)}
        />
      </div>
      {!pair ? <p class="hint">{t.comparing}</p> : <Pictures pair={pair} how={how} />}
      <Numbers generation={generation} which={which} likeness={pair?.likeness} />
    </section>
  );
}

function Pictures(props: { pair: Pair; how: "beside" | "over" }) {
  const t = text.value;
  const { given, made } = props.pair;
  const [share, slide] = useState(50);
  const givenCanvas = typeof given !== "string" && <Pixels pixels={given} label={t.givenAlt} />;
  const madeCanvas = typeof made !== "string" && <Pixels pixels={made} label={t.madeAlt} />;
  if (props.how === "over" && givenCanvas && madeCanvas) {
    return (
      <div class="over-each-other">
        <div class="layers">
          {madeCanvas}
          <div class="layer" style={{ clipPath: `inset(0 ${100 - share}% 0 0)` }}>
            {givenCanvas}
          </div>
          <span class="divide" style={{ left: `${share}%` }} aria-hidden="true" />
          <span class="tag left" aria-hidden="true">
            {t.given}
          </span>
          <span class="tag right" aria-hidden="true">
            {t.made}
          </span>
        </div>
        <input
          type="range"
          min={0}
          max={100}
          value={share}
          aria-label={t.slider}
          aria-valuetext={`${t.given} ${share} %`}
          onInput={(event) => slide(event.currentTarget.valueAsNumber)}
        />
      </div>
    );
  }
  return (
    <div class="beside">
      <figure>
        {typeof given === "string" ? <p class="note">{given === "gone" ? t.givenGone : t[given]}</p> : givenCanvas}
        <figcaption>{t.given}</figcaption>
      </figure>
      <figure>
        {typeof made === "string" ? <p class="note">{made === "gone" ? t.madeGone : t[made]}</p> : madeCanvas}
        <figcaption>{t.made}</figcaption>
      </figure>
    </div>
  );
}

function Pixels(props: { pixels: ImageData; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const target = canvas.current!;
    [target.width, target.height] = [props.pixels.width, props.pixels.height];
    target.getContext("2d")!.putImageData(props.pixels, 0, 0);
  }, [props.pixels]);
  return <canvas ref={canvas} role="img" aria-label={props.label} />;
}

function Numbers(props: { generation: Generation; which: Which; likeness: Likeness | undefined }) {
  const t = text.value;
  const { generation, which, likeness } = props;
  const node = which === "first" ? generation.firstFrame : generation.lastFrame;
  const decibel = (value: number | undefined) => (value === undefined ? "–" : `${value.toFixed(1)} dB`);
  const share = (value: number | undefined) => (value === undefined ? "–" : value.toFixed(3));
  return (
    <table class="numbers">
      <thead>
        <tr>
          <td />
          <th scope="col">{t.psnr}</th>
          <th scope="col">{t.ssim}</th>
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">
            {t.byNode}
            <span class="hint">{t.byNodeHint}</span>
          </th>
          <td>{decibel(node?.psnrDb)}</td>
          <td>{share(node?.ssim)}</td>
        </tr>
        <tr>
          <th scope="row">
            {t.byPage}
            <span class="hint">{t.byPageHint}</span>
          </th>
          <td data-testid="psnr">{decibel(likeness?.psnr)}</td>
          <td data-testid="ssim">{share(likeness?.ssim)}</td>
        </tr>
      </tbody>
    </table>
  );
}
