/** A table that can be sorted by each column and filtered by any text in it. */

import { useMemo, useState } from "preact/hooks";
import { language, words } from "../../words";

export type Row = Record<string, unknown>;

export function DataTable({ rows }: { rows: Row[] }) {
  const [sort, setSort] = useState<{ column: string; up: boolean } | null>(null);
  const [filter, setFilter] = useState("");
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const shown = useMemo(() => arranged(rows, filter, sort), [rows, filter, sort]);
  return (
    <div class="data">
      <input type="search" aria-label={words.value.search} placeholder={words.value.search} value={filter}
        onInput={(event) => setFilter(event.currentTarget.value)} />
      <div class="table-frame" tabIndex={0}>
        <table>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column} aria-sort={sort?.column !== column ? "none" : sort.up ? "ascending" : "descending"}>
                  <button type="button" class="link" onClick={() => setSort({ column, up: sort?.column === column ? !sort.up : true })}>
                    {column}
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row, place) => (
              <tr key={place}>
                {columns.map((column) => (
                  <td key={column} class={typeof row[column] === "number" ? "number" : ""}>{cell(row[column])}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function arranged(rows: Row[], filter: string, sort: { column: string; up: boolean } | null): Row[] {
  const wanted = filter.normalize("NFC").toLocaleLowerCase();
  const found = rows.filter((row) => Object.values(row).some((value) => cell(value).normalize("NFC").toLocaleLowerCase().includes(wanted)));
  if (!sort) return found;
  const collator = new Intl.Collator(language.value, { numeric: true });
  return found.sort((a, b) => (sort.up ? 1 : -1) * compare(a[sort.column], b[sort.column], collator));
}

function compare(a: unknown, b: unknown, collator: Intl.Collator): number {
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(cell(a), cell(b));
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return value.toLocaleString(language.value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
