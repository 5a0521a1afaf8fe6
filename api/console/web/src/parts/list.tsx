/** A list of a page: its rows, or that it is empty, that it is being read, or why it can't be. */

import { cloneElement, type ComponentChildren, isValidElement, toChildArray, type VNode } from "preact";
import { words } from "../words";
import { Empty, ErrorNote, Loading } from "./basics";
import type { Pages } from "./load";

type ListProps<T> = { pages: Pages<T>; heads: string[]; empty: string; row: (item: T) => VNode<any> };

/** The cells of a row with their heads, which a narrow screen shows before them. */
export function labelled(row: VNode<any>, heads: string[]): VNode<any> {
  const cells = toChildArray(row.props.children as ComponentChildren);
  const told = cells.map((cell, place) => (isValidElement(cell) && place > 0 ? cloneElement(cell, { "data-label": heads[place] || undefined }) : cell));
  return cloneElement(row, { key: row.key }, told);
}

export function List<T>({ pages, heads, empty, row }: ListProps<T>) {
  const cells = pages.items?.length ? toChildArray(row(pages.items[0]).props.children as ComponentChildren) : [];
  const kinds = cells.map((cell) => (isValidElement(cell) && (cell.props as { class?: string }).class === "number" ? "number" : undefined));
  return (
    <>
      {pages.error !== undefined && <ErrorNote error={pages.error} retry={pages.reload} />}
      {!pages.items && pages.error === undefined && <Loading />}
      {pages.items?.length === 0 && <Empty><p>{empty}</p></Empty>}
      {pages.items && pages.items.length > 0 && (
        <table class="rows">
          <thead>
            <tr>{heads.map((head, place) => <th key={place} class={kinds[place]}>{head || <span class="visually-hidden">{words.value.actions}</span>}</th>)}</tr>
          </thead>
          <tbody>{pages.items.map((item) => labelled(row(item), heads))}</tbody>
        </table>
      )}
      {pages.more && <button type="button" class="button" onClick={pages.more}>{words.value.more}</button>}
    </>
  );
}
