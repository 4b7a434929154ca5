// The prompt, and how many of the model's tokens it has.
import { fresh, verdict } from "../../state/eligibility";
import { form } from "../../state/form";
import { text } from "../../text";
import { Field } from "../parts";

export function Prompt() {
  const t = text.value;
  const found = verdict.value?.promptTokens;
  const over = !!found && found.tokens > found.most;
  const { count } = t.units;
  const told = !found
    ? t.tokensUnknown
    : over
      ? t.tokensTooMany(count(found.tokens), count(found.most))
      : t.tokens(count(found.tokens), count(found.most));
  return (
    <Field
      label={t.prompt}
      wrong={over}
      hint={
        <span class="prompt-hint">
          <span>{t.promptHint}</span>
          <span class={fresh.value ? "tokens" : "tokens stale"} data-testid="tokens">
            {told}
          </span>
        </span>
      }
    >
      {(ids) => (
        <textarea
          {...ids}
          rows={3}
          aria-invalid={over}
          value={form.prompt.value}
          onInput={(event) => (form.prompt.value = event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
