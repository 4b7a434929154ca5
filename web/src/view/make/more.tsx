// What most requests leave to the model: which one, the seed, sampling, and who asks.
import { useState } from "preact/hooks";
import { Agent, Schedule } from "../../gen/ltx/v1/spec_pb";
import { cfg, form, guided, model, readsNegative, schedule, stages, steps } from "../../state/form";
import { modelOf, node } from "../../state/node";
import { drawSeed, isSeed } from "../../state/spec";
import { text } from "../../text";
import { LegalNumber } from "../number";
import { Field, Segments, Select } from "../parts";
import { Hold, Loras } from "./hold";

const OTHER = "\0";

export function Model() {
  const t = text.value;
  const models = node.value?.models ?? [];
  const name = form.model.value;
  const [typing, type] = useState(false);
  const own = modelOf("", models);
  const listed = models.filter((each) => !each.default);
  const other = typing || (name !== "" && !models.some((each) => each.name === name));
  const options: [string, string][] = [
    ["", own ? t.modelDefault(own.name) : "…"],
    ...(own ? [[own.name, own.name] as [string, string]] : []),
    ...listed.map((each): [string, string] => [each.name, each.loaded ? each.name : `${each.name} (${t.notServed})`]),
    [OTHER, t.modelOther],
  ];
  const choose = (value: string) => {
    type(value === OTHER);
    if (value !== OTHER) form.model.value = value;
  };
  return (
    <div class="pair">
      <div>
        <Select label={t.model} value={other ? OTHER : name} options={options} choose={choose} />
        {other && (
          <Field label={t.modelOtherName}>
            {(ids) => <input {...ids} type="text" value={name} onInput={(event) => (form.model.value = event.currentTarget.value)} />}
          </Field>
        )}
      </div>
      <Seed />
    </div>
  );
}

function Seed() {
  const t = text.value;
  const seed = form.seed.value;
  const good = isSeed(seed);
  return (
    <Field label={t.seed} hint={good ? t.seedHint : t.seedWrong} wrong={!good}>
      {(ids) => (
        <div class="with-button">
          <input
            {...ids}
            type="text"
            inputMode="numeric"
            autocomplete="off"
            aria-invalid={!good}
            value={seed}
            onInput={(event) => (form.seed.value = event.currentTarget.value.trim())}
          />
          <button type="button" onClick={() => (form.seed.value = String(drawSeed()))}>
            {t.seedDraw}
          </button>
        </div>
      )}
    </Field>
  );
}

export function Sampling() {
  const t = text.value;
  return (
    <details class="fold">
      <summary>{t.advanced}</summary>
      {model.value?.twoStages && (
        <Segments
          label={t.stages}
          value={stages.value}
          options={[
            [1, t.stagesAre[1]],
            [2, t.stagesAre[2]],
          ]}
          choose={(value) => (form.stages.value = value)}
        />
      )}
      <Segments
        label={t.schedule}
        value={schedule.value}
        options={[
          [Schedule.DISTILLED, t.schedules[1]],
          [Schedule.GUIDED, t.schedules[2]],
        ]}
        choose={(value) => (form.schedule.value = value)}
      />
      {guided.value && <Guided />}
      <Hold />
      <Loras />
    </details>
  );
}

function Guided() {
  const t = text.value;
  return (
    <>
      <div class="pair">
        <LegalNumber
          label={t.steps}
          value={steps.value}
          range={{ least: 1, most: 1000, step: 1 }}
          hint="1–1,000"
          set={(value) => (form.steps.value = value)}
        />
        <Field label={t.cfg} hint={t.cfgHint}>
          {(ids) => (
            <input
              {...ids}
              type="number"
              min={0}
              max={100}
              step={0.1}
              value={cfg.value}
              onChange={(event) => {
                // Emptied, it is the model's own; what is not possible is told by the node.
                const wished = event.currentTarget.valueAsNumber;
                form.cfg.value = Number.isNaN(wished) ? undefined : wished;
                event.currentTarget.value = String(cfg.value);
              }}
            />
          )}
        </Field>
      </div>
      {readsNegative.value && (
        <Field label={t.negative} hint={t.negativeHint}>
          {(ids) => (
            <textarea {...ids} rows={2} value={form.negative.value} onInput={(event) => (form.negative.value = event.currentTarget.value)} />
          )}
        </Field>
      )}
    </>
  );
}

export function Caller() {
  const t = text.value;
  const plans = node.value?.policy?.plans ?? [];
  const low = form.creditsLow.value;
  const credits = low === undefined ? "unknown" : low ? "low" : "enough";
  return (
    <details class="fold">
      <summary>{t.caller}</summary>
      <p class="hint">{t.callerText}</p>
      <div class="pair">
        <Select
          label={t.agent}
          value={String(form.agent.value)}
          options={([Agent.AGENT_UNSPECIFIED, Agent.AGENT_1, Agent.AGENT_2] as const).map((agent) => [String(agent), t.agents[agent]] as const)}
          choose={(value) => (form.agent.value = Number(value))}
        />
        <Select
          label={t.credits}
          value={credits}
          options={Object.entries(t.creditsAre)}
          choose={(value) => (form.creditsLow.value = value === "unknown" ? undefined : value === "low")}
        />
      </div>
      <Field label={t.plan} hint={plans.join(", ")}>
        {(ids) => <input {...ids} type="text" value={form.plan.value} onInput={(event) => (form.plan.value = event.currentTarget.value)} />}
      </Field>
    </details>
  );
}
