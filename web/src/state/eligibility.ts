// The node's verdict on what the form asks for, as its values change.
import { effect, signal } from "@preact/signals";
import { calls } from "../api/calls";
import { insist } from "../api/insist";
import { Latest } from "../api/latest";
import { problemOf, type Problem } from "../api/problem";
import type { CheckEligibilityResponse } from "../gen/ltx/v1/policy_service_pb";
import { token } from "../api/session";
import { loading, restarts } from "./node";
import { judged, specOf } from "./spec";

/** The last answer; kept while a newer one is on its way. */
export const verdict = signal<CheckEligibilityResponse | undefined>();
/** Whether the answer is to what stands in the form. */
export const fresh = signal(false);
/** Why there is no answer. */
export const unjudged = signal<Problem | undefined>();

const latest = new Latest(200);

/** Asks for a verdict whenever the form changes, and when another node or client may judge otherwise. */
export function beginJudging(): () => void {
  const leave = effect(() => {
    const spec = specOf(judged);
    restarts.value;
    token.value;
    loading.value;
    fresh.value = false;
    latest.ask(
      (stop) =>
        insist(
          () => calls.policy.checkEligibility({ spec }, { signal: stop }),
          stop,
          (problem) => (unjudged.value = problem),
        ),
      (answer) => {
        verdict.value = answer;
        fresh.value = true;
        unjudged.value = undefined;
      },
      (thrown) => (unjudged.value = problemOf(thrown)),
    );
  });
  return () => {
    leave();
    latest.stop();
  };
}
