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

from schema.db import Db, tenant_tx
from schema.errors import HeadraceError, IdempotencyReused, NotFound, QueueFull, SessionBusy
from schema.events import JobQueued
from schema.ids import new_id
from schema.kinds import JobKind
from schema.queries import submissions
from schema.queries.jobs import find_job_state
from schema.states import PRIORITIES, CancelMode, OnBusy, Priority
from workers.cancel import cancel
from workers.dispatch import wake
from workers.doorbell import Doorbell, ring
from workers.ports import Ports
from workers.relay import queued_event, queued_frame

log = structlog.get_logger()


@dataclass(frozen=True)
class Idempotency:
    """A client's key for one route, and the SHA-256 of the body that came with it."""

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job to be submitted. `job_id` is the caller's, so that it can follow the job before it exists.

    `parts` is what the user said; it is stored as a message, so it needs a session: an existing one (`session_id`) or
    a `new_session`.
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


@dataclass(frozen=True)
class Submitted:
    """An accepted job. `queued` is its first frame; `replayed` means that an idempotency key named it already."""

    job_id: UUID
    session_id: UUID | None
    queued: bytes
    replayed: bool = False


async def submit(ports: Ports, submission: Submission) -> Submitted:
    """Commit a job and ring for it.

    Raises NotFound (session), SessionBusy, IdempotencyReused, QueueFull, Unavailable; then nothing was accepted.
    """
    async with tenant_tx(ports.pool, submission.tenant_id) as db:
        replay = await _find_replay(db, submission)
        if replay is not None:
            return replay
        session_id, turn, live = await _take_session(db, submission)
        job = _new_job(ports, submission, session_id, turn)
        await submissions.try_turnstile(db, job.tenant_id)
        row = await submissions.add_job(db, job, window=ports.window)
        if row is None:
            raise QueueFull("Too many jobs of this tenant are waiting. Send this one again when some have ended.")
        if session_id is not None and submission.parts is not None:
            await submissions.add_user_message(db, job, new_id(), submission.parts)
    await _ring(ports, job, row)
    if live and submission.on_busy in ("interrupt", "rollback"):
        await _make_way(ports, submission, live)
    queued = JobQueued(
        kind=job.kind.name, session_id=str(session_id) if session_id else None, model=job.model, agent=job.agent
    )
    return Submitted(job.id, session_id, queued_frame(job.id, row["created_at"], queued))


async def _find_replay(db: Db, submission: Submission) -> Submitted | None:
    wanted = submission.idempotency
    if wanted is None:
        return None
    held = await submissions.add_idempotency_key(
        db,
        submission.tenant_id,
        wanted.route,
        wanted.key,
        fingerprint=wanted.fingerprint,
        job_id=submission.job_id,
    )
    if held is None:
        return None
    if held["fingerprint"] != wanted.fingerprint:
        raise IdempotencyReused(
            "This Idempotency-Key came with another body before. Use a new key for a new request.",
            field="Idempotency-Key",
        )
    job = await find_job_state(db, submission.tenant_id, held["job_id"])
    assert job is not None, "an idempotency key goes when its job goes"
    queued = queued_frame(job["id"], job["created_at"], queued_event(job))
    return Submitted(job["id"], job["session_id"], queued, replayed=True)


async def _take_session(db: Db, submission: Submission) -> tuple[UUID | None, int | None, list[UUID]]:
    """Return the session, the turn that the job takes in it, and the session's live jobs."""
    tenant_id, session_id = submission.tenant_id, submission.session_id
    if submission.new_session:
        session_id = new_id()
        await submissions.add_session(db, tenant_id, session_id, submission.title, turns=1)
        return session_id, 1, []
    if session_id is None:
        return None, None, []
    turn = await submissions.take_turn(db, tenant_id, session_id)
    if turn is None:
        raise NotFound("There is no such session. Leave session_id out to begin a new one.", field="session_id")
    if submission.on_busy == "queue":
        return session_id, turn, []
    live = await submissions.list_live_jobs(db, tenant_id, session_id)
    if live and submission.on_busy == "reject":
        raise SessionBusy(
            "The session is still answering. Wait for it, or send on_busy as queue, interrupt or rollback.",
            field="on_busy",
        )
    return session_id, turn, live


def _new_job(ports: Ports, submission: Submission, session_id: UUID | None, turn: int | None) -> submissions.NewJob:
    return submissions.NewJob(
        tenant_id=submission.tenant_id,
        id=submission.job_id,
        kind=submission.kind,
        payload=submission.payload,
        priority=PRIORITIES[submission.priority],
        model=submission.model,
        agent=submission.agent,
        session_id=session_id,
        turn=turn,
        inbox=ports.hub.inbox,
        request_id=submission.request_id,
        deadline_s=submission.deadline_s,
    )


async def _ring(ports: Ports, job: submissions.NewJob, row: DictRow) -> None:
    if row["state"] == "dispatched":
        doorbell = Doorbell(job.tenant_id, job.id, job.kind.name, row["dispatch_seq"], job.inbox)
        if not await ring(ports.wire, [doorbell]):
            log.warning("doorbell_unheard", job_id=str(job.id))
            await _take_back(ports, job, row["dispatch_seq"])
    elif not row["parked"]:
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
