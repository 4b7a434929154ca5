// Which view is open, as the address says it: #/make, #/clips, #/clip/ID, #/node.
import { signal } from "@preact/signals";

export type Route = { view: "make" } | { view: "clips" } | { view: "clip"; id: string } | { view: "node" };

/** The route of an address's hash; what is none is the form. */
export function routeOf(hash: string): Route {
  const [view, id] = hash.replace(/^#\/?/, "").split("/");
  if (view === "clip" && id && /^[0-9a-f-]{36}$/.test(id)) return { view, id };
  if (view === "clips" || view === "node") return { view };
  return { view: "make" };
}

export const route = signal<Route>(routeOf(globalThis.location?.hash ?? ""));

globalThis.addEventListener?.("hashchange", () => (route.value = routeOf(location.hash)));

/** Opens a view. */
export function go(to: string): void {
  location.hash = `#/${to}`;
}
