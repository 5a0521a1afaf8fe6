"""Benchmarks as they are shown: figures that were stored, or added up from what was measured so far; JSON, CSV and Markdown."""

import asyncio
import csv
import io
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from api.benchmarks.schemas import (
    BenchmarkDetailOut,
    BenchmarkOut,
    ComparedOut,
    ComparisonOut,
    IterationOut,
    ResultOut,
    RunComparisonOut,
    RunResultOut,
    SpreadOut,
)
from api.http.rows import from_row
from schema.errors import NotFound
from schema.postgres.connections import Db
from schema.queries.benchmarks import benchmarks
from schema.queries.benchmarks.benchmarks import Benchmark, Iteration
from schema.queries.benchmarks.datasets import JudgedItem
from schema.states import public_state
from workers.benchmarks.quality.summary import summarize_quality
from workers.benchmarks.statistics import METRICS, NANOS, compare_models, compare_runs, summarize

CSV_COLUMNS = (
    *("place", "model", "number", "prompt", "attempt", "started_at", "first_token_ms", "tokens_per_second", "total_ms"),
    *("input_tokens", "output_tokens", "estimated", "cost_usd", "error_code", "error_message"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes text that begins with one of these for a formula."""
UNITS = {"first_token_ms": "first token, ms", "tokens_per_second": "tokens/s", "total_ms": "total, ms"}


NO_BENCHMARK = "No such benchmark. GET /api/benchmarks lists them."


async def require_benchmark(db: Db, principal: Principal, benchmark_id: UUID) -> Benchmark:
    """Return a benchmark that the caller may see. Raises NotFound."""
    row = await benchmarks.find_benchmark(db, principal.tenant_id, benchmark_id)
    if row is None:
        raise NotFound(NO_BENCHMARK)
    return row


def benchmark_out(row: Benchmark) -> BenchmarkOut:
    """Return a benchmark as a list shows it."""
    return from_row(BenchmarkOut, row, state=public_state(row.state))


async def detail_out(
    row: Benchmark, iterations: Sequence[Iteration], judged: Sequence[JudgedItem] = ()
) -> BenchmarkDetailOut:
    """Return a benchmark with what its iterations, and its judged questions, add up to."""
    quality = row.settings.get("quality")
    figures = await asyncio.to_thread(summarize, iterations)
    compared = await asyncio.to_thread(compare_models, iterations, row.models)
    results = [result_out(ResultOut, model, figures[model]) for model in row.models if model in figures]
    return from_row(
        BenchmarkDetailOut,
        row,
        state=public_state(row.state),
        results=results,
        quality=summarize_quality(quality["measure"], judged) if quality else None,
        comparison=[ComparisonOut(**one) for one in compared],
    )


def result_out(shape: type[Any], model: str, figures: dict[str, Any], **others: Any) -> Any:
    """Return the figures of one model as a `shape`, which is a ResultOut."""
    spreads = {metric: SpreadOut(**figures[metric]) if figures[metric] else None for metric in METRICS}
    return shape(model=model, **{**figures, **spreads}, **others)


def iteration_out(row: Iteration) -> IterationOut:
    """Return one measured call."""
    return from_row(IterationOut, row, cost_usd=row.cost_nanos / NANOS)


async def compared_out(runs: Sequence[tuple[Benchmark, Sequence[Iteration]]]) -> ComparedOut:
    """Return several benchmarks beside each other."""
    return await asyncio.to_thread(_compare, runs)


def _compare(runs: Sequence[tuple[Benchmark, Sequence[Iteration]]]) -> ComparedOut:
    results: list[RunResultOut] = []
    compared: list[RunComparisonOut] = []
    seen: list[tuple[UUID, str, list[Iteration]]] = []
    for run, iterations in runs:
        figures = summarize(iterations)
        for model in [model for model in run.models if model in figures]:
            results.append(result_out(RunResultOut, model, figures[model], benchmark_id=run.id))
            own = [one for one in iterations if one.model == model and one.error is None]
            if seen:
                baseline = next((other for other in seen if other[1] == model), seen[0])
                compared += _compare_with(baseline, run.id, model, own)
            seen.append((run.id, model, own))
    return ComparedOut(results, compared)


def _compare_with(
    baseline: tuple[UUID, str, list[Iteration]], run_id: UUID, model: str, own: list[Iteration]
) -> list[RunComparisonOut]:
    baseline_id, name, others = baseline
    found: list[RunComparisonOut] = []
    for metric in METRICS:
        ratio = compare_runs(_values(own, metric), _values(others, metric))
        if ratio is not None:
            about: dict[str, Any] = {"benchmark_id": run_id, "baseline_id": baseline_id}
            found.append(RunComparisonOut(model=model, baseline=name, metric=metric, **about, **ratio))
    return found


def _values(iterations: Sequence[Iteration], metric: str) -> list[float]:
    return [value for one in iterations if (value := getattr(one, metric)) is not None]


def write_csv(iterations: Sequence[Iteration]) -> str:
    """Return the measured calls as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for one in iterations:
        error = one.error or {}
        fields: dict[str, Any] = {
            "started_at": one.started_at.isoformat(),
            "cost_usd": _cost(one.cost_nanos / NANOS, one.output_tokens, 9),
            "error_code": error.get("code", ""),
            "error_message": error.get("message", ""),
        }
        writer.writerow([_cell(fields.get(name, getattr(one, name, ""))) for name in CSV_COLUMNS])
    return out.getvalue()


def _cost(usd: float, output_tokens: int | None, digits: int) -> str:
    """Return a cost for people; a model that answered for nothing has no price here, which isn't the same as being free."""
    return "no price" if not usd and output_tokens else f"{usd:.{digits}f}"


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def write_markdown(detail: BenchmarkDetailOut) -> str:
    """Return the figures of a benchmark as tables."""
    lines = [f"# Benchmark {detail.id}", "", f"{detail.state}, {detail.done} of {detail.total} calls measured.", ""]
    lines += [
        "| model | figure | n | p50 | p95 | p99 | mean | 95 % interval | stddev |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in detail.results:
        for metric in METRICS:
            if (spread := getattr(result, metric)) is not None:
                lines.append(_spread_row(result.model, UNITS[metric], spread))
    lines += ["", "| model | answered | tokens in | tokens out | cost, USD | errors |", "|---|--:|--:|--:|--:|---|"]
    for result in detail.results:
        errors = ", ".join(f"{code} {count}×" for code, count in result.errors.items()) or "none"
        answered = f"{result.succeeded} of {result.iterations}"
        cells = (
            _text(result.model),
            answered,
            result.input_tokens,
            result.output_tokens,
            _cost(result.cost_usd, result.output_tokens, 6),
            errors,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    if detail.comparison:
        lines += [
            "",
            "| model | against | figure | ratio | 95 % interval | more than noise |",
            "|---|---|---|--:|--:|---|",
        ]
    verdicts = {True: "yes", False: "no", None: "too few values"}
    for one in detail.comparison:
        interval = "" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"
        ratio = "" if one.ratio is None else f"{one.ratio:.3f}"
        cells = (_text(one.model), _text(one.baseline), UNITS[one.metric], ratio, interval, verdicts[one.differs])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread_row(model: str, unit: str, spread: SpreadOut) -> str:
    interval = "" if spread.low is None or spread.high is None else f"{spread.low:.1f} to {spread.high:.1f}"
    deviation = "" if spread.stddev is None else f"{spread.stddev:.1f}"
    values = [f"{value:.1f}" for value in (spread.p50, spread.p95, spread.p99, spread.mean)]
    return f"| {' | '.join([_text(model), unit, str(spread.n), *values, interval, deviation])} |"


def _text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
