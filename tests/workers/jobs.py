"""Short ways to make jobs and to look at them, for tests of the job core."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row

from schema import events
from schema.events import Event, Frame, read_frames
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import tenant_tx
from schema.queries.jobs.attempts import ClaimedJob, claim_job
from schema.queries.jobs.jobs import find_log
from schema.queries.jobs.submissions import Submission
from schema.queries.sessions.sessions import StoredMessage
from tests.conftest import TestTenant
from tests.secret import VAULT
from tests.waiting import PATIENCE_S
from workers.context import WorkerContext, open_worker_context
from workers.queue.context import QueueContext
from workers.queue.job_core import JobCore
from workers.queue.submit import Submitted, submit
from workers.settings import WorkerSettings
from workers.stream.follow import Follower


def submission(tenant: TestTenant, **changes: Any) -> Submission:
    """A small stateless chat."""
    facts: dict[str, Any] = {
        "tenant_id": tenant.id,
        "job_id": new_id(),
        "kind": KINDS["chat"],
        "payload": {"messages": [{"role": "user", "content": "hello"}]},
        "model": "offline/extractive",
    }
    return Submission(**{**facts, **changes})


def turn(tenant: TestTenant, session_id: UUID | None = None, **changes: Any) -> Submission:
    """A chat in a session, a new one if none is named."""
    parts = [{"type": "text", "text": "hello"}]
    facts = {"payload": {}, "parts": parts, "session_id": session_id, "new_session": session_id is None, "title": "t"}
    return submission(tenant, **{**facts, **changes})


async def submit_one(core: JobCore, tenant: TestTenant, **changes: Any) -> Submitted:
    return await submit(core, submission(tenant, **changes))


def rows(database_url: str, sql: str, *values: Any) -> list[DictRow]:
    """What the owner of the tables sees."""
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        return db.execute(sql, values).fetchall()


def job_row(database_url: str, job_id: UUID) -> DictRow:
    (row,) = rows(database_url, "SELECT * FROM jobs WHERE id = %s", job_id)
    return row


def change(database_url: str, sql: str, *values: Any) -> None:
    with psycopg.connect(database_url) as db:
        db.execute(sql, values)


async def claim(core: JobCore, database_url: str, job_id: UUID, worker: str = "w/1/1") -> ClaimedJob | None:
    """Claim a dispatched job under its present dispatch, as a worker does."""
    row = job_row(database_url, job_id)
    claimed = await claim_job(
        core.pool, row["tenant_id"], job_id, row["dispatch_seq"], worker=worker, lease_s=30, history=10
    )
    return claimed and claimed[0]


async def dispatch_again(worker: QueueContext, database_url: str, job_id: UUID) -> int:
    """Dispatch a job that waits, whenever its time is, and return the number of the dispatch."""
    change(database_url, "UPDATE jobs SET run_at = now() WHERE id = %s", job_id)
    await worker.dispatcher.dispatch("chat")
    row = job_row(database_url, job_id)
    assert "dispatched" == row["state"]
    return row["dispatch_seq"]


async def read_all(follower: Follower) -> list[Frame]:
    """Follow to the end."""
    frames: list[Frame] = []
    async with asyncio.timeout(PATIENCE_S), follower:
        async for chunk in follower.chunks():
            frames += read_frames(chunk)
    return frames


async def stored_frames(core: JobCore, tenant: TestTenant, job_id: UUID) -> list[Frame]:
    """The compacted log."""
    async with tenant_tx(core.pool, tenant.id) as db:
        return list(read_frames(await find_log(db, tenant.id, job_id) or b""))


@asynccontextmanager
async def worker_context(
    database_url: str, redis_url: str, queue: str = "chat", **settings: Any
) -> AsyncIterator[WorkerContext]:
    """A worker's resources in this process, without Celery."""
    opened = WorkerSettings(database_url, redis_url, vault=VAULT, **settings)
    async with open_worker_context(opened, queue, f"{queue}@test") as worker:
        yield worker


class Script:
    """Work that says what a test wants, and waits where it wants. Counts how often it began."""

    def __init__(self, *steps: Event | Exception | asyncio.Event) -> None:
        self.steps, self.begun, self.closed = steps, 0, False
        self.at_work = asyncio.Event()

    async def __call__(self, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]) -> None:
        self.begun += 1
        self.messages = messages
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    self.at_work.set()
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    emit(step)
        finally:
            self.closed = True


def saying(text: str = "hello") -> tuple[Event, ...]:
    """The events of an ordinary answer."""
    return (
        events.MessageDelta(text=text),
        events.MessageCompleted(text=text),
        events.UsageRecorded(model="offline/extractive", input_tokens=1, output_tokens=1),
    )
