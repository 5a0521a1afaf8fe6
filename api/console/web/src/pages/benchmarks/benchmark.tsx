/** One benchmark, also while it runs: figures of each model, how they compare, calls one by one, and questions with their outcome. */

import { useRoute } from "preact-iso";
import { useEffect, useMemo, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { between, count, money } from "../../format";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { Csv } from "../../parts/csv";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { may } from "../../session";
import { follow } from "../../stream";
import { words } from "../../words";
import { isLast } from "../chat/answer";
import { DataChart } from "../chat/data-chart";
import { number, Ratios, Results } from "./figures";

type Detail = Schemas["BenchmarkDetailOut"];
type Call = { place: number; model: string; first: number | null; total: number };
const PAUSE_MS = 1_000;

export default function BenchmarkPage() {
  const w = words.value.benchmarks;
  const id = useRoute().params.benchmark ?? "";
  const { data, error, reload } = useLoad(() => need(api.GET("/api/benchmarks/{benchmark_id}", { params: { path: { benchmark_id: id } } })) as Promise<Detail>, [id]);
  const { calls, done } = useCalls(id, reload);
  const cancel = () => need(api.POST("/api/jobs/{job_id}/cancel", { params: { path: { job_id: id } }, body: { mode: "keep" } })).then(reload, failed);
  const runs = data?.state === "queued" || data?.state === "running";
  return (
    <div class="page">
      <p><a href={to("benchmarks")}>{w.back}</a></p>
      <PageTitle text={w.one}>
        {data && <Csv path={`/api/benchmarks/${id}`} name="benchmark.csv" />}
        {runs && may("jobs.write") && <button type="button" class="button danger" onClick={cancel}>{words.value.jobs.cancelJob}</button>}
      </PageTitle>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && <Facts data={data} done={Math.max(done, data.done)} />}
      {data?.error && <div class="note error"><strong>{String(data.error.code)}</strong><p>{String(data.error.message)}</p></div>}
      {data?.quality && <Quality quality={data.quality} />}
      {data && data.results.length > 0 && <Results results={data.results} />}
      {data && data.comparison.length > 0 && <Ratios title={w.comparison} ratios={data.comparison} />}
      {calls.length > 1 && <Calls calls={calls} />}
      {data?.quality && <Items id={id} done={data.done} />}
    </div>
  );
}

function Facts({ data, done }: { data: Detail; done: number }) {
  const w = words.value.benchmarks;
  const cost = data.results.reduce((sum, one) => sum + one.cost_usd, 0);
  return (
    <dl class="facts">
      <dt>{words.value.jobs.state}</dt>
      <dd><Badge state={data.state} label={words.value.jobs.states[data.state]} /></dd>
      <dt>{w.done}</dt>
      <dd><progress max={data.total} value={done} aria-label={w.done} /> {count(done)}/{count(data.total)}</dd>
      <dt>{words.value.jobs.created}</dt>
      <dd><Ago at={data.created_at} /> · {between(data.started_at, data.finished_at)}</dd>
      <dt>{words.value.jobs.cost}</dt>
      <dd>{money(cost)}</dd>
      <dt>{words.value.jobs.job}</dt>
      <dd><a class="mono" href={to(`jobs/${data.id}`)}>{data.id}</a></dd>
    </dl>
  );
}

/** What the quality's summary has as plain numbers; the rest is under the questions. */
function Quality({ quality }: { quality: Record<string, unknown> }) {
  const shown = Object.entries(quality).filter(([, value]) => typeof value === "number" || typeof value === "string");
  return (
    <section>
      <h2>{words.value.benchmarks.quality}</h2>
      <dl class="facts">
        {shown.map(([name, value]) => [<dt key={name}>{name.replaceAll("_", " ")}</dt>, <dd key={`${name}-value`}>{typeof value === "number" ? number(value) : String(value)}</dd>])}
      </dl>
    </section>
  );
}

/** The time of each call, in the order in which they were made; a line for each model. */
function Calls({ calls }: { calls: Call[] }) {
  const w = words.value.benchmarks;
  const chart = useMemo(() => {
    const models = [...new Set(calls.map((one) => one.model))];
    const of = models.map((model) => calls.filter((one) => one.model === model));
    const labels = Array.from({ length: Math.max(...of.map((own) => own.length)) }, (_, place) => place + 1);
    const series = models.map((name, index) => ({ name, values: labels.map((_, place) => of[index][place]?.total ?? (null as unknown as number)) }));
    return { type: "line" as const, title: w.eachCall, labels, series };
  }, [calls, w]);
  return <section><DataChart chart={chart} /></section>;
}

function Items({ id, done }: { id: string; done: number }) {
  const w = words.value.benchmarks;
  const pages = usePages(
    (cursor) => need(api.GET("/api/benchmarks/{benchmark_id}/items", { params: { path: { benchmark_id: id }, query: { limit: 50, ...(cursor ? { cursor } : {}) } } })),
    [id, done],
  );
  return (
    <section>
      <h2>{w.items}</h2>
      <List pages={pages} empty={w.noItems} heads={[w.question, w.right, w.outcome]}
        row={(one) => (
          <tr key={one.place}>
            <td class="wide">{one.question}</td>
            <td><Badge state={one.correct === null ? "" : one.correct ? "ok" : "failed"} label={one.correct === null ? "–" : one.correct ? words.value.yes : words.value.no} /></td>
            <td class="wide mono">{outcome(one.outcome)}</td>
          </tr>
        )} />
    </section>
  );
}

export function outcome(value: Record<string, unknown>): string {
  const told = Object.entries(value).filter(([, one]) => one !== null && one !== "");
  return told.map(([name, one]) => `${name.replaceAll("_", " ")}: ${typeof one === "object" ? JSON.stringify(one) : one}`).join(" · ").slice(0, 400);
}

/** The calls as the job's events tell them; `onNews` is called at most once a second, and at the end. */
function useCalls(id: string, onNews: () => void): { calls: Call[]; done: number } {
  const [state, setState] = useState<{ calls: Call[]; done: number }>({ calls: [], done: 0 });
  useEffect(() => {
    const stop = new AbortController();
    const calls = new Map<number, Call>();
    let [done, timer] = [0, 0];
    const tell = () => {
      timer = 0;
      setState({ calls: [...calls.values()].sort((a, b) => a.place - b.place), done });
      onNews();
    };
    follow({
      path: `/api/jobs/${id}/events`,
      signal: stop.signal,
      isLast,
      onEvent: (event) => {
        const { data } = event;
        if (event.type === "benchmark.iteration" && !data.error) calls.set(data.place, { place: data.place, model: data.model, first: data.first_token_ms, total: data.total_ms });
        if (event.type.startsWith("benchmark.")) done = data.done ?? done;
        else if (!isLast(event)) return;
        timer ||= window.setTimeout(tell, isLast(event) ? 0 : PAUSE_MS);
      },
    }).catch(() => undefined);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id]);
  return state;
}
