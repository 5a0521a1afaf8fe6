"""Everything that users and the scheduler ask of Postgres, each as its process asks it; of lists, with each filter."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import Db, Pool, system_tx, tenant_tx
from schema.queries.benchmarks.benchmarks import list_benchmarks, list_history
from schema.queries.documents.documents import DocumentFilter, list_documents
from schema.queries.files.files import list_files
from schema.queries.identity import privacy
from schema.queries.jobs import sweeper
from schema.queries.jobs.attempts import RENEW, Ending, claim_job, finish_job, renew_values
from schema.queries.jobs.dispatch import dispatch_jobs, requeue_unanswered
from schema.queries.jobs.job_lists import list_jobs
from schema.queries.jobs.jobs import compress_frames, find_job
from schema.queries.jobs.submissions import Submission, add_job
from schema.queries.pages import END
from schema.queries.schedules.schedules import list_runs
from schema.queries.sessions.sessions import list_messages, list_sessions
from schema.queries.tenants import metrics, retention, tallies
from schema.queries.tenants.audit import list_audit
from schema.queries.tenants.usage import get_spending, list_usage
from schema.queries.webhooks.deliveries import DeliveryFilter, list_deliveries
from tests.bench.load.ended_jobs import Past

PAGE = 50
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


def of_past(
    ask: Callable[..., Awaitable[Any]],
    *names: str,
    into: Callable[..., Any] | None = None,
    own: bool = False,
    **given: Any,
) -> Ask:
    """Ask as the tenant for what belongs to those things of the past that `Past` has by these names. `into` is the filter that
    takes them."""

    async def run(asker: Asker) -> None:
        user_id = asker.past.user_id if own else None
        named = {name: getattr(asker.past, name) for name in names} | given
        wanted = ([into(**named)], {"limit": PAGE}) if into else ([], named)
        async with tenant_tx(asker.pool, asker.tenant_id, user_id=user_id) as db:
            await ask(db, asker.tenant_id, *wanted[0], **wanted[1])

    return run


_documents = partial(of_past, list_documents, into=DocumentFilter)
_deliveries = partial(of_past, list_deliveries, into=DeliveryFilter)
_files = partial(as_tenant, list_files, limit=PAGE, after=None, newest_first=True)


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
    "usage of a model": _usage(model="openai/large"),
    "usage of a user": _usage(own=True),
    "usage today": as_tenant(metrics.get_usage_today),
    "documents": _documents(),
    "documents of a collection": _documents("collection_id"),
    "documents in a state": _documents(states=["failed"]),
    "documents in a state of a collection": _documents("collection_id", states=["failed"]),
    "documents that are private": _documents(private=True),
    "documents that are shared": _documents(private=False),
    "documents of a user": _documents(own=True),
    "files": _files(),
    "files for a purpose": _files(purpose="batch"),
    "files of a user": _files(own=True),
    "files of a user for a purpose": _files(purpose="batch", own=True),
    "deliveries": _deliveries(),
    "deliveries in a state": _deliveries(states=["exhausted"]),
    "deliveries of an endpoint": _deliveries("endpoint_id"),
    "deliveries of a type": _deliveries(types=["job.failed"]),
    "runs of a schedule": of_past(list_runs, "schedule_id", limit=PAGE, before=END),
    "benchmarks": as_tenant(list_benchmarks, limit=PAGE),
    "results of benchmarks": as_tenant(list_history, limit=PAGE, model=None),
    "results of a model": as_tenant(list_history, limit=PAGE, model="openai/large"),
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
    "usage of a model": "the rows of all days that are asked for",
    "usage of a user": "the rows of all days that are asked for",
    "export of a user": "what the user has",
    "erase a user": "all jobs of the tenant, once: addresses of what somebody did in sessions of others have no index",
}
