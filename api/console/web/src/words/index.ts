/** The words of the page, in the language that was chosen. A catalogue is a plain object, so a missing word is a type error. */

import { signal } from "@preact/signals";
import { recall, remember } from "../storage";
import { en } from "./en";
import { type Language, language } from "./language";

export type Words = typeof en;
export { type Language, language, LANGUAGES } from "./language";

export const words = signal<Words>(en);

const catalogues: Record<Language, () => Promise<Words>> = {
  en: async () => en,
  vi: async () => (await import("./vi")).vi,
};

/** Takes the language that this browser remembers, else the one that the API found best. */
export async function chooseLanguage(best: string): Promise<void> {
  const chosen = recall("language") || best;
  await show(chosen === "vi" ? "vi" : "en");
}

export async function changeLanguage(chosen: Language): Promise<void> {
  remember("language", chosen);
  await show(chosen);
}

async function show(chosen: Language): Promise<void> {
  words.value = await catalogues[chosen]();
  language.value = chosen;
  document.documentElement.lang = chosen;
}
