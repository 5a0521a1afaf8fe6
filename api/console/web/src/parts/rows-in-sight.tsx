/** The rows of a long table, in bodies of fifty: of one that is out of sight only its height is there. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const ROWS = 50;
const AROUND_PX = 800;

type Props<T> = { items: T[]; columns: number; row: (item: T, place: number) => VNode<any> };

export function RowsInSight<T>({ items, columns, row }: Props<T>) {
  const starts = Array.from({ length: Math.ceil(items.length / ROWS) }, (_, part) => part * ROWS);
  return (
    <>
      {starts.map((start) => (
        <Body key={start} columns={columns} row={(place) => row(items[place], place)} start={start} end={Math.min(start + ROWS, items.length)} />
      ))}
    </>
  );
}

type BodyProps = { start: number; end: number; columns: number; row: (place: number) => VNode<any> };

function Body({ start, end, columns, row }: BodyProps) {
  const body = useRef<HTMLTableSectionElement>(null);
  const height = useRef(0);
  const [inSight, setInSight] = useState(true);
  useEffect(() => {
    const element = body.current;
    if (!element) return;
    const watch = new IntersectionObserver(
      (entries) => {
        const latest = entries[entries.length - 1];
        // Rows that have the focus stay, or it would be lost.
        const stays = latest.isIntersecting || element.contains(document.activeElement);
        if (!stays) height.current = latest.boundingClientRect.height;
        setInSight(stays);
      },
      { root: element.closest("main"), rootMargin: `${AROUND_PX}px 0px` },
    );
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  if (!inSight) {
    return (
      <tbody ref={body} aria-hidden="true">
        <tr class="gap"><td colSpan={columns} style={{ height: `${height.current}px` }} /></tr>
      </tbody>
    );
  }
  return <tbody ref={body}>{Array.from({ length: end - start }, (_, place) => row(start + place))}</tbody>;
}
