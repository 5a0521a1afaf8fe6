"""Ends jobs without a running attempt: cancelled while waiting, past their deadline, out of tries.

An attempt that was lost may still believe that it runs, and a doorbell may still be answered, so the order matters. First
the job's next number is taken, as by a dispatch: doorbells that were rung before are void. Then the fence in Redis revokes
everyone else's right to write, and the log no longer changes. Then the row is updated by compare-and-set, together with the
log. Then the last event is published. If the row was not updated, nothing is published.
"""

from typing import Any
from uuid import UUID

import msgspec
import structlog

from schema.events import JobCancelled, JobFailed
from schema.metrics.catalog import JOBS_FINISHED
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.attempts import Ended, Ending, finish_job, reserve_ending
from schema.queries.jobs.jobs import compress_frames
from schema.states import State
from workers.limits.limits import Limits
from workers.limits.reservation import settle_reservation
from workers.stream.relay import JobStream, Relay, new_history, new_holder, queued_event

log = structlog.get_logger()

FLUSH_S = 1.0


async def end_job(
    pool: Pool,
    relay: Relay,
    limits: Limits,
    tenant_id: UUID,
    job_id: UUID,
    *,
    attempt: int,
    event: JobFailed | JobCancelled,
    from_states: tuple[State, ...],
) -> Ended | None:
    """End a job with `event` if its state is one of `from_states` and `attempt` is its last attempt; else return
    None."""
    async with tenant_tx(pool, tenant_id) as db:
        job = await reserve_ending(db, tenant_id, job_id, attempt, from_states)
    if job is None:
        return None
    number, holder = job.dispatch_seq, new_holder()
    history = await relay.take_over(tenant_id, job_id, number, holder=holder, created_at=job.created_at)
    if history is None:
        return None
    if not history.frames:
        history = new_history(job_id, job.created_at, queued_event(job), origin=history.origin)
    stream = JobStream(relay, tenant_id, job_id, attempt=number, holder=holder, inbox=job.inbox, history=history)
    frames = stream.preview([event])
    ending = _ending(event, frames)
    ended = await finish_job(
        pool,
        tenant_id,
        job_id,
        attempt,
        ending,
        session_id=job.session_id,
        dispatch_seq=number,
        from_states=from_states,
    )
    if ended is not None:
        JOBS_FINISHED.of(job.kind, ending.state).inc()
        ids = {"tenant_id": str(tenant_id), "job_id": str(job_id), "attempt": attempt}
        log.info(
            "job_ended", **ids, kind=job.kind, state=ending.state, agent=job.agent, model=job.model, events=len(frames)
        )
        stream.end(frames)
        await stream.flush(FLUSH_S)
        await settle_reservation(limits, tenant_id, job_id, tokens=ended.booked_tokens, nanos=ended.cost_nanos)
    return ended


def _ending(event: JobFailed | JobCancelled, frames: list[bytes]) -> Ending:
    stored: dict[str, Any] = {"last_seq": len(frames), "frames": compress_frames(frames)}
    if isinstance(event, JobFailed):
        return Ending(state="failed", error=msgspec.to_builtins(event.error), **stored)
    return Ending(state="cancelled", forget=event.kept == "forget", **stored)
