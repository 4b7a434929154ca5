// What a person prefers: language, light or dark. Kept in this browser.
import { effect, signal } from "@preact/signals";

export type Language = "en" | "ko";
export type Theme = "auto" | "light" | "dark";

const kept = (key: string) => {
  try {
    return localStorage.getItem(`ltxd.${key}`);
  } catch {
    return null; // Storage is switched off.
  }
};
const keep = (key: string, value: string) => {
  try {
    localStorage.setItem(`ltxd.${key}`, value);
  } catch {
    // It is forgotten with the tab, then.
  }
};

const languages: readonly string[] = ["en", "ko"];
const wished = kept("language") ?? navigator.language.slice(0, 2);

export const language = signal<Language>(languages.includes(wished) ? (wished as Language) : "en");
export const theme = signal<Theme>((kept("theme") as Theme | null) ?? "auto");

effect(() => {
  document.documentElement.lang = language.value;
  keep("language", language.value);
});

effect(() => {
  const root = document.documentElement;
  if (theme.value === "auto") delete root.dataset["theme"];
  else root.dataset["theme"] = theme.value;
  keep("theme", theme.value);
});
