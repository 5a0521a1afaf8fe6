"""Work that takes long: benchmarks whose workers are killed."""

import asyncio
from typing import Any
from uuid import UUID

from tests.chaos.table import case
from tests.chaos.world import Load, World
from tests.conftest import make_tenant
from tests.journeys.client import Client
from tests.waiting import wait_for
from tests.workers.jobs import rows

SLOW = "openai/text-20-at-50"


@case(31, "a benchmark, and its workers killed")
async def benchmark(world: World, load: Load, scale: float) -> list[str]:
    """Whoever measures is killed again and again: no call that has ended is lost or made twice."""
    url, tenant = world.stores.database_url, make_tenant(world.stores.database_url)
    iterations = max(10, int(60 * scale))
    await world.add("default")
    world.keep("default")
    submitting = asyncio.ensure_future(world.submit(load, max(10, int(100 * scale))))
    asked = {"model_name": SLOW, "prompt": "measured", "iterations": iterations, "concurrency": 2, "warmup": 0}
    async with Client(world.system.url_of("api"), tenant.headers) as client:
        status, said = await client.post("/api/benchmark/llm", asked)
        assert status == 202, said
        job_id, kept = UUID(said["job_id"]), dict[int, Any]()
        for round_ in range(1, 4):
            goal = iterations * round_ // 5
            await wait_for(lambda goal=goal: len(_measured(url, job_id)) >= goal, f"{goal} calls were measured")
            world.kill("default")
            kept |= _measured(url, job_id)
        state = "SELECT state, attempt FROM jobs WHERE id = %s"
        ends = ("succeeded", "failed", "cancelled")
        await wait_for(lambda: rows(url, state, job_id)[0]["state"] in ends, "the benchmark has ended")
    await submitting
    await world.all_ready()
    await world.remove("default")
    after, (job,) = _measured(url, job_id), rows(url, state, job_id)
    findings = [] if job["state"] == "succeeded" else [f"the benchmark has {job['state']}"]
    findings += [f"call {place} was lost or measured again" for place, row in kept.items() if after.get(place) != row]
    return findings + ([] if sorted(after) == list(range(iterations)) else [f"{len(after)} calls of {iterations}"])


def _measured(url: str, job_id: UUID) -> dict[int, Any]:
    found = rows(url, "SELECT * FROM benchmark_iterations WHERE benchmark_id = %s", job_id)
    return {row["place"]: row for row in found}
