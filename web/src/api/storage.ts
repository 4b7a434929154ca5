// What outlives a reload: in this tab or in this browser, where it keeps anything at all.
type Where = "tab" | "browser";

const key = (name: string) => `ltxd.${name}`;
const storage = (where: Where) => (where === "tab" ? sessionStorage : localStorage);

/** What was kept under a name; null where nothing was, or storage is switched off. */
export function kept(where: Where, name: string): string | null {
  try {
    return storage(where).getItem(key(name));
  } catch {
    return null;
  }
}

/** Keeps a text, or nothing; it is forgotten with the page where storage is switched off. */
export function keep(where: Where, name: string, value: string | undefined): void {
  try {
    if (value === undefined) storage(where).removeItem(key(name));
    else storage(where).setItem(key(name), value);
  } catch {
    // Nothing is kept, then.
  }
}
