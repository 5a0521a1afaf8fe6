/** Two benchmarks side by side: their figures, what is more than noise, and the items of which the outcome changed. */

import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { words } from "../../words";
import { DataTable, type Row } from "../chat/data-table";
import { outcome } from "./benchmark";
import { Ratios, Results } from "./figures";

type Detail = Schemas["BenchmarkDetailOut"];
const MOST_CALLS = 500;
const PAGE = 100;

export function Compared({ earlier, later }: { earlier: string; later: string }) {
  const w = words.value.benchmarks;
  const { data, error, reload } = useLoad(() => read(earlier, later), [earlier, later]);
  return (
    <div class="page">
      <p><a href={to("benchmarks")}>{w.back}</a></p>
      <PageTitle text={w.compareTwo} />
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && (
        <>
          <ul class="plain-list">
            <li><strong>A</strong> <a href={to(`benchmarks/${earlier}`)}>{data.details[0].models.join(", ")}</a></li>
            <li><strong>B</strong> <a href={to(`benchmarks/${later}`)}>{data.details[1].models.join(", ")}</a></li>
          </ul>
          {data.compared.results.length > 0 && <Results results={data.compared.results.map((one) => ({ ...one, model: `${one.benchmark_id === earlier ? "A" : "B"} · ${one.model}` }))} />}
          {data.compared.comparison.length > 0 && <Ratios title={w.comparison} ratios={data.compared.comparison} />}
          {data.changes && <Changes changes={data.changes} />}
          {data.rows.length > 0 && (
            <section>
              <h2>{w.callByCall}</h2>
              <DataTable rows={data.rows} />
            </section>
          )}
        </>
      )}
    </div>
  );
}

function Changes({ changes }: { changes: Schemas["ChangesOut"] }) {
  const w = words.value.benchmarks;
  const rows = (items: Schemas["ChangeOut"][]): Row[] => items.map((one) => ({ [w.question]: one.question, A: outcome(one.before), B: outcome(one.after) }));
  return (
    <section>
      <h2>{w.changes}</h2>
      <p class="soft">{w.compared(changes.compared, changes.only_there, changes.only_here)}</p>
      <h3>{w.becameRight(changes.became_right.length)}</h3>
      {changes.became_right.length > 0 && <DataTable rows={rows(changes.became_right)} />}
      <h3>{w.becameWrong(changes.became_wrong.length)}</h3>
      {changes.became_wrong.length > 0 && <DataTable rows={rows(changes.became_wrong)} />}
    </section>
  );
}

async function read(earlier: string, later: string) {
  const detail = (benchmark_id: string) => need(api.GET("/api/benchmarks/{benchmark_id}", { params: { path: { benchmark_id } } })) as Promise<Detail>;
  const [details, compared] = await Promise.all([
    Promise.all([detail(earlier), detail(later)]),
    need(api.GET("/api/benchmarks/compare", { params: { query: { ids: `${earlier},${later}` } } })),
  ]);
  const judged = details.every((one) => one.quality);
  const changes = judged
    ? await need(api.GET("/api/benchmarks/{benchmark_id}/changes", { params: { path: { benchmark_id: later }, query: { since: earlier } } }))
    : null;
  return { details, compared, changes, rows: judged ? [] : pairs(...(await Promise.all([calls(earlier), calls(later)]))) };
}

async function calls(benchmark_id: string): Promise<Schemas["IterationOut"][]> {
  const found: Schemas["IterationOut"][] = [];
  for (let cursor: string | null | undefined; found.length < MOST_CALLS; ) {
    const query = { limit: PAGE, ...(cursor ? { cursor } : {}) };
    const page = await need(api.GET("/api/benchmarks/{benchmark_id}/iterations", { params: { path: { benchmark_id }, query } }));
    found.push(...page.items);
    cursor = page.next_cursor;
    if (!cursor) break;
  }
  return found;
}

/** The calls of the same model with the same number, beside each other. */
function pairs(a: Schemas["IterationOut"][], b: Schemas["IterationOut"][]): Row[] {
  const w = words.value.benchmarks;
  const others = new Map(b.map((one) => [`${one.model} ${one.number}`, one]));
  return a.flatMap((one) => {
    const other = others.get(`${one.model} ${one.number}`);
    if (!other) return [];
    return [{
      [w.model]: one.model, "#": one.number,
      [`A, ${w.metrics.total_ms}`]: one.total_ms, [`B, ${w.metrics.total_ms}`]: other.total_ms,
      [w.ratio]: one.total_ms ? Math.round((1000 * other.total_ms) / one.total_ms) / 1000 : null,
      A: (one.error as any)?.code ?? "", B: (other.error as any)?.code ?? "",
    }];
  });
}
