/** A menu of actions behind a button; Esc, a choice, or a click elsewhere closes it. The arrows go through it. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { IconButton } from "./basics";

type MenuProps = { label: string; icon?: string; children: ComponentChildren };

export function Menu({ label, icon = "dots", children }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    root.current?.querySelector<HTMLElement>(".menu-items > *")?.focus();
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    root.current?.querySelector<HTMLElement>(":scope > button")?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      return close();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...(root.current?.querySelectorAll<HTMLElement>(".menu-items > *") ?? [])];
    const place = items.indexOf(document.activeElement as HTMLElement);
    items[(place + step + items.length) % items.length]?.focus();
  };
  return (
    <div class="menu" ref={root} onKeyDown={open ? onKey : undefined}>
      <IconButton icon={icon} label={label} aria-expanded={open} onClick={() => setOpen(!open)} />
      {open && (
        <div class="menu-items" onClick={close}>
          {children}
        </div>
      )}
    </div>
  );
}
