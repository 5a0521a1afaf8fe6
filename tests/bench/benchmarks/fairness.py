"""What tenant B feels while tenant A floods: B's time to first token, quiet and meanwhile."""

import asyncio
import time
from collections.abc import Callable

from tests.bench.load.client import Exchange, HttpConnection
from tests.bench.load.flood import Flood, run_flood
from tests.bench.load.stream_reading import first_tokens_ms, response_errors
from tests.bench.load.targets import Target
from tests.bench.plan import Plan
from tests.bench.profiling.job_rows import database_now, waits
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import percentile, spread
from tests.bench.testbed import Testbed

FLOOD = "text-100-at-50"  # two seconds a job, so that a cap of 100 means 50 new jobs and 5,000 tokens a second
LINKS = 4
PROBE = "text-5"
PAUSE_S = 0.02
NEEDS = {"while A submits": 3.0, "while A's jobs run": 2.0}


async def measure_fairness(bed: Testbed, plan: Plan) -> Measurement:
    """B asks one short chat after another: before the flood, while A submits as fast as it can over four connections, and
    while A's jobs wait and run. A has the cap that tenants are given, 100. A phase's notes say where B's jobs waited."""
    found = Measurement(name="fairness", title=f"Tenant B while tenant A floods {plan.flood:,} jobs")
    flooding, target = bed.native(bed.tenant("a")), bed.native(bed.tenant("b"))
    await _probe(found, target, _times(20))
    quiet = await _phase(found, bed, target, "quiet", _times(plan.quiet))
    flood = Flood(port=flooding.port, key=flooding.key, model=FLOOD, jobs=plan.flood, links=LINKS)
    task = asyncio.create_task(run_flood(flood))
    submitting = await _phase(found, bed, target, "while A submits", lambda _: not task.done())
    outcome = await task
    until = time.monotonic() + plan.drain_s
    running = await _phase(found, bed, target, "while A's jobs run", lambda _: time.monotonic() < until)
    before = percentile(quiet, 0.95)
    found.lines.append(Line(what="B's time to first token, quiet, p95", figure=before, unit="ms"))
    for name, samples in {"while A submits": submitting, "while A's jobs run": running}.items():
        p95 = percentile(samples, 0.95)
        found.lines.append(Line(what=f"B's time to first token, {name}, p95", figure=p95, unit="ms"))
        found.lines.append(Line(what=f"{name}, over quiet", figure=p95 / before, unit="times", need=NEEDS[name]))
    found.failed(outcome.refused, plan.flood, "tenant A's submits")
    found.notes.append(f"A submitted {plan.flood:,} in {outcome.took_s:.1f} s ({plan.flood / outcome.took_s:.0f}/s)")
    return found


async def _phase(
    found: Measurement, bed: Testbed, target: Target, name: str, go_on: Callable[[int], bool]
) -> list[float]:
    """Probe as B; note what the processes used meanwhile, and where B's jobs waited."""
    since, meter = database_now(bed.database_url), bed.meter()
    samples = await _probe(found, target, go_on)
    found.usage[name] = meter.read()
    note, kept = waits(bed.database_url, since, f"openai/{PROBE}")
    found.notes.append(f"B {name}: {note}")
    found.runs.append({name: spread(samples), "rows": kept})
    return samples


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
