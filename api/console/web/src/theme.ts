/** Light, dark, or as the system has it. `public/theme.js` applies the choice before the first paint. */

import { signal } from "@preact/signals";
import { recall, remember } from "./storage";

export type Theme = "system" | "light" | "dark";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const kept = recall("theme");
export const theme = signal<Theme>(kept === "light" || kept === "dark" ? kept : "system");

export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  remember("theme", chosen === "system" ? "" : chosen);
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}
