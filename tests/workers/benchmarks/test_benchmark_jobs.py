"""Benchmarks as jobs of real worker processes, against models that do what their names say and record what they were asked."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import TestTenant
from tests.counterparts.behaviours import fails
from tests.journeys.client import Client, ReceivedEvent
from tests.journeys.jobs.test_limits import limit, wait_for_nothing_reserved
from tests.waiting import PATIENCE_S, wait_for
from tests.workers.benchmarks.conftest import FAST, SLOW, Bench
from tests.workers.jobs import change, rows


def iterations_in(events: list[ReceivedEvent]) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type == "benchmark.iteration"]


def price(url: str, model: str) -> None:
    """A dollar for a million tokens, so that a token is 1000 nano-USD."""
    change(url, "DELETE FROM models WHERE name = %s", model)
    change(url, "INSERT INTO models (name, input_usd, output_usd) VALUES (%s, 1, 1)", model)


async def test_models_take_turns_and_each_call_is_an_event_and_a_row(bench: Bench, client: Client) -> None:
    models = [FAST, "openai/text-30"]
    asked = await bench.submit(client, models=models, prompt="two words", iterations=4, warmup=1, max_tokens=20)
    events = await bench.ended(client, asked)

    assert "job.succeeded" == events[-1].type
    assert ["text-8", "text-30"] * 5 == bench.calls("two words"), "a warm-up, and four rounds"
    told, stored = iterations_in(events), bench.stored(asked)
    assert list(range(8)) == [one["place"] for one in told] == [row["place"] for row in stored]
    assert list(range(1, 9)) == [one["done"] for one in told]
    assert [(2, 8), (2, 20)] * 4 == [(one["input_tokens"], one["output_tokens"]) for one in told], "capped at 20"
    for one, row in zip(told, stored, strict=True):
        assert 0 < one["first_token_ms"] <= one["total_ms"] == round(row["total_ms"], 3)
    found = await client.get(f"/api/benchmarks/{asked}")
    assert ("succeeded", 8, 8, models) == tuple(found[name] for name in ("state", "done", "total", "models"))
    assert [(m, 4, 4, {}) for m in models] == [
        (one["model"], one["iterations"], one["succeeded"], one["errors"]) for one in found["results"]
    ]
    assert {("openai/text-30", FAST)} == {(one["model"], one["baseline"]) for one in found["comparison"]}
    completed = next(event.data for event in events if event.type == "message.completed")
    assert set(models) == completed["data"]["results"].keys()
    assert 4 == completed["data"]["results"][FAST]["total_ms"]["n"]


async def test_no_call_is_measured_faster_than_the_model_was_told_to_answer(bench: Bench, client: Client) -> None:
    """Twenty tokens at fifty a second; a slow machine may only add to that."""
    asked = await bench.submit(client, model_name=SLOW, prompt="how fast", iterations=3, warmup=0)
    await bench.ended(client, asked)
    stored = bench.stored(asked)
    assert [True] * 3 == [row["total_ms"] >= 1000 * 19 / 50 for row in stored]
    assert all(row["first_token_ms"] and row["tokens_per_second"] for row in stored)


async def test_wait_answers_with_the_figures(bench: Bench, client: Client) -> None:
    status, said = await client.post(
        f"/api/benchmark/llm?model_name={FAST}&prompt=by%20query&iterations=2&wait=true", None
    )
    assert 200 == status, said
    assert (FAST, 2, "succeeded", 2) == tuple(said[name] for name in ("model_name", "iterations", "state", "done"))
    assert 0 < said["min_time"] <= said["avg_time"] <= said["max_time"]
    total = said["results"][0]["total_ms"]
    assert (pytest.approx(total["mean"] / 1000), 2) == (said["avg_time"], total["n"])
    assert "by query" == (await client.get(f"/api/benchmarks/{said['id']}"))["settings"]["prompts"][0]


async def test_a_killed_worker_loses_no_finished_call_and_none_is_measured_twice(bench: Bench, client: Client) -> None:
    asked = await bench.submit(client, model_name=SLOW, prompt="killed here", iterations=14, concurrency=2, warmup=1)
    await wait_for(lambda: len(bench.stored(asked)) >= 4, "four calls were measured")
    bench.system.kill("default")
    before = bench.stored(asked)
    bench.system.start("default")
    events = await bench.ended(client, asked)

    after = bench.stored(asked)
    assert "job.succeeded" == events[-1].type
    assert before == [row for row in after if row["attempt"] == 1], "what was finished stayed as it was"
    assert list(range(14)) == [row["place"] for row in after]
    assert len(bench.calls("killed here")) <= 1 + 14 + 2, "only the two that were under way were called again"
    restart = next(number for number, event in enumerate(events) if event.type == "job.restarted")
    assert list(range(14)) == sorted(one["place"] for one in iterations_in(events[restart:]))
    found = await client.get(f"/api/benchmarks/{asked}")
    assert (14, 14) == (found["results"][0]["iterations"], found["results"][0]["total_ms"]["n"])
    used = rows(bench.url, "SELECT sum(jobs) AS jobs, sum(output_tokens) AS tokens FROM usage_records WHERE tenant_id = "
                "(SELECT tenant_id FROM benchmarks WHERE id = %s)", asked)[0]  # fmt: skip
    assert (1, 15 * 20) == (used["jobs"], used["tokens"]), "each call is booked once, the warm-up too"


async def test_a_cancelled_benchmark_keeps_what_it_measured_and_goes_on_when_retried(
    bench: Bench, client: Client
) -> None:
    asked = await bench.submit(client, model_name=SLOW, prompt="cancelled here", iterations=12, warmup=0)
    await wait_for(lambda: len(bench.stored(asked)) >= 2, "two calls were measured")
    await client.cancel(asked)
    events = await bench.ended(client, asked)
    kept = bench.stored(asked)
    assert "job.cancelled" == events[-1].type
    found = await client.get(f"/api/benchmarks/{asked}")
    assert ("cancelled", len(kept), len(kept)) == (found["state"], found["done"], found["results"][0]["iterations"])
    history = await client.get(f"/api/benchmarks/history?model={SLOW}")
    assert [asked] == [one["benchmark_id"] for one in history["items"]]

    status, _ = await client.post(f"/api/jobs/{asked}/retry")
    assert 202 == status
    await bench.ended(client, asked)
    assert kept == bench.stored(asked)[: len(kept)]
    assert list(range(12)) == [row["place"] for row in bench.stored(asked)]
    assert 13 >= len(bench.calls("cancelled here")), "and only the call that was cancelled was made again"


async def test_failed_calls_are_figures_and_a_model_that_is_refused_is_left_alone(bench: Bench, client: Client) -> None:
    bench.models.script(*[fails(401)] * 40, model="no-key")
    models = [FAST, "openai/no-key", "openai/overloaded-99"]
    asked = await bench.submit(client, models=models, prompt="errors here", iterations=8, warmup=0)
    events = await bench.ended(client, asked)
    assert "job.succeeded" == events[-1].type
    found = {one["model"]: one for one in (await client.get(f"/api/benchmarks/{asked}"))["results"]}
    assert (8, {}) == (found[FAST]["succeeded"], found[FAST]["errors"])
    assert {"provider_rejected_key": 5} == found["openai/no-key"]["errors"], "five are enough"
    assert {"provider_overloaded": 8} == found["openai/overloaded-99"]["errors"]
    assert found["openai/no-key"]["total_ms"] is None


async def test_a_used_up_budget_ends_a_benchmark_which_keeps_what_it_measured(
    bench: Bench, client: Client, tenant: TestTenant
) -> None:
    price(bench.url, FAST)
    limit(bench.url, tenant, budget_day_nanos=100_000)  # a hundred tokens
    asked = await bench.submit(client, model_name=FAST, prompt="too dear", iterations=50, warmup=0, max_tokens=20)
    events = await bench.ended(client, asked)
    assert "budget_exceeded" == events[-1].data["error"]["code"]
    stored = bench.stored(asked)
    spent = sum(row["cost_nanos"] for row in stored)
    assert len(stored) * 10_000 == spent
    assert 60_000 <= spent <= 100_000, "as long as the next call fits, and not beyond"
    found = await client.get(f"/api/benchmarks/{asked}")
    assert ("failed", len(stored)) == (found["state"], found["results"][0]["succeeded"])
    assert (0, 0, 0) == await wait_for_nothing_reserved(bench.system, tenant)
    status, said = await client.post("/api/benchmark/llm", {"model_name": FAST, "max_tokens": 60})
    assert (429, "budget_exceeded") == (status, said["code"]), "what it used is charged at once"


async def test_calls_wait_for_tokens_per_minute(bench: Bench, client: Client, tenant: TestTenant) -> None:
    limit(bench.url, tenant, tokens_per_minute=100)
    asked = await bench.submit(client, model_name=FAST, prompt="slow down", iterations=20, warmup=0, max_tokens=20)
    async with asyncio.timeout(PATIENCE_S), await client.follow(asked) as stream:
        waiting = await stream.until("job.progress")
    assert "tokens per minute" in waiting.data["text"]
    assert sum(row["input_tokens"] + row["output_tokens"] for row in bench.stored(asked)) <= 100
    await client.cancel(asked)


async def test_a_job_for_later_is_run_then_and_not_before(bench: Bench, client: Client) -> None:
    run_at = datetime.now(UTC) + timedelta(seconds=2)
    asked = await bench.submit(client, model_name=FAST, iterations=1, warmup=0, run_at=run_at.isoformat())
    assert "time" == (await client.job(asked))["waiting_for"]
    await bench.ended(client, asked)
    job = await client.job(asked)
    assert "succeeded" == job["state"]
    assert run_at <= datetime.fromisoformat(job["started_at"])
