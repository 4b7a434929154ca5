// A refusal or an error as a person reads it: what it is, what to do instead, and the node's own words.
import type { Problem } from "../api/problem";
import { language } from "../state/preferences";
import { text } from "../text";

export function ProblemText(props: { problem: Problem }) {
  const t = text.value;
  const { problem } = props;
  const grounds = problem.grounds.length > 0 ? problem.grounds : [{ reason: undefined, why: "", remedy: "" }];
  const english = language.value === "en";
  return (
    <>
      {grounds.map(({ reason, why, remedy }) => {
        const [title, instead] = reason ? t.reasons[reason] : t.unknownProblem;
        return (
          <div key={reason} class="ground">
            <p>
              <strong>{title}.</strong> {english && remedy ? `${sentence(remedy)} ` : instead}
            </p>
            {why && (
              <p class="hint" lang="en">
                {t.nodeSays}: {why}
              </p>
            )}
          </div>
        );
      })}
      {problem.fields.length > 0 && (
        <ul class="plain">
          {problem.fields.map(({ field, description }) => (
            <li key={field}>
              <strong>{t.fields[field] ?? field}</strong>: <span lang="en">{description}</span>
            </li>
          ))}
        </ul>
      )}
      {problem.damaged !== undefined ? (
        <p class="hint">{t.cameDamaged(problem.damaged)}</p>
      ) : (
        !problem.reason &&
        problem.sentence && (
          <p class="hint" lang="en">
            {problem.sentence}
          </p>
        )
      )}
      {problem.retrySeconds !== undefined && <p>{t.inSeconds(t.units.seconds(problem.retrySeconds))}</p>}
    </>
  );
}

/** A clause as a sentence. */
export function sentence(clause: string): string {
  return clause.charAt(0).toUpperCase() + clause.slice(1) + (/[.!?]$/.test(clause) ? "" : ".");
}
