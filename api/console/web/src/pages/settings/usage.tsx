/** What was used and what it cost, by day, agent, model, user or key: a chart, and the same as a table. */

import { useLocation } from "preact-iso";
import { useEffect, useRef } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { count, money, size } from "../../format";
import { Empty, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { labelled } from "../../parts/list";
import { useLoad } from "../../parts/load";
import { theme } from "../../theme";
import { words } from "../../words";

type Row = Schemas["UsageRowOut"];
const BY = ["day", "agent", "model", "user", "key"] as const;

export default function UsagePage() {
  const w = words.value.usage;
  const { url, route } = useLocation();
  const asked = new URLSearchParams(url.split("?")[1] ?? "").get("by");
  const by = BY.find((one) => one === asked) ?? "day";
  const { data, error, reload } = useLoad(() => need(api.GET("/api/usage", { params: { query: { by: [by] } } as any })), [by]);
  const rows: Row[] = data?.rows ?? [];
  const heads = [w.byNames[by], w.jobs, w.input, w.output, w.cost];
  return (
    <div class="page">
      <PageTitle text={w.title} />
      <div class="filters">
        <div class="chips" role="group" aria-label={w.by}>
          {BY.map((one) => (
            <button type="button" class="chip" key={one} aria-pressed={one === by} onClick={() => route(to("usage", { by: one }), true)}>{w.byNames[one]}</button>
          ))}
        </div>
      </div>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && <p class="soft">{data.from} – {data.to} · {w.stored(size(data.stored_bytes))}</p>}
      {data && rows.length === 0 && <Empty><p>{w.empty}</p></Empty>}
      {by === "day" && rows.length > 1 && <Chart rows={rows} />}
      {rows.length > 0 && (
        <table class="rows">
          <thead><tr>{heads.map((head, place) => <th key={head} class={place ? "number" : ""}>{head}</th>)}</tr></thead>
          <tbody>
            {rows.map((row, place) => labelled(
              <tr key={place}>
                <td class="wide">{String(row[by] ?? "–")}</td>
                <td class="number">{count(row.jobs)}</td>
                <td class="number">{count(row.input_tokens)}</td>
                <td class="number">{count(row.output_tokens)}</td>
                <td class="number">{money(row.cost_usd)}</td>
              </tr>,
              heads,
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

/** Tokens a day, two lines that differ by their dashes too. The table below says the same. */
function Chart({ rows }: { rows: Row[] }) {
  const w = words.value.usage;
  const root = useRef<HTMLDivElement>(null);
  const chosen = theme.value;
  useEffect(() => {
    let stop = () => {};
    void import("../../parts/chart").then(({ draw }) => {
      if (!root.current) return;
      const days = [...rows].sort((a, b) => String(a.day).localeCompare(String(b.day)));
      const times = days.map((row) => Date.parse(String(row.day)) / 1000);
      stop = draw(root.current, times, [
        { label: w.input, values: days.map((row) => row.input_tokens) },
        { label: w.output, values: days.map((row) => row.output_tokens) },
      ], { times: true });
    });
    return () => stop();
  }, [rows, chosen, w]);
  return <div class="chart" ref={root} role="img" aria-label={w.chart} />;
}
