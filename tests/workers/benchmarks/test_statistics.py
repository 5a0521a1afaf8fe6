"""What measurements add up to: figures that can be worked out by hand, and verdicts on noise and on differences."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from schema.queries.benchmarks.benchmarks import Iteration
from workers.benchmarks.plan import BenchmarkSettings, measured_steps, total_steps, warmup_steps
from workers.benchmarks.run import describe
from workers.benchmarks.statistics import compare_models, compare_runs, spread, summarize


def iteration(model: str, number: int, total_ms: float, **fields: Any) -> Iteration:
    about: dict[str, Any] = {"place": number, "prompt": 0, "attempt": 1, "started_at": datetime.now(UTC)}
    about |= {"first_token_ms": total_ms / 10, "tokens_per_second": 50.0, "input_tokens": 3, "output_tokens": 7}
    about |= {"estimated": False, "cost_nanos": 2_000_000, "error": None}
    return Iteration(model=model, number=number, total_ms=total_ms, **{**about, **fields})


def failed(model: str, number: int, code: str) -> Iteration:
    nothing = {"first_token_ms": None, "tokens_per_second": None, "input_tokens": 0, "output_tokens": 0}
    return iteration(model, number, 1.0, cost_nanos=0, error={"code": code, "message": "no"}, **nothing)


def test_percentiles_mean_and_deviation_are_those_of_the_textbook() -> None:
    found = spread([float(value) for value in range(1, 101)])
    assert found is not None
    figures = {name: round(value, 4) for name, value in found.items() if name not in ("low", "high")}
    assert {
        **{"n": 100, "mean": 50.5, "stddev": 29.0115, "min": 1, "max": 100},
        **{"p50": 50.5, "p95": 95.05, "p99": 99.01},
    } == figures


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    chance, hits = random.Random(4), 0
    for _ in range(100):
        found = spread([chance.gauss(200, 20) for _ in range(40)])
        assert found is not None
        hits += found["low"] <= 200 <= found["high"]
    assert 88 <= hits <= 99


def test_one_value_has_no_spread_and_none_has_no_figures() -> None:
    found = spread([7.0])
    assert found is not None
    assert (7.0, None, None, None) == (found["p99"], found["stddev"], found["low"], found["high"])
    assert spread([]) is None


def test_failed_calls_are_counted_by_code_and_are_in_no_time() -> None:
    figures = summarize([iteration("a", 1, 100.0), failed("a", 2, "provider_timeout"), failed("b", 1, "model_unknown")])
    assert ["a", "b"] == list(figures)
    assert (2, 1, {"provider_timeout": 1}) == tuple(
        figures["a"][name] for name in ("iterations", "succeeded", "errors")
    )
    assert (1, 100.0) == (figures["a"]["total_ms"]["n"], figures["a"]["total_ms"]["mean"])
    assert (3, 7, 0.002) == tuple(figures["a"][name] for name in ("input_tokens", "output_tokens", "cost_usd"))
    assert figures["b"]["total_ms"] is None
    assert "b: 0 of 1 calls answered; failed: model_unknown 1×." == describe(figures).splitlines()[1]


def test_a_difference_that_is_there_is_seen_although_the_machine_gets_slower() -> None:
    """Each pair is 5 % apart, while both become three times as slow: without pairs that would drown in the drift."""
    chance = random.Random(1)
    rows = [
        iteration(model, n, (100 + 10 * n) * factor * chance.uniform(0.99, 1.01))
        for n in range(1, 21)
        for model, factor in (("a", 1.0), ("b", 1.05))
    ]
    found = {one["metric"]: one for one in compare_models(rows, ["a", "b"])}
    total = found["total_ms"]
    assert ("b", "a", 20, True) == (total["model"], total["baseline"], total["n"], total["differs"])
    assert total["low"] < 1.05 < total["high"]
    values = [[row.total_ms for row in rows if row.model == model] for model in ("b", "a")]
    unpaired = compare_runs(*values)
    assert unpaired is not None
    assert unpaired["differs"] is False


def test_noise_is_no_difference_and_few_values_leave_it_open() -> None:
    chance = random.Random(2)
    rows = [iteration(model, n, chance.uniform(90, 110)) for n in range(1, 31) for model in ("a", "b")]
    verdicts = {one["metric"]: one["differs"] for one in compare_models(rows, ["a", "b"])}
    assert False is verdicts["total_ms"]
    few = compare_models(rows[:6], ["a", "b"])
    assert [None] * 3 == [one["differs"] for one in few]


def test_a_call_whose_partner_failed_is_compared_with_none() -> None:
    rows = [iteration("a", 1, 10), failed("b", 1, "x"), iteration("a", 2, 10), iteration("b", 2, 20)]
    assert {1} == {one["n"] for one in compare_models(rows, ["a", "b"])}
    assert [] == compare_models([iteration("a", 1, 10)], ["a", "b"])


def test_models_take_turns_and_get_the_same_prompts() -> None:
    settings = BenchmarkSettings(models=["a", "b"], prompts=["p", "q"], iterations=3, warmup=1)
    steps = list(measured_steps(settings))
    assert [("a", 1, 0), ("b", 1, 0), ("a", 2, 1), ("b", 2, 1), ("a", 3, 0), ("b", 3, 0)] == [
        step[1:] for step in steps
    ]
    assert list(range(total_steps(settings))) == [step.place for step in steps]
    assert [(-2, "a", 0, 0), (-1, "b", 0, 0)] == [tuple(step) for step in warmup_steps(settings)]


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.0] * 10])
def test_a_baseline_of_zeros_gives_no_ratio(values: list[float]) -> None:
    found = compare_runs([1.0] * len(values), values)
    assert found is not None
    assert (None, None) == (found["ratio"], found["differs"])
