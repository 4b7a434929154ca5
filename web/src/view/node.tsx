// The node: what it runs on, how busy it is, what it serves and allows.
import { token } from "../api/session";
import type { Model } from "../gen/ltx/v1/node_service_pb";
import { forgetKept } from "../state/keeping";
import { node } from "../state/node";
import { moment, text } from "../text";
import { Digest } from "./clip/mark";
import { Bar, Facts } from "./parts";

function leave(): void {
  token.value = "";
  forgetKept();
}

export function NodeView() {
  const t = text.value;
  const found = node.value;
  return (
    <div class="node">
      <h1 tabIndex={-1}>{t.nodeTitle}</h1>
      {!found ? <p>{t.connecting}</p> : <Sections />}
    </div>
  );
}

function Sections() {
  const t = text.value;
  const { version, id, started, client, device, memory, queue, models, limits, policy, testing } = node.value!;
  const { bytes, count, seconds } = t.units;
  const total = memory?.totalBytes ?? 0n;
  const of = (part: bigint | undefined) => (
    <>
      {bytes(part ?? 0n)}
      <Bar share={Number(part ?? 0n) / Math.max(1, Number(total))} />
    </>
  );
  return (
    <>
      <div class="node-cards">
        <section>
          <h2>{t.nodeTitle}</h2>
          <Facts
            rows={[
              [t.version, version],
              [t.id, <Digest text={id} />],
              [t.startedAt, moment(started)],
              [t.client, client],
              [t.testing, testing && (testing.faults.join(", ") || t.yes)],
            ]}
          />
          {token.value && (
            <button type="button" onClick={leave}>
              {t.leave}
            </button>
          )}
        </section>
        <section>
          <h2>{t.device}</h2>
          <Facts
            rows={[
              [t.kind, t.kinds[device?.kind ?? ""] ?? device?.kind],
              [t.deviceName, device?.name],
              [t.precision, device?.dtype],
              [t.threads, device?.threads ? count(device.threads) : undefined],
            ]}
          />
        </section>
        <section>
          <h2>{t.memory}</h2>
          <Facts
            rows={[
              [t.memoryTotal, bytes(total)],
              [t.memoryAvailable, of(memory?.availableBytes)],
              [t.memoryResident, of(memory?.residentBytes)],
              [t.memoryWeights, of(memory?.residentWeightBytes)],
            ]}
          />
        </section>
        <section>
          <h2>{t.queue}</h2>
          {queue && (
            <Facts
              rows={[
                [t.running, count(queue.running)],
                [
                  t.queued,
                  <>
                    {t.ofCapacity(count(queue.queued), count(queue.capacity))}
                    <Bar share={queue.queued / Math.max(1, queue.capacity)} />
                  </>,
                ],
                [t.own, t.ofCapacity(count(queue.ownQueued), count(queue.ownCapacity))],
                [t.newWaits, queue.waitSeconds === undefined ? t.waitUnknown : queue.waitSeconds < 0.05 ? t.noWait : seconds(queue.waitSeconds)],
              ]}
            />
          )}
        </section>
        <section>
          <h2>{t.limits}</h2>
          {limits && (
            <Facts
              rows={[
                [t.limitImage, bytes(limits.imageBytes)],
                [t.limitPixels, count(limits.imagePixels)],
                [t.limitPrompt, bytes(limits.promptBytes)],
                [t.limitMessage, bytes(limits.messageBytes)],
                [t.limitRequests, t.aSecond(count(limits.requestsPerSecond))],
                [t.limitCalls, t.aSecond(count(limits.callsPerSecond))],
                [t.limitStreams, count(limits.concurrentStreams)],
                [t.limitOutputs, limits.outputSeconds ? seconds(Number(limits.outputSeconds)) : t.limitOutputsRoom],
                [t.limitStorage, bytes(limits.storageBytes)],
              ]}
            />
          )}
        </section>
        <section>
          <h2>{t.policy}</h2>
          <Facts
            rows={[
              [t.plans, policy?.plans.join(", ")],
              [t.external, policy?.externalModels.join(", ")],
            ]}
          />
        </section>
      </div>
      <section class="models">
        <h2>{t.models}</h2>
        <ul class="plain">
          {[...models].sort((a, b) => Number(b.loaded) - Number(a.loaded)).map((model) => (
            <li key={model.name}>
              <OneModel model={model} />
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}

function OneModel(props: { model: Model }) {
  const t = text.value;
  const { model } = props;
  const { rules, defaults } = model;
  const { seconds } = t.units;
  return (
    <details class="fold model" open={model.default}>
      <summary>
        <strong>{model.name}</strong>{" "}
        <span class={model.loaded ? "state s3" : "state s0"}>{model.loaded ? t.modelServed : t.modelKnown}</span>
      </summary>
      <p lang="en">{model.description}</p>
      <Facts
        rows={[
          [t.aliases, model.aliases.join(", ")],
          [t.family, model.family],
          [t.version, model.version],
          [t.licence, model.licence],
          [t.defaultsAre, defaults && `${defaults.width} × ${defaults.height}, ${defaults.frames} × ${defaults.fps}/s`],
          [t.sizes, rules && t.legalSides(rules.sideStep, rules.sideStep, rules.largestSide)],
          [t.lengths, rules && t.legalFrames(rules.frameStep, rules.mostFrames)],
          [t.trained, rules?.trainedSeconds ? seconds(rules.trainedSeconds) : undefined],
          [t.twoStages, model.loaded ? (model.twoStages ? t.yes : t.no) : undefined],
          [t.loras, model.loras.map(({ name }) => name).join(", ")],
          [t.weights, model.weights && <Digest text={model.weights.headerSha256} />],
        ]}
      />
    </details>
  );
}
