// The page's words in the language that is chosen.
import { computed } from "@preact/signals";
import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import { language, type Language } from "../state/preferences";
import { en } from "./en";
import { ko } from "./ko";

/** What every language says. */
export type Texts = typeof en;

export const languages: Record<Language, Texts> = { en, ko };

/** The words to use; read it while rendering. */
export const text = computed(() => languages[language.value]);

/** A moment, as the reader's own clock has it. */
export function moment(time: Timestamp | undefined, dateStyle: "medium" | "short" = "medium"): string {
  if (!time) return "–";
  return new Intl.DateTimeFormat(language.value, { dateStyle, timeStyle: "short" }).format(timestampDate(time));
}

/** A share, 0 to 1, in percent. */
export function percent(share: number): string {
  return new Intl.NumberFormat(language.value, { style: "percent" }).format(share);
}
