"""Many clients that join streams which are under way, through one API process: ten thousand that stay, and thousands that come
back at the same moment. Their jobs are few, so that the API process and not the machine is what is measured."""

import asyncio
import json
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.benchmarks.open_streams import most_open
from tests.bench.load.client import Exchange, HttpConnection
from tests.bench.load.stream_reading import token_arrivals_ns, token_delays_ms
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

JOIN_NEED = 10_000
JOINING = 200  # at the same time
SPARE_FILES = 1000
REJOIN_NEED_S = 5.0
SEQ = re.compile(rb"^id: (\d+)$", re.MULTILINE)


async def measure_joined_streams(bed: Testbed, plan: Plan) -> Measurement:
    """Clients that follow jobs of one token in ten seconds through one API process, all of them open together for `hold_s`;
    then their jobs are cancelled. A stream is complete that has each event after its first, once and in order."""
    found = Measurement(name="joined-streams", title=f"Streams of {plan.sources} slow jobs through one API process")
    count = min(plan.joined, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES)
    if count < plan.joined:
        found.notes.append(f"{plan.joined:,} would need more open files than a process may have here (ulimit -Hn)")
    target = bed.native(bed.tenant("joined", max_running=plan.sources))
    async with _slow_jobs(target, plan.sources, "stamped-2000-at-0.1") as jobs:
        links, gate = [HttpConnection(target.port) for _ in range(count)], asyncio.Semaphore(JOINING)
        before, joining = bed.meter().read(), bed.meter()
        streams = await asyncio.gather(
            *(_join(link, target.rejoin(jobs[number % len(jobs)]), gate) for number, link in enumerate(links))
        )
        found.usage["while they join"], cpu_s = joining.read(), joining.cpu_s()["api"]
        holding, held_ns = bed.meter(), time.monotonic_ns()
        await asyncio.sleep(plan.hold_s)
        found.usage["while they are open"] = held = holding.read()
    await asyncio.gather(*(link.rest() for link in links))
    delays = [
        ms
        for one in streams
        for ms, came_ns in zip(token_delays_ms(one), token_arrivals_ns(one), strict=True)
        if came_ns > held_ns
    ]
    said = [wrong for one in streams if (wrong := gap(one))]
    found.failed(said, count, f"{count} streams")
    found.runs.append({"streams": count, "open": most_open(streams), "tokens": spread(delays)})
    each_kb = (held.memory_mb["api"] - before.memory_mb["api"]) / count * 1024
    found.lines += [
        Line(what="complete", figure=count - len(said), unit="streams", need=JOIN_NEED, sense="at least"),
        Line(what="most open at once", figure=most_open(streams), unit="streams", need=JOIN_NEED, sense="at least"),
        Line(what="memory of the API process for each", figure=each_kb, unit="KB"),
        Line(what="CPU of the API process for each to join", figure=cpu_s / count * 1e3, unit="ms"),
        Line(what="latency per token, p50", figure=percentile(delays, 0.5), unit="ms"),
        Line(what="latency per token, p99", figure=percentile(delays, 0.99), unit="ms"),
    ]
    return found


async def measure_rejoin(bed: Testbed, plan: Plan) -> Measurement:
    """Clients that lost their connections all come back at once, twice: how long until each hears its stream again. Connecting
    counts."""
    found = Measurement(name="rejoin", title=f"{plan.rejoin:,} streams that come back at once, one API process")
    target = bed.native(bed.tenant("rejoin", max_running=20))
    async with _slow_jobs(target, 20, "stall-after-5") as jobs:
        for turn in ("first", "again"):
            links, meter = [HttpConnection(target.port) for _ in range(plan.rejoin)], bed.meter()
            began_ns = time.monotonic_ns()
            streams = await asyncio.gather(
                *(link.begin(target.rejoin(jobs[number % len(jobs)])) for number, link in enumerate(links))
            )
            found.usage[turn], cpu_s = meter.read(), meter.cpu_s()["api"]
            found.failed([one.error for one in streams if one.error], plan.rejoin, turn)
            waits = [(one.ended_ns - began_ns) / 1e9 for one in streams]
            found.runs.append({"seconds": spread(waits)})
            found.lines += [
                Line(what=f"{turn}: until half are back", figure=percentile(waits, 0.5), unit="s"),
                Line(what=f"{turn}: until all are back", figure=max(waits), unit="s", need=REJOIN_NEED_S),
                Line(what=f"{turn}: CPU of the API process for all", figure=cpu_s, unit="s"),
            ]
            for link in links:
                link.close()
    return found


async def _join(link: HttpConnection, request: bytes, gate: asyncio.Semaphore) -> Exchange:
    async with gate:
        return await link.begin(request)


@asynccontextmanager
async def _slow_jobs(target: Target, count: int, model: str) -> AsyncIterator[list[str]]:
    """Jobs that run within, and are cancelled at the end."""
    link, jobs = HttpConnection(target.port), list[str]()
    for _ in range(count):
        begun = await link.ask(target.request(model, stream=False))
        jobs.append(json.loads(begun.answer.partition(b"\r\n\r\n")[2])["job_id"])
    try:
        yield jobs
    finally:
        for job_id in jobs:
            await link.ask(target.cancel(job_id))
        link.close()


def gap(stream: Exchange) -> str:
    """Return what is wrong with a stream that was joined after its first event and ended with its job's cancellation."""
    numbers = [int(number) for number in SEQ.findall(stream.answer)]
    if stream.error or b"\nevent: job.cancelled" not in stream.answer:
        return stream.error or f"no end: …{stream.answer[-200:].decode(errors='replace')}"
    return "" if numbers == list(range(2, len(numbers) + 2)) else f"its events are not 2, 3, 4 …: {numbers[:20]}"
