/** Figures of models: as bars with a table beside them, and as ratios to others with what is more than noise. */

import { useMemo } from "preact/hooks";
import type { Schemas } from "../../api";
import { count, money } from "../../format";
import { Badge } from "../../parts/basics";
import { labelled } from "../../parts/list";
import { language, words } from "../../words";
import { DataChart } from "../chat/data-chart";

type Result = Schemas["ResultOut"];
type Spread = Schemas["SpreadOut"];
const METRICS = ["first_token_ms", "tokens_per_second", "total_ms"] as const;

export function number(value: number): string {
  return value.toLocaleString(language.value, { maximumFractionDigits: Math.abs(value) < 10 ? 3 : 1 });
}

export function Results({ results }: { results: Result[] }) {
  const w = words.value.benchmarks;
  const heads = [w.model, w.answered, ...METRICS.flatMap((metric) => [`${w.metrics[metric]}, p50 / p95`]), words.value.usage.output, words.value.jobs.cost];
  return (
    <section>
      <h2>{w.figures}</h2>
      <table class="rows plain">
          <thead><tr>{heads.map((head, place) => <th key={place} class={place ? "number" : ""}>{head}</th>)}</tr></thead>
          <tbody>
            {results.map((one) => labelled(
              <tr key={one.model}>
                <td class="wide">{one.model}</td>
                <td class="number">{count(one.succeeded)}/{count(one.iterations)}</td>
                {METRICS.map((metric) => <td key={metric} class="number">{spread(one[metric])}</td>)}
                <td class="number">{count(one.output_tokens)}</td>
                <td class="number">{money(one.cost_usd)}</td>
              </tr>,
              heads,
            ))}
          </tbody>
      </table>
      {results.length > 1 && METRICS.map((metric) => <Bars key={metric} metric={metric} results={results} />)}
    </section>
  );
}

function Bars({ metric, results }: { metric: (typeof METRICS)[number]; results: Result[] }) {
  const w = words.value.benchmarks;
  const chart = useMemo(() => {
    const measured = results.filter((one) => one[metric]);
    return {
      type: "bar" as const,
      title: w.metrics[metric],
      labels: measured.map((one) => one.model),
      series: (["p50", "p95"] as const).map((name) => ({ name, values: measured.map((one) => one[metric]?.[name] ?? 0) })),
    };
  }, [results, metric, w]);
  return chart.labels.length ? <DataChart chart={chart} /> : null;
}

function spread(value: Spread | null): string {
  return value ? `${number(value.p50)} / ${number(value.p95)}` : "–";
}

type Ratio = Schemas["ComparisonOut"] & { benchmark_id?: string };

export function Ratios({ title, ratios }: { title: string; ratios: Ratio[] }) {
  const w = words.value.benchmarks;
  const heads = [w.model, w.against, w.figure, w.ratio, w.interval, w.noise];
  return (
    <section>
      <h2>{title}</h2>
      <table class="rows plain">
        <thead><tr>{heads.map((head) => <th key={head}>{head}</th>)}</tr></thead>
        <tbody>
          {ratios.map((one, place) => labelled(
            <tr key={place}>
              <td class="wide">{one.model}</td>
              <td class="wide">{one.baseline}</td>
              <td>{w.metrics[one.metric as (typeof METRICS)[number]] ?? one.metric}</td>
              <td class="number">{one.ratio === null ? "–" : `${number(one.ratio)} ×`}</td>
              <td class="number">{one.low === null || one.high === null ? "–" : `${number(one.low)} – ${number(one.high)}`}</td>
              <td><Badge state={one.differs ? "queued" : ""} label={one.differs === null ? w.tooFew : one.differs ? w.differs : w.same} /></td>
            </tr>,
            heads,
          ))}
        </tbody>
      </table>
    </section>
  );
}
