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

/** Makes a format for each language once: making one takes longer than formatting a hundred times. */
function once<F>(make: (language: string) => F): () => F {
  const made = new Map<string, F>();
  return () => {
    const found = made.get(language.value) ?? make(language.value);
    made.set(language.value, found);
    return found;
  };
}

const relative = once((tag) => new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" }));
const moments = once((tag) => new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "medium" }));
const clocks = once((tag) => new Intl.DateTimeFormat(tag, { timeStyle: "medium" }));
const numbers = once((tag) => new Intl.NumberFormat(tag));
const tenths = once((tag) => new Intl.NumberFormat(tag, { maximumFractionDigits: 1 }));

/** Days by the calendar: 30 hours from now is tomorrow or the day after. A day of 25 hours is one all the same. */
function daysTo(iso: string): number {
  const days = (new Date(iso).setHours(0, 0, 0, 0) - new Date(now.value).setHours(0, 0, 0, 0)) / 86_400_000;
  return Math.round(days) || (Date.parse(iso) < now.value ? -1 : 1);
}

export function ago(iso: string): string {
  const seconds = (Date.parse(iso) - now.value) / 1000;
  const format = relative();
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return format.format(unit === "day" ? daysTo(iso) : Math.trunc(seconds / size), unit);
  }
  return format.format(0, "second");
}

export function moment(iso: string): string {
  return moments().format(new Date(iso));
}

export function clock(iso: string): string {
  return clocks().format(new Date(iso));
}

export function count(number: number): string {
  return numbers().format(number);
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${tenths().format(seconds)} s`;
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
