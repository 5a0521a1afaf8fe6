/** Small parts that all pages share: buttons with an icon, errors, empty places, badges. */

import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { sentence } from "../api";
import { ago, moment } from "../format";
import { words } from "../words";

const ICONS: Record<string, string> = {
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M20 11l-8.500 8.500a5 5 0 01-7-7L13 4a3.500 3.500 0 015 5l-8.500 8.500a2 2 0 01-3-3L14 7",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  check: "M5 12l5 5 9-10",
  up: "M7 11v9H4v-9zM7 11l4-8c1.500 0 2.500 1 2.500 2.500L13 9h6a2 2 0 012 2.300l-1.200 7A2 2 0 0117.800 20H7",
  down: "M7 13V4H4v9zM7 13l4 8c1.500 0 2.500-1 2.500-2.500L13 15h6a2 2 0 002-2.300l-1.200-7A2 2 0 0017.800 4H7",
  again: "M20 11A8 8 0 105 17M20 4v7h-7",
  branch: "M6 4v16M6 14c0-4 12-2 12-8M18 4l-3 3M18 4l3 3",
  edit: "M4 20l1-5L16 4l4 4L9 19z",
  dots: "M4.500 12h1M11.500 12h1M18.500 12h1",
  close: "M6 6l12 12M18 6L6 18",
  list: "M4 6h10M4 12h16M4 18h7",
  chevron: "M9 6l6 6-6 6",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  search: "M10.500 17a6.500 6.500 0 100-13 6.500 6.500 0 000 13zM15.500 15.500L20 20",
  pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6",
  link: "M10 14a4 4 0 005.700 0l3-3A4 4 0 0013 5.300l-1 1M14 10a4 4 0 00-5.700 0l-3 3A4 4 0 0011 18.700l1-1",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & { icon: string; label: string; disabled?: boolean };

/** A button that shows an icon only; its label is read aloud, and shown as a tooltip. */
export function IconButton({ icon, label, class: more, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} class={`icon-button ${more ?? ""}`} aria-label={label} title={label}>
      <Icon name={icon} />
    </button>
  );
}

export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div class="note error" role="alert">
      <p>{sentence(error)}</p>
      {retry && (
        <button type="button" class="button" onClick={retry}>
          {words.value.retry}
        </button>
      )}
    </div>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}

export function Loading() {
  return (
    <p class="loading" role="status">
      {words.value.loading}
    </p>
  );
}

export function Badge({ state, label }: { state: string; label: string }) {
  return <span class={`badge ${state}`}>{label}</span>;
}

/** A time as people say it; whole in the tooltip. */
export function Ago({ at }: { at: string }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at)}
    </time>
  );
}

/** The heading of a page. The focus goes there when a page is opened, and the tab gets its name. */
export function PageTitle({ children, text }: { text: string; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${text} · headrace`;
  }, [text]);
  return (
    <div class="page-head">
      <h1 ref={heading} tabIndex={-1}>
        {text}
      </h1>
      {children && <div class="page-actions">{children}</div>}
    </div>
  );
}

type FieldProps = { label: string; hint?: string; error?: string; children: (id: string, told?: string) => ComponentChildren };
let fields = 0;

/** A form field with its label, a hint, and what the server said about it. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useRef("");
  id.current ||= `field-${++fields}`;
  const told = error || hint ? `${id.current}-told` : undefined;
  return (
    <div class="field">
      <label for={id.current}>{label}</label>
      {children(id.current, told)}
      {told && (
        <p id={told} class={error ? "field-error" : "hint"} role={error ? "alert" : undefined}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}
