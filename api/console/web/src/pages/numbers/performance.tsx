/** How fast jobs were over time, how many there were, and how many failed. The window and the kind are in the address. */

import { useLocation } from "preact-iso";
import { useEffect, useMemo } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { count, duration, money, now } from "../../format";
import { Csv } from "../../parts/csv";
import { Empty, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { TimeChart } from "../../parts/time-chart";
import { words } from "../../words";

type Series = Schemas["SeriesOut"];
type Point = Schemas["PointOut"];
const WINDOWS = ["hour", "day", "week"] as const;
const KINDS = ["chat", "pipeline", "ingestion", "benchmark", "batch"] as const;
const TIMES = ["first_token", "queue_wait", "run"] as const;

export default function PerformancePage() {
  const w = words.value.performance;
  const { url, route } = useLocation();
  const asked = new URLSearchParams(url.split("?")[1] ?? "");
  const window = WINDOWS.find((one) => one === asked.get("window")) ?? "hour";
  const kind = KINDS.find((one) => one === asked.get("kind"));
  const query = { window, ...(kind ? { kind } : {}) };
  const { data, error, reload } = useLoad(() => need(api.GET("/api/performance/series", { params: { query } })) as Promise<Series>, [window, kind]);
  const tick = now.value;
  useEffect(reload, [tick]);
  const go = (changed: Record<string, string>) => route(to("performance", { window, kind: kind ?? "", ...changed }), true);
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {data && <span class="soft">{w.of[data.of]}</span>}
        <Csv path={`/api/performance/series?${new URLSearchParams(query)}`} name="performance.csv" />
      </PageTitle>
      <div class="filters">
        <div class="chips" role="group" aria-label={w.window}>
          {WINDOWS.map((one) => (
            <button type="button" class="chip" key={one} aria-pressed={one === window} onClick={() => go({ window: one })}>{w.windows[one]}</button>
          ))}
        </div>
        <select aria-label={words.value.jobs.kind} value={kind ?? ""} onChange={(event) => go({ kind: event.currentTarget.value })}>
          <option value="">{words.value.jobs.kind}: {words.value.all}</option>
          {KINDS.map((one) => <option key={one} value={one}>{words.value.jobKinds[one]}</option>)}
        </select>
      </div>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && (data.points.some((point) => point.jobs) ? <Charts series={data} /> : <Empty><p>{w.empty}</p></Empty>)}
    </div>
  );
}

function Charts({ series }: { series: Series }) {
  const w = words.value.performance;
  const { points, step_s } = series;
  const at = useMemo(() => points.map((point) => Date.parse(point.at) / 1000), [points]);
  const of = (label: string, value: (point: Point) => number | null) => ({ label, values: points.map(value) });
  const unit = step_s === 60 ? w.perMinute : w.perHour;
  return (
    <>
      <Totals points={points} />
      {TIMES.map((name) => (
        <TimeChart key={name} title={`${w.times[name]}, s`} at={at} format={(seconds) => duration(1000 * seconds)}
          lines={(["p50", "p95", "p99"] as const).map((share) => of(share, (point) => point[name][`${share}_s`]))} />
      ))}
      <TimeChart title={`${w.jobs}, ${unit}`} at={at} format={count}
        lines={[of(w.ended, (point) => point.jobs), of(w.failed, (point) => point.failed), of(w.cancelled, (point) => point.cancelled)]} />
      <TimeChart title={`${w.tokens}, ${unit}`} at={at} format={count}
        lines={[of(words.value.usage.input, (point) => point.input_tokens), of(words.value.usage.output, (point) => point.output_tokens)]} />
      <TimeChart title={`${words.value.usage.cost}, ${unit}`} at={at} format={money} lines={[of(words.value.usage.cost, (point) => point.cost_usd)]} />
    </>
  );
}

function Totals({ points }: { points: Point[] }) {
  const w = words.value.performance;
  const sum = (value: (point: Point) => number) => points.reduce((all, point) => all + value(point), 0);
  const [jobs, failed] = [sum((point) => point.jobs), sum((point) => point.failed)];
  const shown: [string, string][] = [
    [w.ended, count(jobs)],
    [w.failed, `${count(failed)} (${(jobs ? failed / jobs : 0).toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 })})`],
    [words.value.usage.output, count(sum((point) => point.output_tokens))],
    [words.value.usage.cost, money(sum((point) => point.cost_usd))],
  ];
  return (
    <dl class="tiles">
      {shown.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
