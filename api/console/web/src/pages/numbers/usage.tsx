/** Usage and cost by day, agent, model, person or key, for a span of days; the budgets and what is left of them. */

import { useLocation } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { count, money, size } from "../../format";
import { Csv } from "../../parts/csv";
import { Empty, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { labelled } from "../../parts/list";
import { useLoad } from "../../parts/load";
import { TimeChart } from "../../parts/time-chart";
import { may } from "../../session";
import { words } from "../../words";

type Row = Schemas["UsageRowOut"];
type Usage = Schemas["TenantUsageOut"];
const BY = ["day", "agent", "model", "user", "key"] as const;

export default function UsagePage() {
  const w = words.value.usage;
  const { url, route } = useLocation();
  const asked = new URLSearchParams(url.split("?")[1] ?? "");
  const by = BY.find((one) => one === asked.get("by")) ?? "day";
  const span = { from: asked.get("from") ?? "", to: asked.get("to") ?? "" };
  const query = Object.fromEntries(Object.entries({ by, ...span }).filter(([, value]) => value));
  const { data, error, reload } = useLoad(
    () => need(api.GET("/api/usage", { params: { query: { ...query, by: [by] } } as any })) as Promise<Usage>,
    [by, span.from, span.to],
  );
  const names = useNames(by);
  const go = (changed: Record<string, string>) => route(to("usage", { by, ...span, ...changed }), true);
  return (
    <div class="page">
      <PageTitle text={w.title}><Csv path={`/api/usage?${new URLSearchParams(query)}`} name="usage.csv" /></PageTitle>
      <div class="filters">
        <div class="chips" role="group" aria-label={w.by}>
          {BY.map((one) => (
            <button type="button" class="chip" key={one} aria-pressed={one === by} onClick={() => go({ by: one })}>{w.byNames[one]}</button>
          ))}
        </div>
        <input type="date" aria-label={w.from} title={w.from} value={span.from || data?.from} onChange={(event) => go({ from: event.currentTarget.value })} />
        <input type="date" aria-label={w.to} title={w.to} value={span.to || data?.to} onChange={(event) => go({ to: event.currentTarget.value })} />
      </div>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && <Budgets usage={data} />}
      {data && data.rows.length === 0 && <Empty><p>{w.empty}</p></Empty>}
      {data && by === "day" && data.rows.length > 1 && <Days rows={data.rows} />}
      {data && data.rows.length > 0 && <Rows rows={data.rows} by={by} names={names} total={data.total} />}
    </div>
  );
}

/** What is left of each budget, and the room for documents. */
function Budgets({ usage }: { usage: Usage }) {
  const w = words.value.usage;
  return (
    <dl class="tiles">
      {(["day", "month"] as const).map((name) => {
        const { limit_usd, spent_usd, warning } = usage.budgets[name];
        return (
          <div key={name} class={warning ? "warn" : ""}>
            <dt>{w.budgets[name]}</dt>
            <dd>{limit_usd === null ? money(spent_usd) : w.left(money(Math.max(0, limit_usd - spent_usd)), money(limit_usd))}</dd>
            <dd class="more">
              {limit_usd === null ? w.noBudget : <progress max={limit_usd || 1} value={spent_usd} aria-label={w.budgets[name]} />}
              {warning && <span class="field-error">{w.near}</span>}
            </dd>
          </div>
        );
      })}
      <div>
        <dt>{w.documents}</dt>
        <dd>{w.stored(size(usage.stored_bytes))}</dd>
        {usage.max_storage_bytes !== null && <dd class="more"><progress max={usage.max_storage_bytes || 1} value={usage.stored_bytes} aria-label={w.documents} /></dd>}
      </div>
    </dl>
  );
}

function Rows({ rows, by, names, total }: { rows: Row[]; by: (typeof BY)[number]; names: Map<string, string>; total: Schemas["UsageTotalsOut"] }) {
  const w = words.value.usage;
  const heads = [w.byNames[by], w.jobs, w.input, w.output, w.cost];
  const cells = (row: Schemas["UsageTotalsOut"]) => [count(row.jobs), count(row.input_tokens), count(row.output_tokens), money(row.cost_usd)];
  const named = (row: Row) => {
    const value = row[by] as string | null | undefined;
    return (value && names.get(value)) || value || "–";
  };
  return (
    <table class="rows">
      <thead><tr>{heads.map((head, place) => <th key={head} class={place ? "number" : ""}>{head}</th>)}</tr></thead>
      <tbody>
        {rows.map((row, place) => labelled(
          <tr key={place}>
            <td class="wide">{named(row)}</td>
            {cells(row).map((text, cell) => <td key={cell} class="number">{text}</td>)}
          </tr>,
          heads,
        ))}
        {rows.length > 1 && labelled(
          <tr class="sum"><td class="wide">{w.total}</td>{cells(total).map((text, cell) => <td key={cell} class="number">{text}</td>)}</tr>,
          heads,
        )}
      </tbody>
    </table>
  );
}

function Days({ rows }: { rows: Row[] }) {
  const w = words.value.usage;
  const days = [...rows].sort((a, b) => String(a.day).localeCompare(String(b.day)));
  const at = days.map((row) => Date.parse(String(row.day)) / 1000);
  return (
    <>
      <TimeChart days title={w.tokensByDay} at={at} format={count}
        lines={[{ label: w.input, values: days.map((row) => row.input_tokens) }, { label: w.output, values: days.map((row) => row.output_tokens) }]} />
      <TimeChart days title={w.costByDay} at={at} format={money} lines={[{ label: w.cost, values: days.map((row) => row.cost_usd) }]} />
    </>
  );
}

/** The names of people and keys, which usage has by their ids. */
function useNames(by: string): Map<string, string> {
  const [names, setNames] = useState(new Map<string, string>());
  useEffect(() => {
    const query = { limit: 100 };
    if (by === "user" && may("users.read")) {
      need(api.GET("/api/users", { params: { query } })).then(({ items }) => setNames(new Map(items.map((one) => [one.id, one.name || one.email]))), () => undefined);
    }
    if (by === "key" && may("keys.own")) {
      need(api.GET("/api/auth/keys", { params: { query } })).then(({ items }) => setNames(new Map(items.map((one) => [one.id, one.name]))), () => undefined);
    }
  }, [by]);
  return names;
}
