"""What becomes slower when there are more ended jobs: nothing may.

Each way to ask is run over pasts of several sizes (`load/ended_jobs.py`), as its process runs it. Times are told; what fails
the run is a plan that reads a table that grows from end to end, or sorts very many rows.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import Db, Pool, connection, pool_for, system_tx, tenant_tx
from schema.queries.identity import privacy
from schema.queries.jobs import sweeper
from schema.queries.jobs.attempts import RENEW, Ending, claim_job, finish_job, renew_values
from schema.queries.jobs.dispatch import dispatch_jobs, requeue_unanswered
from schema.queries.jobs.job_lists import list_jobs
from schema.queries.jobs.jobs import compress_frames, find_job
from schema.queries.jobs.submissions import Submission, add_job
from schema.queries.sessions.sessions import list_messages, list_sessions
from schema.queries.tenants import metrics, retention, tallies
from schema.queries.tenants.audit import list_audit
from schema.queries.tenants.usage import get_spending, list_usage
from tests.bench.load.ended_jobs import Past, create_past, drop_past
from tests.bench.plan import Plan
from tests.bench.profiling.plans import Plans, explaining
from tests.bench.reporting.measurement import Line, Measurement
from tests.bench.testbed import Testbed

PAGE, TIMES = 50, 15
MAX_SORTED_SHARE, MAX_SORTED = 0.1, 5_000
"""How many rows may be sorted, of all jobs and at least: those of one user are few beside those of the tenant."""
WINDOW = 200
WORKER = "bench/1/1"


@dataclass
class Asker:
    """A tenant with a past, and the connections to ask with. `jobs` are those that it has submitted since."""

    past: Past
    pool: Pool
    system: Pool
    jobs: list[UUID] = field(default_factory=list)

    @property
    def tenant_id(self) -> UUID:
        return self.past.tenant_id

    async def submit(self) -> None:
        """Submit a chat in a new session."""
        job = Submission(
            tenant_id=self.tenant_id,
            job_id=new_id(),
            kind=KINDS["chat"],
            payload={},
            model="openai/small",
            parts=[{"type": "text", "text": "hello"}],
            session_id=new_id(),
            new_session=True,
        )
        await add_job(self.pool, job, window=WINDOW)
        self.jobs.append(job.job_id)

    async def claim(self) -> None:
        """Claim the job that was submitted last."""
        await claim_job(self.pool, self.tenant_id, self.jobs[-1], 1, worker=WORKER, lease_s=30, history=40)

    async def renew(self) -> None:
        """Renew the lease of that job."""
        async with system_tx(self.system) as db:
            await db.execute(RENEW, renew_values([(self.tenant_id, self.jobs[-1], 1)], 30, worker=WORKER))

    async def finish(self) -> None:
        """End that job."""
        used = {"input_tokens": 20, "output_tokens": 100}
        said = Ending("succeeded", 5, compress_frames([b"x"]), message_id=new_id(), parts=[], usage=used)
        async with tenant_tx(self.pool, self.tenant_id) as db:
            job = await find_job(db, self.tenant_id, self.jobs[-1])
        assert job is not None
        await finish_job(self.pool, self.tenant_id, job.id, 1, said, session_id=job.session_id, worker=WORKER)


Ask = Callable[[Asker], Awaitable[Any]]


def as_tenant(ask: Callable[..., Awaitable[Any]], *values: Any, own: bool = False, **filters: Any) -> Ask:
    """Ask as the tenant; with `own`, as one of its users."""

    async def run(asker: Asker) -> None:
        user_id = asker.past.user_id if own else None
        given = {**filters, **({"user_id": user_id} if own else {})}
        async with tenant_tx(asker.pool, asker.tenant_id, user_id=user_id) as db:
            await ask(db, asker.tenant_id, *values, **given)

    return run


def as_system(ask: Callable[..., Awaitable[Any]], *values: Any, **given: Any) -> Ask:
    """Ask as the scheduler does."""

    async def run(asker: Asker) -> None:
        async with system_tx(asker.system) as db:
            await ask(db, *values, **given)

    return run


async def _messages(asker: Asker) -> None:
    async with tenant_tx(asker.pool, asker.tenant_id) as db:
        (session,) = await list_sessions(db, asker.tenant_id, limit=1)
        await list_messages(db, asker.tenant_id, session.id, limit=PAGE)


async def _jobs_of_session(asker: Asker) -> None:
    async with tenant_tx(asker.pool, asker.tenant_id) as db:
        (job, *_) = await list_jobs(db, asker.tenant_id, limit=1, states=["failed"])
        await list_jobs(db, asker.tenant_id, limit=PAGE, session_id=job.session_id)


async def _unanswered(db: Db) -> None:
    await db.execute(sweeper.UNANSWERED_DOORBELLS, {"queues": ["chat"]})


async def _export(db: Db, tenant_id: UUID, *, user_id: UUID) -> None:
    """The first page of each list."""
    for table in privacy.SECTIONS.values():
        await privacy.list_exported_rows(db, table, tenant_id, user_id, limit=PAGE)


async def _erase(asker: Asker) -> None:
    """One batch of each erasure, of somebody who has nothing."""
    nobody = new_id()
    for table, data in privacy.PERSONAL_DATA.items():
        for erasure in data.erasures:
            async with tenant_tx(asker.pool, asker.tenant_id) as db:
                await privacy.erase_rows(db, table, erasure, asker.tenant_id, nobody, limit=PAGE)


async def _expire(asker: Asker) -> None:
    """Nothing is that old."""
    async with tenant_tx(asker.pool, asker.tenant_id) as db:
        await retention.delete_old_content(db, asker.tenant_id, datetime.now(UTC) - timedelta(days=4000))


async def _tally(asker: Asker) -> None:
    async with system_tx(asker.system) as db:
        await tallies.list_tenants_to_tally(db)
    async with tenant_tx(asker.pool, asker.tenant_id) as db:
        await tallies.tally(db, asker.tenant_id)


def _usage(**asked: Any) -> Ask:
    today = datetime.now(UTC).date()
    return as_tenant(list_usage, first=today - timedelta(days=29), last=today, limit=5001, **{"by": ["day"], **asked})


ASKS: dict[str, Ask] = {
    "submit": Asker.submit,
    "claim": Asker.claim,
    "renew a lease": Asker.renew,
    "finish": Asker.finish,
    "jobs": as_tenant(list_jobs, limit=PAGE),
    "jobs of a kind": as_tenant(list_jobs, limit=PAGE, kind="pipeline"),
    "jobs in a state": as_tenant(list_jobs, limit=PAGE, states=["failed"]),
    "jobs of a kind in a state": as_tenant(list_jobs, limit=PAGE, kind="ingestion", states=["cancelled"]),
    "jobs of a session": _jobs_of_session,
    "jobs of a user": as_tenant(list_jobs, limit=PAGE, own=True),
    "jobs of a user in a state": as_tenant(list_jobs, limit=PAGE, states=["failed"], own=True),
    "sessions": as_tenant(list_sessions, limit=PAGE),
    "sessions of a user": as_tenant(list_sessions, limit=PAGE, own=True),
    "messages": _messages,
    "audit": as_tenant(list_audit, limit=PAGE),
    "audit of an actor": as_tenant(list_audit, limit=PAGE, actor="user:nobody"),
    "audit of an action": as_tenant(list_audit, limit=PAGE, action="pipeline"),
    "audit of a target": as_tenant(list_audit, limit=PAGE, target="openai/small"),
    "audit with a result": as_tenant(list_audit, limit=PAGE, result="denied"),
    "a tenant's jobs in figures": as_tenant(metrics.get_job_stats),
    "what a tenant keeps": as_tenant(metrics.get_stored_counts),
    "usage this month": as_tenant(metrics.get_usage_this_month),
    "budgets": as_tenant(get_spending),
    "usage by day": _usage(),
    "usage in all": _usage(by=[]),
    "usage by user and model": _usage(by=["user_id", "model"]),
    "dispatch": as_system(dispatch_jobs, "chat", window=WINDOW, batches=(100, 16, 4, 1)),
    "sweep: unanswered": as_system(requeue_unanswered, after_s=10),
    "sweep: owners of leases": as_system(sweeper.list_lease_owners, lease_s=30),
    "sweep: lost jobs": as_system(sweeper.list_lost, dead=[], lease_s=30),
    "sweep: overdue jobs": as_system(sweeper.list_overdue),
    "sweep: parked turns": as_system(sweeper.unpark_stranded),
    "a worker's watchdog": as_system(_unanswered),
    "expire content": _expire,
    "expire the rest": as_system(retention.delete_expired, delivery_days=30),
    "merge usage": as_system(retention.merge_usage),
    "count what ended": _tally,
    "export of a user": as_tenant(_export, own=True),
    "erase a user": _erase,
}

GROW_WITH_WHAT_IS_ASKED = {
    "usage by user and model": "the rows of all days that are asked for",
    "export of a user": "what the user has",
    "erase a user": "all jobs of the tenant, once: addresses of what somebody did in sessions of others have no index",
}


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
