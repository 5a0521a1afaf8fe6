/** Numbers, sizes, times and money as the reader's language writes them. Times are local; the title has them whole. */

import { signal } from "@preact/signals";
import { language } from "./words/language";

/** Ticks every ten seconds while the page is seen, so that "2 minutes ago" stays true. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 10_000);

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

export function ago(iso: string): string {
  const seconds = (Date.parse(iso) - now.value) / 1000;
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto", style: "short" });
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  }
  return format.format(0, "second");
}

export function moment(iso: string): string {
  return new Date(iso).toLocaleString(language.value, { dateStyle: "medium", timeStyle: "medium" });
}

export function clock(iso: string): string {
  return new Date(iso).toLocaleTimeString(language.value);
}

export function count(number: number): string {
  return number.toLocaleString(language.value);
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toLocaleString(language.value, { maximumFractionDigits: 1 })} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function between(start: string | null, end: string | null): string {
  if (!start) return "–";
  return duration((end ? Date.parse(end) : now.value) - Date.parse(start));
}

export function money(usd: number): string {
  const digits = usd !== 0 && Math.abs(usd) < 0.01 ? 6 : 2;
  return usd.toLocaleString(language.value, { style: "currency", currency: "USD", maximumFractionDigits: digits });
}

export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString(language.value, { maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0 })} ${units[unit]}`;
}
