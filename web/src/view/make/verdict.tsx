// What the node would say, what it would cost, and the button that asks.
import { useRef } from "preact/hooks";
import { reasonOf, type Reason } from "../../api/problem";
import { Verdict, type CheckEligibilityResponse, type Estimate, type FieldViolation } from "../../gen/ltx/v1/policy_service_pb";
import { Agent } from "../../gen/ltx/v1/spec_pb";
import { fresh, unjudged, verdict } from "../../state/eligibility";
import { complete, form } from "../../state/form";
import { language } from "../../state/preferences";
import { text } from "../../text";
import { Bar, Facts } from "../parts";
import { ProblemText, sentence } from "../problem";
import { Ask } from "./ask";
import { applicable, apply } from "./apply";

export function VerdictPanel() {
  const t = text.value;
  const panel = useRef<HTMLElement>(null);
  const found = verdict.value;
  const why = unjudged.value;
  const blocked = fresh.value && found !== undefined && objection(found) !== undefined;
  const show = () => panel.current?.focus();
  return (
    <aside class="verdict" aria-label={t.verdict} ref={panel} tabIndex={-1}>
      <div class={fresh.value ? "verdict-body" : "verdict-body stale"} aria-live="polite" aria-busy={!fresh.value}>
        {why ? why.kind === "lost" ? <p>{t.checkLost}</p> : <ProblemText problem={why} /> : null}
        {!found && !why && <p>{t.checking}</p>}
        {found && <Words found={found} />}
      </div>
      <Ask blocked={blocked} show={show} />
    </aside>
  );
}

function Words(props: { found: CheckEligibilityResponse }) {
  const t = text.value;
  const { found } = props;
  const against = objection(found);
  return (
    <>
      {!complete.value && <h2>{form.method.value === "ends" ? t.needImages : t.needImage}</h2>}
      {against ? <h2 class="bad">{t[against]}</h2> : complete.value && <h2 class="good">{t.free}</h2>}
      {!against && complete.value && <p>{t.freeText(found.model)}</p>}
      {found.grounds.length > 0 && <Grounds found={found} />}
      {found.violations.length > 0 && <Violations fields={found.violations} />}
      {found.estimate && <Needs needs={found.estimate} />}
    </>
  );
}

/** What stands against asking, by the name of its text; undefined for nothing. */
function objection({ verdict, violations, estimate }: CheckEligibilityResponse) {
  if (verdict === Verdict.REFUSED) return "refused";
  if (violations.length > 0) return "wrongFields";
  if (!estimate || estimate.fits) return undefined;
  return isLate(estimate) && !isOver(estimate) ? "tooLong" : "tooBig";
}

/** Whether it takes longer than the node allows. */
function isLate({ resources, limitSeconds }: Estimate): boolean {
  return limitSeconds > 0 && (resources?.seconds ?? 0) > limitSeconds;
}

/** Whether it needs more memory than there is. */
function isOver({ resources, availableMemoryBytes: available }: Estimate): boolean {
  return available > 0n && (resources?.peakMemoryBytes ?? 0n) > available;
}

/** Reasons against the request, each with what to do instead; where the form can do it, a button does. */
function Grounds(props: { found: CheckEligibilityResponse }) {
  const t = text.value;
  const english = language.value === "en";
  return (
    <ul class="plain grounds">
      {props.found.grounds.map(({ reason, why, remedy }) => {
        const name = reasonOf(reason);
        const [title, instead] = name ? t.reasons[name] : t.unknownProblem;
        return (
          <li key={reason}>
            <p>
              <strong>{title}.</strong>
            </p>
            <p class="hint" lang="en">
              {t.nodeSays}: {why}
            </p>
            <p>
              <span class="instead">{t.instead}</span> {english && remedy ? sentence(remedy) : instead}
            </p>
            {name && <Fix reason={name} />}
          </li>
        );
      })}
    </ul>
  );
}

function Fix(props: { reason: Reason }) {
  const { fix } = text.value;
  const fixes: Partial<Record<Reason, [string, () => void]>> = {
    EXTERNAL_MODEL_NOT_COVERED:
      form.agent.value === Agent.AGENT_2 && !form.model.value
        ? [fix.agent, () => (form.agent.value = Agent.AGENT_1)]
        : [fix.model, () => (form.model.value = "")],
    UNKNOWN_MODEL: [fix.model, () => (form.model.value = "")],
    MODEL_NOT_LOADED: form.model.value ? [fix.model, () => (form.model.value = "")] : undefined,
    LOW_CREDITS: [fix.credits, () => (form.agent.value = Agent.AGENT_1)],
    PLAN_NOT_COVERED: [fix.plan, () => (form.plan.value = "")],
  } as Partial<Record<Reason, [string, () => void]>>;
  const found = fixes[props.reason];
  return found ? (
    <button type="button" onClick={found[1]}>
      {found[0]}
    </button>
  ) : null;
}

function Violations(props: { fields: FieldViolation[] }) {
  const t = text.value;
  return (
    <ul class="plain grounds">
      {props.fields.map(({ field, description, nearest }) => (
        <li key={field}>
          <p>
            <strong>{t.fields[field] ?? field}</strong>: <span lang="en">{description}</span>
          </p>
          {nearest && applicable(field, nearest) && (
            <button type="button" onClick={() => apply(field, nearest)}>
              {t.useValue(nearest)}
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

function Needs(props: { needs: Estimate }) {
  const t = text.value;
  const { resources, availableMemoryBytes: available, largest, limitSeconds, waitSeconds } = props.needs;
  const peak = resources?.peakMemoryBytes ?? 0n;
  const { bytes, seconds } = t.units;
  const wait = waitSeconds === undefined ? t.waitUnknown : waitSeconds < 0.05 ? t.noWait : seconds(waitSeconds);
  const taken = resources?.seconds ? seconds(resources.seconds) : t.timeUnknown;
  const counted = resources?.seconds && resources.counted ? t.timeCounted(taken) : taken;
  const time = limitSeconds > 0 ? t.timeOf(counted, seconds(limitSeconds)) : counted;
  return (
    <>
      <Facts
        rows={[
          [
            t.memory,
            <>
              {t.memoryOf(bytes(peak), bytes(available))}
              <Bar share={Number(peak) / Math.max(1, Number(available))} over={isOver(props.needs)} />
            </>,
          ],
          [t.time, time],
          [t.wait, wait],
        ]}
      />
      {largest && (
        <button
          type="button"
          onClick={() => {
            form.width.value = largest.width;
            form.height.value = largest.height;
            form.frames.value = largest.frames;
          }}
        >
          {t.largest(largest.width, largest.height, largest.frames)}
        </button>
      )}
    </>
  );
}
