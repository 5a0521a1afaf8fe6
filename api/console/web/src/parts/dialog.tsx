/** Dialogs, the browser's own: Esc closes them, and the focus goes back to where it was. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { words } from "../words";
import { IconButton } from "./basics";

type DialogProps = { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean; class?: string };

export function Dialog({ title, onClose, children, wide, class: more }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={["dialog", wide && "wide", more].filter(Boolean).join(" ")}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div class="dialog-head">
        <h2>{title}</h2>
        <IconButton icon="close" label={words.value.close} onClick={onClose} />
      </div>
      {children}
    </dialog>
  );
}

type Question = { text: string; action: string; answer: (yes: boolean) => void };
const question = signal<Question | null>(null);

/** Asks before something that can't be undone; resolves to whether to do it. */
export function confirmed(text: string, action: string): Promise<boolean> {
  return new Promise((resolve) => {
    question.value = {
      text,
      action,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });
}

/** Where the question is shown; once in the page. */
export function Confirmation() {
  const asked = question.value;
  if (!asked) return null;
  return (
    <Dialog title={asked.action} onClose={() => asked.answer(false)}>
      <p>{asked.text}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={() => asked.answer(false)}>
          {words.value.cancel}
        </button>
        <button type="button" class="button danger" onClick={() => asked.answer(true)}>
          {asked.action}
        </button>
      </div>
    </Dialog>
  );
}
