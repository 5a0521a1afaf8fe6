/** The language that the page speaks now. */

import { signal } from "@preact/signals";

export type Language = "en" | "vi";
export const LANGUAGES: Record<Language, string> = { en: "English", vi: "Tiếng Việt" };
export const language = signal<Language>("en");
