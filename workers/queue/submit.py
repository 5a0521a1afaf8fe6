"""Submits jobs: one transaction writes the job and everything that belongs to it, then its doorbell is rung.

Whether a job is accepted never depends on Redis: if its doorbell can't be rung, the job returns to `queued` and is
dispatched later. When a job may start at once is decided in `schema/queries/jobs/submissions.py`.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import structlog
from msgspec.structs import replace

from schema.errors import HeadraceError, NotFound
from schema.events import JobQueued
from schema.ids import new_id
from schema.metrics.catalog import JOBS_ACCEPTED
from schema.postgres.connections import tenant_tx
from schema.queries.jobs import submissions
from schema.queries.jobs.jobs import find_job_status
from schema.queries.jobs.submissions import Added, Idempotency, Submission
from schema.states import CancelMode
from schema.tracing import attributes as names
from schema.tracing.spans import current, entry_span
from schema.tracing.traceparent import TraceContext
from workers.queue.cancel import cancel
from workers.queue.dispatch import wake_dispatchers
from workers.queue.doorbell import Doorbell, ring
from workers.queue.job_core import JobCore
from workers.stream.relay import queued_event, queued_frame

log = structlog.get_logger()


@dataclass(frozen=True)
class Submitted:
    """An accepted job. `queued` is its first frame; `replayed` means that its idempotency key was used before."""

    job_id: UUID
    session_id: UUID | None
    queued: bytes
    replayed: bool = False


async def submit(core: JobCore, submission: Submission, *, is_followed: bool = False) -> Submitted:
    """Commit a job and ring its doorbell; its attempts are traced as a part of this submit. Who follows it in this process says
    `is_followed`: then its events come over the process's inbox.

    Raises NotFound (session), SessionBusy, IdempotencyReused, QueueFull, Unavailable, and what its extra statements
    raise: StorageFull, NotFound (collection), NothingToRetry. Nothing was accepted then.
    """
    kind = submission.kind.name
    attributes = {names.JOB: str(submission.job_id), names.JOB_KIND: kind, names.TENANT: str(submission.tenant_id)}
    with entry_span(f"submit {kind}", "producer", attributes) as span:
        submitted = await _submit(core, submission, span.context or current(), is_followed=is_followed)
        span.set({names.SESSION: str(submitted.session_id) if submitted.session_id else None})
        return submitted


async def _submit(
    core: JobCore, submission: Submission, traced: TraceContext | None, *, is_followed: bool
) -> Submitted:
    session_id = submission.session_id or (new_id() if submission.new_session else None)
    traceparent = None if traced is None else traced.traceparent
    inbox = core.hub.inbox if is_followed else None
    job = replace(submission, session_id=session_id, inbox=inbox, traceparent=traceparent)
    try:
        async with core.throttle.admit(job.tenant_id):
            has_room = core.capacity.has_ample_capacity(job.tenant_id)
            added = await submissions.add_job(core.pool, job, window=core.window, has_room=has_room)
    except submissions.KeyTaken:
        assert job.idempotency is not None
        return await _replay(core, job.tenant_id, job.idempotency)
    JOBS_ACCEPTED.of(job.kind.name).inc()
    core.capacity.record(job.tenant_id, added.room)
    core.throttle.record(job.tenant_id, at_cap=added.state == "queued" and bool(added.capped))
    core.relay.changes.note(job.tenant_id, "jobs", job.job_id)
    await _enqueue(core, job, added)
    if added.live:
        await _clear_session(core, job, added.live)
    return Submitted(job.job_id, session_id, _queued_frame(job, added))


def _queued_frame(job: Submission, added: Added) -> bytes:
    session_id = str(job.session_id) if job.session_id else None
    queued = JobQueued(kind=job.kind.name, session_id=session_id, model=job.model, agent=job.agent)
    return queued_frame(job.job_id, added.created_at, queued)


async def _replay(core: JobCore, tenant_id: UUID, key: Idempotency) -> Submitted:
    """Return the job that was submitted with this key before."""
    async with tenant_tx(core.pool, tenant_id) as db:
        job_id = await submissions.find_keyed_job(db, tenant_id, key)
        job = job_id and await find_job_status(db, tenant_id, job_id)
    assert job, "a key is deleted with its job, and a job is not deleted while it is read"
    queued = queued_frame(job.id, job.created_at, queued_event(job))
    return Submitted(job.id, job.session_id, queued, replayed=True)


async def _enqueue(core: JobCore, job: Submission, added: Added) -> None:
    if added.state == "dispatched":
        doorbell = Doorbell(job.tenant_id, job.job_id, job.kind.name, added.dispatch_seq, job.inbox)
        if not await ring(core.bells, [doorbell]):
            log.warning("enqueue_failed", job_id=str(job.job_id))
            await _undispatch(core, job, added.dispatch_seq)
    elif not added.parked and not added.capped:  # at the cap, the end of another job starts the next one
        await wake_dispatchers(core.redis, job.kind.queue)


async def _undispatch(core: JobCore, job: Submission, dispatch_seq: int) -> None:
    """Return the job to the dispatcher, which waits for Redis. If this fails as well, the sweeper does it."""
    try:
        async with tenant_tx(core.pool, job.tenant_id) as db:
            await submissions.undispatch_job(db, job.tenant_id, job.job_id, dispatch_seq)
    except HeadraceError:
        log.warning("undispatch_failed", job_id=str(job.job_id))


async def _clear_session(core: JobCore, submission: Submission, live: list[UUID]) -> None:
    mode: CancelMode = "forget" if submission.on_busy == "rollback" else "keep"
    ends = (cancel(core, submission.tenant_id, job_id, mode=mode) for job_id in live)
    for outcome in await asyncio.gather(*ends, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, NotFound):
            log.warning("session_not_cleared", job_id=str(submission.job_id), error=type(outcome).__name__)
