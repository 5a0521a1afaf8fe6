"""How fair the dispatcher is among very many tenants, and what a round of it costs: its own statements against a Postgres whose
tenants all wait. A job runs for ten rounds, as if workers had room for ten windows of jobs."""

import asyncio
import time
from collections import Counter
from uuid import UUID

import psutil
import psycopg

from schema.postgres.connections import Pool, pool_for, system_tx
from schema.queries.jobs.dispatch import dispatch_jobs
from tests.bench.load.waiting_jobs import Backlog, create_backlog, drop_backlog
from tests.bench.plan import Plan
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.reporting.percentiles import median
from tests.bench.testbed import Testbed
from workers.queue.dispatch import BATCHES, WINDOW

RUN = "UPDATE jobs SET state = 'running', started_at = now(), tries = %s WHERE state = 'dispatched'"
END = "UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE state = 'running' AND tries <= %s"
LASTS = 10
"""Rounds. `tries` holds the round in which a job was begun."""
TURNS = 2
"""How often each tenant could have had its turn in the rounds that are measured."""


async def measure_turns(bed: Testbed, plan: Plan) -> Measurement:
    """For each number of tenants, rounds until each could have had two jobs begun."""
    found = Measurement(name="turns", title="Turns of tenants that all wait: the dispatcher's rounds")
    for tenants in plan.waiting_tenants:
        backlog = await asyncio.to_thread(create_backlog, bed.database_url, tenants)
        try:
            await _measure(found, backlog)
        finally:
            await asyncio.to_thread(drop_backlog, backlog)
    return found


async def _measure(found: Measurement, backlog: Backlog) -> None:
    rounds = max(2 * LASTS, -(-TURNS * backlog.tenants // WINDOW))
    first: dict[UUID, int] = {}
    begun, took_ms, cpu_ms = Counter[UUID](), list[float](), list[float]()
    with psycopg.connect(backlog.url, autocommit=True) as owner:
        async with pool_for(backlog.url, "headrace_system", max_size=1) as pool:
            for number in range(1, rounds + 1):
                jobs, ms, cpu = await _round(pool)
                took_ms.append(ms)
                cpu_ms.append(cpu)
                for tenant_id in jobs:
                    first.setdefault(tenant_id, number)
                    begun[tenant_id] += 1
                owner.execute(RUN, (number,))
                owner.execute(END, (number - LASTS + 1,))
    most, tenants = 100 * max(begun.values()) / sum(begun.values()), f"{backlog.tenants:,}"
    turns = sorted(first.values())
    waited = turns + [rounds] * (backlog.tenants - len(turns))
    found.runs.append({"tenants": backlog.tenants, "rounds": rounds, "ms": took_ms, "cpu_ms": cpu_ms, "first": turns,
                       "most": [jobs for _, jobs in begun.most_common(10)]})  # fmt: skip
    found.lines += [
        Line(what=f"{tenants} tenants, {backlog.jobs:,} jobs: a round of {WINDOW}", figure=median(took_ms), unit="ms"),
        Line(what=f"{tenants}: CPU of Postgres for a round", figure=median(cpu_ms), unit="ms"),
        Line(what=f"{tenants}: the most that one tenant had of what was begun", figure=most, unit="%"),
        Line(what=f"{tenants}: round of a tenant's first turn, p50", figure=median(waited), unit="rounds"),
        Line(what=f"{tenants}: had a turn within {rounds} rounds", figure=100 * len(turns) / backlog.tenants, unit="%"),
    ]  # fmt: skip


async def _round(pool: Pool) -> tuple[list[UUID], float, float]:
    """Dispatch once; return whose jobs were begun, and the milliseconds and CPU milliseconds of Postgres that it took."""
    async with system_tx(pool) as db:
        server = psutil.Process(db.info.backend_pid)
        before, began = server.cpu_times(), time.monotonic()
        jobs = await dispatch_jobs(db, "chat", window=WINDOW, batches=BATCHES)
    after = server.cpu_times()
    cpu_s = after.user - before.user + after.system - before.system
    return [job.tenant_id for job in jobs], 1000 * (time.monotonic() - began), 1000 * cpu_s
