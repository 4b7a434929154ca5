// What a person prefers: language, light or dark. Kept in this browser.
import { effect, signal } from "@preact/signals";
import { keep, kept } from "../api/storage";

export type Language = "en" | "ko";
export type Theme = "auto" | "light" | "dark";

const languages: readonly string[] = ["en", "ko"];
const wished = kept("browser", "language") ?? navigator.language.slice(0, 2);

export const language = signal<Language>(languages.includes(wished) ? (wished as Language) : "en");
export const theme = signal<Theme>((kept("browser", "theme") as Theme | null) ?? "auto");

effect(() => {
  document.documentElement.lang = language.value;
  keep("browser", "language", language.value);
});

effect(() => {
  const root = document.documentElement;
  if (theme.value === "auto") delete root.dataset["theme"];
  else root.dataset["theme"] = theme.value;
  keep("browser", "theme", theme.value);
});
