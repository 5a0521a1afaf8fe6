/** Short sentences about what has just been done, or why it could not be. Failures stay until they are closed. */

import { signal } from "@preact/signals";
import { sentence } from "../api";
import { words } from "../words";
import { IconButton } from "./basics";

type Toast = { id: number; text: string; failed: boolean };
const toasts = signal<Toast[]>([]);
let last = 0;

function show(text: string, failed: boolean): void {
  const id = ++last;
  toasts.value = [...toasts.value.slice(-3), { id, text, failed }];
  if (!failed) setTimeout(() => dismiss(id), 4_000);
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function told(text: string): void {
  show(text, false);
}

export function failed(error: unknown): void {
  show(sentence(error), true);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div key={toast.id} class={toast.failed ? "toast error" : "toast"}>
          <p>{toast.text}</p>
          <IconButton icon="close" label={words.value.close} onClick={() => dismiss(toast.id)} />
        </div>
      ))}
    </div>
  );
}
