// The header: where one is, how the node is, language and appearance.
import type { ComponentChildren } from "preact";
import { link } from "../api/session";
import { loading, node, stopping } from "../state/node";
import { language, theme, type Language, type Theme } from "../state/preferences";
import { route } from "../state/route";
import { languages, text } from "../text";

export function Header() {
  const t = text.value;
  const { view } = route.value;
  const items = [
    ["make", t.make, view === "make"],
    ["clips", t.clips, view === "clips" || view === "clip"],
    ["node", t.nodePage, view === "node"],
  ] as const;
  return (
    <header class="top">
      <span class="brand" aria-hidden="true">
        ltxd
      </span>
      <nav aria-label={t.views}>
        <ul>
          {items.map(([to, name, here]) => (
            <li key={to}>
              <a href={`#/${to}`} aria-current={here ? "page" : undefined}>
                {name}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <Status />
      <div class="preferences">
        <Choice label={t.language} value={language.value} choose={(value) => (language.value = value as Language)}>
          {Object.entries(languages).map(([key, { name }]) => (
            <option key={key} value={key} lang={key}>
              {name}
            </option>
          ))}
        </Choice>
        <Choice label={t.theme} value={theme.value} choose={(value) => (theme.value = value as Theme)}>
          {Object.entries(t.themes).map(([key, name]) => (
            <option key={key} value={key}>
              {name}
            </option>
          ))}
        </Choice>
      </div>
    </header>
  );
}

function Status() {
  const t = text.value;
  const found = node.value;
  const down = link.value === "down";
  const word = down ? t.unreachable : !found ? t.connecting : loading.value ? t.loading : stopping.value ? t.stopping : t.ready;
  const tone = down ? "bad" : !found || loading.value || stopping.value ? "warn" : "good";
  const queue = found?.queue;
  return (
    <a class="status" href="#/node">
      <span class={`dot ${tone}`} aria-hidden="true" />
      <span class="status-word">{word}</span>
      {queue && !down && <span class="status-queue">{t.queueShort(queue.running, queue.queued)}</span>}
    </a>
  );
}

function Choice(props: { label: string; value: string; choose(value: string): void; children: ComponentChildren }) {
  return (
    <select
      class="quiet"
      aria-label={props.label}
      title={props.label}
      value={props.value}
      onChange={(event) => props.choose(event.currentTarget.value)}
    >
      {props.children}
    </select>
  );
}
