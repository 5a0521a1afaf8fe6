"""What becomes slower when there are more ended jobs: nothing may.

Each way to ask is run over pasts of several sizes (`load/ended_jobs.py`), as its process runs it. Times are told; what fails
the run is a plan that reads a table that grows from end to end, or sorts very many rows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg

from schema.postgres.connections import connection, pool_for
from tests.bench.benchmarks.growth_asks import ASKS, GROW_WITH_WHAT_IS_ASKED, Asker
from tests.bench.load.ended_jobs import Past, create_past, drop_past
from tests.bench.plan import Plan
from tests.bench.profiling.plans import Plans, explaining
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.testbed import Testbed

TIMES = 15
MAX_SORTED_SHARE, MAX_SORTED = 0.1, 5_000
"""How many rows may be sorted, of all jobs and at least: those of one user are few beside those of the tenant."""


async def measure_growth(bed: Testbed, plan: Plan) -> Measurement:
    """Make a past of each size, and ask all of them everything, in turns."""
    sizes = ", ".join(f"{jobs:,}" for jobs in plan.past)
    found = Measurement(name="growth", title=f"What grows with the jobs that have ended: ms after {sizes}")
    read: dict[str, list[int]] = {name: [] for name in ASKS}
    async with AsyncExitStack() as stack:
        pasts: list[Past] = []
        for jobs in plan.past:
            pasts.append(await create_past(bed.database_url, jobs))
            stack.push_async_callback(asyncio.to_thread, drop_past, pasts[-1])
            for name, (rows, faults) in (await explain(pasts[-1])).items():
                read[name].append(rows)
                found.failures += [f"{name}, {jobs:,} jobs: {fault}" for fault in faults]
        took = await _time(pasts)
        found.notes = [_told(past) for past in pasts]
    for name in ASKS:
        what = f"{name}: {', '.join(f'{ms:.1f}' for ms in took[name])} ms, {read[name][-1]:,} rows"
        found.lines.append(Line(what=what, figure=took[name][-1] / took[name][0], unit="times"))
    found.notes += [f"{name} reads {rows}" for name, rows in GROW_WITH_WHAT_IS_ASKED.items()]
    found.runs = [{name: {"ms": took[name], "rows": read[name]} for name in ASKS}]
    return found


async def explain(past: Past) -> dict[str, tuple[int, list[str]]]:
    """Return how many rows of tables that grow each way to ask reads, and what is wrong with its plans."""
    told: dict[str, tuple[int, list[str]]] = {}
    with explaining(past.url):
        for name, ask in ASKS.items():
            async with _asking(past) as (asker, plans):
                if name in ("claim", "renew a lease", "finish"):
                    await _prepare(asker, name)
                plans.plans.clear()
                await ask(asker)
                told[name] = plans.rows_read(), plans.faults(max(MAX_SORTED, round(MAX_SORTED_SHARE * past.jobs)))
    return told


async def _prepare(asker: Asker, name: str) -> None:
    """Bring a job to where `name` begins."""
    await asker.submit()
    if name != "claim":
        await asker.claim()


async def _time(pasts: Sequence[Past]) -> dict[str, list[float]]:
    """Return the median of what each way to ask takes at each of the pasts, in milliseconds."""
    took: dict[str, list[list[float]]] = {name: [[] for _ in pasts] for name in ASKS}
    async with AsyncExitStack() as stack:
        askers = [(await stack.enter_async_context(_asking(past)))[0] for past in pasts]
        for _ in range(TIMES + 1):  # the first prepares statements
            for name, ask in ASKS.items():
                for asker, times in zip(askers, took[name], strict=True):
                    began = time.perf_counter()
                    await ask(asker)
                    times.append((time.perf_counter() - began) * 1e3)
    return {name: [sorted(times[1:])[TIMES // 2] for times in every] for name, every in took.items()}


@asynccontextmanager
async def _asking(past: Past) -> AsyncIterator[tuple[Asker, Plans]]:
    plans = Plans()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(pool_for(past.url, "headrace_app", max_size=1))
        system = await stack.enter_async_context(pool_for(past.url, "headrace_system", max_size=2))
        for opened in (pool, system):
            async with connection(opened) as db:
                plans.listen(db)
        yield Asker(past, pool, system), plans


def _told(past: Past) -> str:
    with psycopg.connect(past.url) as db:
        db.execute("SELECT pg_stat_clear_snapshot()")
        row = db.execute(
            """SELECT n_tup_upd, n_tup_hot_upd, pg_database_size(current_database()) FROM pg_stat_user_tables
            WHERE relname = 'jobs'"""
        ).fetchone()
    assert row is not None
    return (
        f"{past.jobs:,} jobs: {row[2] / 2**20:,.0f} MB, made in {past.load_s:.0f} s; of {row[0]} updates of jobs "
        f"{row[1]} were HOT: all renewals; claims and ends move between indexes"
    )
