// A request as a command, to be copied.
import { useState } from "preact/hooks";
import { token } from "../api/session";
import type { GenerationSpec } from "../gen/ltx/v1/spec_pb";
import { grpcurlCall, submitCommand } from "../state/commands";
import { say } from "../state/say";
import { text } from "../text";
import { Segments } from "./parts";

export function Commands(props: { spec: GenerationSpec; start: string; end: string }) {
  const t = text.value;
  const [which, choose] = useState<"submit" | "grpcurl">("submit");
  const [open, setOpen] = useState(false);
  const around = { origin: location.origin, withToken: token.value !== "", start: props.start, end: props.end };
  const command = !open ? "" : which === "submit" ? submitCommand(props.spec, around) : grpcurlCall(props.spec, around);
  const copy = () =>
    (navigator.clipboard?.writeText(command) ?? Promise.reject()).then(
      () => say(t.copied),
      () => say(t.copyFailed),
    );
  return (
    <details class="fold" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t.commands}</summary>
      <div class="command-head">
        <Segments
          label={t.commands}
          hideLabel
          value={which}
          options={[
            ["submit", t.asSubmit],
            ["grpcurl", t.asGrpcurl],
          ]}
          choose={(value) => choose(value)}
        />
        <button type="button" onClick={() => void copy()}>
          {t.copy}
        </button>
      </div>
      <pre class="command" tabIndex={0} aria-label={t.commands} role="region">
        <code>{command}</code>
      </pre>
      <p class="hint">{t.commandsFiles}</p>
    </details>
  );
}
