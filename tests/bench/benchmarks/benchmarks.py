"""headrace's own benchmarks of models: what they report of a model whose speed is known."""

import asyncio
import json
import urllib.request
from typing import Any

from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median
from tests.bench.testbed import Testbed

TOKENS, RATES = 100, (50, 100)
NEED = 5.0
"""Percent."""


async def measure_benchmarks(bed: Testbed, plan: Plan) -> Measurement:
    """Two models of a known speed, interleaved; what `POST /api/benchmark/llm` says of them, against what they were
    told to do."""
    found = Measurement(name="benchmarks", title="Benchmarks of models whose speed is known")
    key = bed.tenant("benchmarks")
    models = {f"openai/text-{TOKENS}-at-{rate}": rate for rate in RATES}
    for _ in range(plan.runs):
        told = await asyncio.to_thread(_benchmark, bed.system.url, key, list(models))
        run: dict[str, float] = {}
        for result in told["results"]:
            rate = models[result["model"]]
            if result["succeeded"] != result["iterations"]:
                found.failures.append(f"{result['model']}: {result['errors']}")
            speed, total = result["tokens_per_second"]["mean"], result["total_ms"]["mean"]
            run[f"{rate} tokens/s"] = 100 * abs(speed / rate - 1)
            run[f"{TOKENS} tokens at {rate}/s"] = 100 * abs(total / (1000 * (TOKENS - 1) / rate) - 1)
        ratio = next(one["ratio"] for one in told["comparison"] if one["metric"] == "tokens_per_second")
        run["one against the other"] = 100 * abs(ratio / (RATES[1] / RATES[0]) - 1)
        found.runs.append(run)
    for what in found.runs[0]:
        off = median([run[what] for run in found.runs])
        found.lines.append(Line(what=what, figure=off, unit="% off", need=NEED))
    return found


def _benchmark(url: str, key: str, models: list[str]) -> dict[str, Any]:
    body = {"models": models, "iterations": 10, "warmup": 1, "max_tokens": TOKENS}
    job_id = _call(f"{url}/api/benchmark/llm", key, body)["job_id"]
    with urllib.request.urlopen(_request(f"{url}/api/jobs/{job_id}/events", key)) as events:
        events.read()
    return _call(f"{url}/api/benchmarks/{job_id}", key)


def _call(url: str, key: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(_request(url, key, body)) as answer:
        return json.load(answer)


def _request(url: str, key: str, body: dict[str, Any] | None = None) -> urllib.request.Request:
    data = json.dumps(body).encode() if body else None
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return urllib.request.Request(url, data=data, headers=headers)
