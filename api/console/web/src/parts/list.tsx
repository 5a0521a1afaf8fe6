/** A list of a page: its rows, or that it is empty, that it is being read, or why it can't be. */

import type { ComponentChildren } from "preact";
import { words } from "../words";
import { Empty, ErrorNote, Loading } from "./basics";
import type { Pages } from "./load";

type ListProps<T> = { pages: Pages<T>; heads: string[]; empty: string; row: (item: T) => ComponentChildren };

export function List<T>({ pages, heads, empty, row }: ListProps<T>) {
  return (
    <>
      {pages.error !== undefined && <ErrorNote error={pages.error} retry={pages.reload} />}
      {!pages.items && pages.error === undefined && <Loading />}
      {pages.items?.length === 0 && <Empty><p>{empty}</p></Empty>}
      {pages.items && pages.items.length > 0 && (
        <table class="rows">
          <thead>
            <tr>{heads.map((head, place) => <th key={place}>{head || <span class="visually-hidden">{words.value.actions}</span>}</th>)}</tr>
          </thead>
          <tbody>{pages.items.map(row)}</tbody>
        </table>
      )}
      {pages.more && <button type="button" class="button" onClick={pages.more}>{words.value.more}</button>}
    </>
  );
}
