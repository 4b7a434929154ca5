// What the clip says of itself, and what was asked for.
import { Conditioning, Flow, Schedule } from "../../gen/ltx/v1/spec_pb";
import type { Generation } from "../../gen/ltx/v1/generation_pb";
import { imagesOf, loraWord } from "../../state/commands";
import { moment, text } from "../../text";
import { Facts } from "../parts";

const lower = (name: string | undefined) => name?.toLowerCase().replaceAll("_", " ");

export function Mark(props: { generation: Generation }) {
  const t = text.value;
  const { mark, measured, outputsExpire } = props.generation;
  if (!mark) return null;
  const { bytes, seconds } = t.units;
  return (
    <section>
      <h2>{t.mark}</h2>
      <p class="hint">{t.markText}</p>
      <Facts
        rows={[
          [t.usage, t.usageClasses[mark.usageClass]],
          [t.creditsCharged, String(mark.creditsCharged)],
          [t.method, t.methodsMade[mark.method]],
          [t.model, mark.model],
          [t.version, mark.modelVersion],
          [t.seed, mark.seed.toString()],
          [t.flow, mark.flow ? lower(Flow[mark.flow]) : ""],
          [t.loras, mark.loras.join(", ")],
          [t.sigmas, mark.sigmas.join(", ")],
          [t.refineSigmas, mark.refineSigmas.join(", ")],
          [t.engine, mark.engine],
          [t.testing, mark.testing ? t.yes : ""],
          [t.nodeId, <Digest text={mark.nodeId} />],
          [t.doneAt, moment(mark.time)],
          [t.framesDigest, <Digest text={mark.framesSha256} />],
          [t.weights, mark.weights && <Digest text={mark.weights.headerSha256} />],
          [t.weightsFile, mark.weights?.fileSha256 && <Digest text={mark.weights.fileSha256} />],
        ]}
      />
      {measured && (
        <>
          <h3>{t.measured}</h3>
          <Facts
            rows={[
              [t.peak, bytes(measured.peakMemoryBytes)],
              [t.took, seconds(measured.seconds)],
            ]}
          />
        </>
      )}
      {outputsExpire && <p class="hint">{t.expires(moment(outputsExpire))}</p>}
    </section>
  );
}

export function Digest(props: { text: string }) {
  return <code class="digest">{props.text}</code>;
}

export function Request(props: { generation: Generation }) {
  const t = text.value;
  const spec = props.generation.spec!;
  const { start, end } = imagesOf(spec);
  const { guidance, caller } = spec;
  const low = caller?.creditsLow;
  return (
    <section>
      <h2>{t.request}</h2>
      <Facts
        rows={[
          [t.prompt, spec.prompt],
          [t.negative, spec.negativePrompt],
          [t.format, `${spec.width} × ${spec.height}, ${t.units.count(spec.frames ?? 0)} × ${spec.fps}/s`],
          [t.beyond, spec.beyondTrainedLength ? t.yes : ""],
          [t.model, spec.model],
          [t.seed, spec.seed?.toString()],
          [t.flow, spec.flow ? lower(Flow[spec.flow]) : ""],
          [t.schedule, spec.schedule ? lower(Schedule[spec.schedule]) : ""],
          [t.stages, spec.stages?.toString()],
          [t.steps, spec.steps?.toString()],
          [t.sigmas, spec.sigmas.join(", ")],
          [t.refineSigmas, spec.refineSigmas.join(", ")],
          [t.cfg, guidance?.cfgScale?.toString()],
          [t.stg, guidance?.stgScale?.toString()],
          [t.stgBlocks, guidance?.stgBlocks.join(", ")],
          [t.rescale, guidance?.rescaleScale?.toString()],
          [t.loras, spec.loras.map(loraWord).join(", ")],
          [t.conditioning, spec.conditioning ? lower(Conditioning[spec.conditioning]) : ""],
          [end ? t.startStrength : t.strength, start?.strength?.toString()],
          [t.endStrength, end?.strength?.toString()],
          [t.imageCrf, spec.imageCrf?.toString()],
          [t.agent, caller?.agent ? t.agents[caller.agent] : ""],
          [t.credits, low === undefined ? "" : low ? t.creditsAre.low : t.creditsAre.enough],
          [t.plan, caller?.plan],
          [t.id, <Digest text={props.generation.id} />],
        ]}
      />
    </section>
  );
}
