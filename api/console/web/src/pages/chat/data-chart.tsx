/** A drawn chart with its table beside it: every figure can be read without the drawing, and without colours. */

import { useEffect, useRef } from "preact/hooks";
import { failed } from "../../parts/toasts";
import { theme } from "../../theme";
import { words } from "../../words";
import type { ChartData } from "./chart-data";
import { DataTable } from "./data-table";

export function DataChart({ chart }: { chart: ChartData }) {
  const w = words.value.chat;
  const root = useRef<HTMLDivElement>(null);
  const chosen = theme.value;
  useEffect(() => {
    let stop = () => {};
    let left = false;
    import("../../parts/chart")
      .then(({ draw }) => {
        if (left || !root.current) return;
        const { at, names } = placesOf(chart);
        const order = at.map((_, place) => place).sort((a, b) => at[a] - at[b]);
        const lines = chart.series.map(({ name, values }, place) => ({
          label: name || w.series(place + 1),
          values: order.map((index) => values[index] ?? null),
        }));
        stop = draw(root.current, order.map((place) => at[place]), lines, { kind: chart.type === "pie" ? "bar" : chart.type, names });
      })
      .catch(failed);
    return () => {
      left = true;
      stop();
    };
  }, [chart, chosen, w]);
  const rows = chart.labels.map((label, place) => ({
    [w.label]: label,
    ...Object.fromEntries(chart.series.map(({ name, values }, number) => [name || w.series(number + 1), values[place] ?? null])),
  }));
  return (
    <figure class="data">
      {chart.title && <figcaption>{chart.title}</figcaption>}
      <div class="chart" ref={root} role="img" aria-label={w.chart(chart.title ?? "")} />
      <details class="fold">
        <summary>{w.asTable}</summary>
        <DataTable rows={rows} />
      </details>
    </figure>
  );
}

/** Where the values stand: at their labels if these are numbers, except for bars; else one after the other, under their names. */
function placesOf({ type, labels }: ChartData): { at: number[]; names?: string[] } {
  const numbers = labels.every((label) => typeof label === "number") && new Set(labels).size === labels.length;
  if (numbers && type !== "bar" && type !== "pie") return { at: labels as number[] };
  return { at: labels.map((_, place) => place), names: labels.map(String) };
}
