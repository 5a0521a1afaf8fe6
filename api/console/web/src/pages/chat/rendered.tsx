/** An answer that is an object, by its renderer's hint, or by its shape where there is no hint: a chart, or a table. */

import { type ChartData, chartIn, jsonIn } from "./chart-data";
import { DataChart } from "./data-chart";
import { DataTable, type Row } from "./data-table";

export type Data = { value: unknown; renderer?: { type?: string } | null };
type Shown = { chart: ChartData } | { rows: Row[] };

/** What is drawn of an answer; null if it is read as text. Where the text is the object, it is read from there: a stored object
 * has its columns in another order. */
export function shownOf(data: Data | null, text: string): Shown | null {
  const hint = data?.renderer?.type;
  const value = jsonIn(text) ?? data?.value;
  if (hint !== "table") {
    const chart = chartIn(value);
    if (chart) return { chart };
  }
  const rows = hint === "table" ? rowsOf(value) : null;
  return rows && { rows };
}

/** Whether the text is no more than what is drawn. */
export function isOnlyData(text: string): boolean {
  return jsonIn(text) !== undefined;
}

export function Rendered({ shown }: { shown: Shown }) {
  return "chart" in shown ? <DataChart chart={shown.chart} /> : <DataTable rows={shown.rows} />;
}

/** The rows in a value: a list of objects, or `{columns, rows}` with lists. */
function rowsOf(value: unknown): Row[] | null {
  if (Array.isArray(value)) return value.every((row) => typeof row === "object" && row !== null) ? (value as Row[]) : null;
  const { columns, rows } = (value ?? {}) as { columns?: unknown[]; rows?: unknown[] };
  if (!Array.isArray(rows)) return null;
  if (!Array.isArray(columns)) return rowsOf(rows);
  return rows.map((row) => (Array.isArray(row) ? Object.fromEntries(columns.map((name, place) => [String(name), row[place]])) : (row as Row)));
}
