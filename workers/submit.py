"""Submitting: one transaction that writes a job and all that comes with it, then the doorbell.

The answer never depends on Redis: what could not be rung is taken back to `queued` and rung later. See
`schema/queries/submissions.py` for when a job may start at once.
"""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from psycopg.rows import DictRow

from schema.batch import Statement
from schema.db import tenant_tx
from schema.errors import HeadraceError, NotFound
from schema.events import JobQueued
from schema.ids import new_id
from schema.kinds import JobKind
from schema.queries import submissions
from schema.queries.jobs import find_job_state
from schema.states import PRIORITIES, CancelMode, OnBusy, Priority
from schema.vault import Sealed
from workers.cancel import cancel
from workers.dispatch import wake
from workers.doorbell import Doorbell, ring
from workers.ports import Ports
from workers.relay import queued_event, queued_frame

log = structlog.get_logger()


Idempotency = submissions.NewKey


@dataclass(frozen=True)
class Submitter:
    """Who asks: `actor` as the audit log names it, the person it is for, whose sessions it may go on with (`sees`, None is
    everybody's), from where, and the token for the job's tools, sealed for this job."""

    actor: str = "system"
    user_id: UUID | None = None
    sees: UUID | None = None
    address: str | None = None
    secret: Sealed | None = None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job to be submitted. `job_id` is the caller's, so that it can follow the job before it exists.

    `parts` is what the user said; it is stored as a message, so it needs a session: an existing one (`session_id`) or
    a `new_session`. `comes_with` are statements of the same transaction.
    """

    tenant_id: UUID
    job_id: UUID
    kind: JobKind
    payload: dict[str, Any]
    model: str
    agent: str | None = None
    parts: list[dict[str, Any]] | None = None
    session_id: UUID | None = None
    new_session: bool = False
    title: str = ""
    on_busy: OnBusy = "queue"
    priority: Priority = "normal"
    idempotency: Idempotency | None = None
    request_id: str | None = None
    deadline_s: float | None = None
    by: Submitter = Submitter()
    comes_with: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Submitted:
    """An accepted job. `queued` is its first frame; `replayed` means that an idempotency key named it already."""

    job_id: UUID
    session_id: UUID | None
    queued: bytes
    replayed: bool = False


async def submit(ports: Ports, submission: Submission) -> Submitted:
    """Commit a job and ring for it.

    Raises NotFound (session), SessionBusy, IdempotencyReused, QueueFull, Unavailable, and what the statements that come with
    it refuse: StorageFull, NotFound (collection), NothingWaits. Then nothing was accepted.
    """
    job, key = _new_job(ports, submission), submission.idempotency
    try:
        async with ports.pace.turn(job.tenant_id):
            has_room = ports.rooms.is_ample(job.tenant_id)
            added = await submissions.add_job(ports.pool, job, window=ports.window, key=key, has_room=has_room)
    except submissions.KeyTaken:
        assert key is not None
        return await _replay(ports, submission.tenant_id, key)
    ports.rooms.note(job.tenant_id, added.row["room"])
    ports.pace.note(job.tenant_id, waits=added.row["state"] == "queued" and bool(added.row["capped"]))
    await _ring(ports, job, added.row)
    if added.live:
        await _make_way(ports, submission, added.live)
    session_id = str(job.session_id) if job.session_id else None
    queued = JobQueued(kind=job.kind.name, session_id=session_id, model=job.model, agent=job.agent)
    return Submitted(job.id, job.session_id, queued_frame(job.id, added.row["created_at"], queued))


async def _replay(ports: Ports, tenant_id: UUID, key: Idempotency) -> Submitted:
    """Return the job that the key made before."""
    async with tenant_tx(ports.pool, tenant_id) as db:
        job_id = await submissions.find_keyed_job(db, tenant_id, key)
        job = job_id and await find_job_state(db, tenant_id, job_id)
    assert job, "a key goes with its job, and a job that was just found is not deleted in between"
    queued = queued_frame(job["id"], job["created_at"], queued_event(job))
    return Submitted(job["id"], job["session_id"], queued, replayed=True)


def _new_job(ports: Ports, submission: Submission) -> submissions.NewJob:
    return submissions.NewJob(
        tenant_id=submission.tenant_id,
        id=submission.job_id,
        kind=submission.kind,
        payload=submission.payload,
        priority=PRIORITIES[submission.priority],
        model=submission.model,
        agent=submission.agent,
        session_id=new_id() if submission.new_session else submission.session_id,
        title=submission.title if submission.new_session else None,
        parts=submission.parts,
        on_busy=submission.on_busy,
        inbox=ports.hub.inbox,
        request_id=submission.request_id,
        deadline_s=submission.deadline_s,
        user_id=submission.by.user_id,
        sees=submission.by.sees,
        actor=submission.by.actor,
        address=submission.by.address,
        secret=submission.by.secret,
        comes_with=submission.comes_with,
    )


async def _ring(ports: Ports, job: submissions.NewJob, row: DictRow) -> None:
    if row["state"] == "dispatched":
        doorbell = Doorbell(job.tenant_id, job.id, job.kind.name, row["dispatch_seq"], job.inbox)
        if not await ring(ports.wire, [doorbell]):
            log.warning("doorbell_unheard", job_id=str(job.id))
            await _take_back(ports, job, row["dispatch_seq"])
    elif not row["parked"] and not row["capped"]:  # at the cap, the end of a job is what lets the next one go
        await wake(ports.wire, job.kind.queue)


async def _take_back(ports: Ports, job: submissions.NewJob, dispatch_seq: int) -> None:
    """Let the dispatcher ring again as soon as Redis is back; should this fail too, the sweeper does it."""
    try:
        async with tenant_tx(ports.pool, job.tenant_id) as db:
            await submissions.undispatch_job(db, job.tenant_id, job.id, dispatch_seq)
    except HeadraceError:
        log.warning("undispatch_failed", job_id=str(job.id))


async def _make_way(ports: Ports, submission: Submission, live: list[UUID]) -> None:
    mode: CancelMode = "forget" if submission.on_busy == "rollback" else "keep"
    ends = (cancel(ports, submission.tenant_id, job_id, mode=mode) for job_id in live)
    for outcome in await asyncio.gather(*ends, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, NotFound):
            log.warning("session_not_cleared", job_id=str(submission.job_id), error=type(outcome).__name__)
