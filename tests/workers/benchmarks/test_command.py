"""`./headrace benchmark` and `./headrace jobs` against a running headrace, as a person at a terminal meets them."""

import asyncio
import json

import pytest

from api.cli.client.benchmark import benchmark
from api.cli.client.jobs import follow, show_jobs
from api.local.errors import LocalError
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S
from tests.workers.benchmarks.conftest import FAST, Bench

OTHER = "openai/text-30"


async def test_a_benchmark_shows_its_figures(
    bench: Bench, tenant: TestTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"models": [FAST, OTHER, "openai/overloaded-99"], "iterations": 5, "warmup": 0}
    assert 0 == await benchmark(bench.system.url, tenant.key, body)
    told = capsys.readouterr()
    assert f"\n{FAST} " in told.out
    assert "first token, ms" in told.out
    assert f"{FAST}: 5 of 5 answered, 40 tokens, no price" in told.out
    assert "openai/overloaded-99: 0 of 5 answered, 0 tokens, no cost; failed: provider_overloaded 5×" in told.out
    assert f"{OTHER} against {FAST}, total, ms: " in told.out
    assert "15 of 15 calls" in told.err


async def test_json_is_what_the_api_says(bench: Bench, tenant: TestTenant, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == await benchmark(bench.system.url, tenant.key, {"models": [FAST], "iterations": 2}, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert ("succeeded", 2) == (found["state"], found["results"][0]["succeeded"])


async def test_what_is_refused_is_said(bench: Bench, tenant: TestTenant) -> None:
    with pytest.raises(LocalError, match="iterations must be at least 1"):
        await benchmark(bench.system.url, tenant.key, {"iterations": 0})


async def test_jobs_are_listed_and_followed(
    bench: Bench, tenant: TestTenant, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == await show_jobs(bench.system.url, tenant.key, {"state": None, "kind": None, "limit": 5})
    assert "No such jobs." in capsys.readouterr().out
    await benchmark(bench.system.url, tenant.key, {"models": [FAST], "iterations": 2}, as_json=True)
    job_id = json.loads(capsys.readouterr().out)["id"]
    await show_jobs(bench.system.url, tenant.key, {"kind": "benchmark", "limit": 5})
    (line,) = capsys.readouterr().out.splitlines()
    assert [job_id, "benchmark", "succeeded", FAST] == [part for part in line.split() if "T" not in part]
    assert 0 == await follow(bench.system.url, tenant.key, job_id)
    told = capsys.readouterr().out
    assert "2 of 2 calls" in told
    assert told.rstrip().endswith("job.succeeded")
    await follow(bench.system.url, tenant.key, job_id, as_json=True)
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert 2 == events.count("benchmark.iteration")


async def test_ctrl_c_cancels_the_benchmark(bench: Bench, tenant: TestTenant) -> None:
    body = {"models": ["openai/text-20-at-50"], "iterations": 500, "prompt": "ctrl c"}
    task = asyncio.create_task(benchmark(bench.system.url, tenant.key, body))
    while not bench.calls("ctrl c"):
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE_S):
        while "cancelled" not in await _states(bench, tenant):
            await asyncio.sleep(0.05)


async def _states(bench: Bench, tenant: TestTenant) -> list[str]:
    from api.local.http_client import Client

    async with Client(bench.system.url, tenant.key) as client:
        return [job["state"] for job in (await client.get("/api/jobs"))["items"]]
