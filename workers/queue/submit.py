"""Submitting: one transaction that writes a job and all that comes with it, then the doorbell.

The answer never depends on Redis: what could not be rung is taken back to `queued` and rung later. See
`schema/queries/jobs/submissions.py` for when a job may start at once.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import structlog
from msgspec.structs import replace

from schema.db import tenant_tx
from schema.errors import HeadraceError, NotFound
from schema.events import JobQueued
from schema.ids import new_id
from schema.queries.jobs import submissions
from schema.queries.jobs.jobs import find_job_status
from schema.queries.jobs.submissions import Added, Idempotency, Submission
from schema.states import CancelMode
from workers.queue.cancel import cancel
from workers.queue.dispatch import wake
from workers.queue.doorbell import Doorbell, ring
from workers.queue.job_core import JobCore
from workers.stream.relay import queued_event, queued_frame

log = structlog.get_logger()


@dataclass(frozen=True)
class Submitted:
    """An accepted job. `queued` is its first frame; `replayed` means that an idempotency key named it already."""

    job_id: UUID
    session_id: UUID | None
    queued: bytes
    replayed: bool = False


async def submit(core: JobCore, submission: Submission) -> Submitted:
    """Commit a job and ring for it.

    Raises NotFound (session), SessionBusy, IdempotencyReused, QueueFull, Unavailable, and what the statements that come with
    it refuse: StorageFull, NotFound (collection), NothingWaits. Then nothing was accepted.
    """
    session_id = new_id() if submission.new_session else submission.session_id
    job = replace(submission, session_id=session_id, inbox=core.hub.inbox)
    try:
        async with core.throttle.turn(job.tenant_id):
            has_room = core.capacity.is_ample(job.tenant_id)
            added = await submissions.add_job(core.pool, job, window=core.window, has_room=has_room)
    except submissions.KeyTaken:
        assert job.idempotency is not None
        return await _replay(core, job.tenant_id, job.idempotency)
    core.capacity.note(job.tenant_id, added.room)
    core.throttle.note(job.tenant_id, waits=added.state == "queued" and bool(added.capped))
    await _ring(core, job, added)
    if added.live:
        await _make_way(core, job, added.live)
    return Submitted(job.job_id, session_id, _queued_frame(job, added))


def _queued_frame(job: Submission, added: Added) -> bytes:
    session_id = str(job.session_id) if job.session_id else None
    queued = JobQueued(kind=job.kind.name, session_id=session_id, model=job.model, agent=job.agent)
    return queued_frame(job.job_id, added.created_at, queued)


async def _replay(core: JobCore, tenant_id: UUID, key: Idempotency) -> Submitted:
    """Return the job that the key made before."""
    async with tenant_tx(core.pool, tenant_id) as db:
        job_id = await submissions.find_keyed_job(db, tenant_id, key)
        job = job_id and await find_job_status(db, tenant_id, job_id)
    assert job, "a key goes with its job, and a job that was just found is not deleted in between"
    queued = queued_frame(job.id, job.created_at, queued_event(job))
    return Submitted(job.id, job.session_id, queued, replayed=True)


async def _ring(core: JobCore, job: Submission, added: Added) -> None:
    if added.state == "dispatched":
        doorbell = Doorbell(job.tenant_id, job.job_id, job.kind.name, added.dispatch_seq, job.inbox)
        if not await ring(core.redis, [doorbell]):
            log.warning("doorbell_unheard", job_id=str(job.job_id))
            await _take_back(core, job, added.dispatch_seq)
    elif not added.parked and not added.capped:  # at the cap, the end of a job is what lets the next one go
        await wake(core.redis, job.kind.queue)


async def _take_back(core: JobCore, job: Submission, dispatch_seq: int) -> None:
    """Let the dispatcher ring again as soon as Redis is back; should this fail too, the sweeper does it."""
    try:
        async with tenant_tx(core.pool, job.tenant_id) as db:
            await submissions.undispatch_job(db, job.tenant_id, job.job_id, dispatch_seq)
    except HeadraceError:
        log.warning("undispatch_failed", job_id=str(job.job_id))


async def _make_way(core: JobCore, submission: Submission, live: list[UUID]) -> None:
    mode: CancelMode = "forget" if submission.on_busy == "rollback" else "keep"
    ends = (cancel(core, submission.tenant_id, job_id, mode=mode) for job_id in live)
    for outcome in await asyncio.gather(*ends, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, NotFound):
            log.warning("session_not_cleared", job_id=str(submission.job_id), error=type(outcome).__name__)
