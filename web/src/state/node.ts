// The node as GetNode tells it, looked at again and again while the page is seen.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { computed, effect, signal } from "@preact/signals";
import { calls } from "../api/calls";
import { pauseMs } from "../api/insist";
import { access, link, token } from "../api/session";
import { NodeState, type Model, type Node } from "../gen/ltx/v1/node_service_pb";

const EVERY_MS = 3000;

/** The node as it was told last. */
export const node = signal<Node | undefined>();
/** How often the node has started anew since the page was opened. */
export const restarts = signal(0);

export const loading = computed(() => node.value?.state === NodeState.LOADING);
export const stopping = computed(() => node.value?.state === NodeState.STOPPING);
/** Models that requests are served for, the default first. */
export const served = computed(() => node.value?.models.filter((model) => model.loaded) ?? []);

/** The model that a name means; the node's default for none. */
export function modelOf(name: string, models: Model[]): Model | undefined {
  const same = (other: string) => other.toLowerCase().replace(/\s+/g, "") === name.toLowerCase().replace(/\s+/g, "");
  if (!name) return models.find((model) => model.default);
  return models.find((model) => same(model.name) || model.aliases.some(same));
}

let timer: ReturnType<typeof setTimeout> | undefined;
let asking = false;
let failures = 0;

/** Asks the node now, and regularly from then on. */
export async function lookAtNode(): Promise<void> {
  if (asking) return;
  clearTimeout(timer);
  asking = true;
  try {
    const { node: found } = await calls.node.getNode({}, { timeoutMs: 10_000 });
    if (found) take(found);
    failures = 0;
  } catch {
    failures++; // The session knows why.
  }
  asking = false;
  const unwelcome = access.peek() !== "open";
  if (!unwelcome && !document.hidden) timer = setTimeout(lookAtNode, failures ? pauseMs(failures - 1) : EVERY_MS);
}

function take(found: Node): void {
  const before = node.peek()?.started;
  if (before && found.started && timestampMs(before) !== timestampMs(found.started)) restarts.value++;
  access.value = "open";
  node.value = found;
}

/** Begins to look at the node: at once after a token was typed in, a call failed, or the page is seen again. */
export function beginLooking(): void {
  document.addEventListener("visibilitychange", () => document.hidden || lookAtNode());
  addEventListener("online", lookAtNode);
  effect(() => {
    token.value;
    if (access.value === "open") void lookAtNode();
  });
  effect(() => {
    if (link.value === "down" && !asking) {
      clearTimeout(timer);
      timer = setTimeout(lookAtNode, 300);
    }
  });
}
