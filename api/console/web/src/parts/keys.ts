/** Keys that work on every page: the palette, the list of keys, the search, moving through rows. Those of a single letter can be
 * switched off, and none of them works while somebody writes. */

import { signal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useEffect } from "preact/hooks";
import { to } from "../address";
import { recall, remember } from "../storage";

export type Over = "palette" | "keys";

/** What lies over the page. */
export const over = signal<Over | null>(null);
export const singleKeys = signal(recall("keys") !== "off");

export function openOver(shown: Over): void {
  over.value = shown;
}

export function allowSingleKeys(allowed: boolean): void {
  singleKeys.value = allowed;
  remember("keys", allowed ? "" : "off");
}

/** The name of the key beside which K opens the palette. */
export const COMMAND = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";

const STEPS: Record<string, number> = { j: 1, k: -1 };

export function useKeys(): void {
  const { route } = useLocation();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
        if (document.querySelector("dialog[open]:not(.palette)")) return;
        event.preventDefault();
        over.value = over.value === "palette" ? null : "palette";
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !singleKeys.value) return;
      if (isWriting(event.target) || document.querySelector("dialog[open]")) return;
      if (event.key === "?") over.value = "keys";
      else if (event.key === "/") focusFirst("main input[type=search], main .filters input");
      else if (event.key === "n") route(to("chat"));
      else if (event.key in STEPS) moveRow(STEPS[event.key]);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [route]);
}

function isWriting(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function focusFirst(selector: string): void {
  [...document.querySelectorAll<HTMLElement>(selector)].find((element) => element.offsetParent)?.focus();
}

/** Moves the focus to the first link or button of the next row, or of the one before. */
function moveRow(step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main .rows tbody tr:not(.gap), main .session")];
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[here < 0 ? (step > 0 ? 0 : rows.length - 1) : here + step];
  next?.querySelector<HTMLElement>("a, button, select")?.focus();
}
