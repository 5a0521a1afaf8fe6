"""What tenant B feels while tenant A floods: B's time to first token, quiet and meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from tests.bench.load.client import Exchange, HttpConnection
from tests.bench.load.stream_reading import first_tokens_ms, response_errors
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

FLOOD = "text-100-at-50"  # two seconds a job, so that a cap of 100 means 50 new jobs and 5,000 tokens a second
LINKS = 4
PROBE = "text-5"
PAUSE_S = 0.02
NEED = 2.0


async def measure_fairness(bed: Testbed, plan: Plan) -> Measurement:
    """B asks one short chat after another: before the flood, while A submits as fast as it can over four connections,
    and while A's jobs wait and run. A has the cap that tenants are given, 100. The worse of the two phases counts."""
    found = Measurement(name="fairness", title=f"Tenant B while tenant A floods {plan.flood:,} jobs")
    flooding, target = bed.native(bed.tenant("a")), bed.native(bed.tenant("b"))
    await _probe(found, target, _times(20))
    quiet = await _probe(found, target, _times(plan.quiet))
    meter = bed.meter()
    flood = asyncio.create_task(_flood(found, flooding, plan.flood))
    submitting = await _probe(found, target, lambda _: not flood.done())
    took_s = await flood
    found.usage["while A submits"] = meter.read()
    until, meter = time.monotonic() + plan.drain_s, bed.meter()
    running = await _probe(found, target, lambda _: time.monotonic() < until)
    found.usage["while A's jobs run"] = meter.read()
    found.runs.append(
        {"quiet": spread(quiet), "while A submits": spread(submitting), "while A's jobs run": spread(running)}
    )
    before = percentile(quiet, 0.95)
    found.lines.append(Line(what="B's time to first token, quiet, p95", figure=before, unit="ms"))
    phases = {"while A submits": submitting, "while A's jobs run": running}
    for name, samples in phases.items():
        found.lines.append(
            Line(what=f"B's time to first token, {name}, p95", figure=percentile(samples, 0.95), unit="ms")
        )
    worst = max(percentile(samples, 0.95) for samples in phases.values())
    found.lines.append(Line(what="the worse of both over quiet", figure=worst / before, unit="times", need=NEED))
    found.notes.append(f"A submitted {plan.flood:,} jobs in {took_s:.1f} s ({plan.flood / took_s:.0f}/s)")
    return found


async def _probe(found: Measurement, target: Target, go_on: Callable[[int], bool]) -> list[float]:
    """Ask one short chat after another while `go_on(asked)`; return the times to first token in milliseconds."""
    link, request, asked = HttpConnection(target.port), target.request(PROBE), list[Exchange]()
    while go_on(len(asked)):
        asked.append(await link.ask(request))
        await asyncio.sleep(PAUSE_S)
    link.close()
    found.failed(response_errors(target, asked, PROBE), len(asked), "tenant B")
    return first_tokens_ms(target, asked)


def _times(count: int) -> Callable[[int], bool]:
    return lambda asked: asked < count


async def _flood(found: Measurement, target: Target, jobs: int) -> float:
    """Submit `jobs` over a few connections and return how many seconds that took."""
    request, left, refused = target.request(FLOOD, stream=False), iter(range(jobs)), list[str]()

    async def submit() -> None:
        link = HttpConnection(target.port)
        for _ in left:
            exchange = await link.ask(request)
            if exchange.error:
                refused.append(exchange.error)
        link.close()

    began = time.monotonic()
    submits: list[Awaitable[None]] = [submit() for _ in range(LINKS)]
    await asyncio.gather(*submits)
    found.failed(refused, jobs, "tenant A's submits")
    return time.monotonic() - began
