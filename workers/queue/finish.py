"""Ends jobs without a running attempt: cancelled while waiting, past their deadline, out of tries.

An attempt that was lost may still believe that it runs, so the order matters. First the fence in Redis revokes its
right to write, and the log no longer changes. Then the row is updated by compare-and-set, together with the log. Then
the last event is published. If the row was not updated, nothing is published.
"""

from typing import Any
from uuid import UUID

import msgspec

from schema.events import JobCancelled, JobFailed
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.jobs.attempts import Ended, Ending, finish_job
from schema.queries.jobs.jobs import compress_frames, find_job_status
from schema.states import State
from workers.limits.limits import Limits
from workers.limits.reservation import settle_reservation
from workers.stream.relay import JobStream, Relay, new_history, queued_event

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
        job = await find_job_status(db, tenant_id, job_id)
    if job is None or job.attempt != attempt or job.state not in from_states:
        return None
    history = await relay.take_over(tenant_id, job_id, attempt + 1)
    if history is None:
        return None
    if not history.frames:
        origin = attempt + 1 if attempt else 1
        history = new_history(job_id, job.created_at, queued_event(job), origin=origin)
    stream = JobStream(relay, tenant_id, job_id, attempt=attempt + 1, inbox=job.inbox, history=history)
    frames = stream.preview([event])
    ended = await finish_job(
        pool,
        tenant_id,
        job_id,
        attempt,
        _ending(event, frames),
        session_id=job.session_id,
        from_states=from_states,
    )
    if ended is not None:
        stream.end(frames)
        await stream.flush(FLUSH_S)
        await settle_reservation(limits, tenant_id, job_id, tokens=0, nanos=0)
    return ended


def _ending(event: JobFailed | JobCancelled, frames: list[bytes]) -> Ending:
    stored: dict[str, Any] = {"last_seq": len(frames), "frames": compress_frames(frames)}
    if isinstance(event, JobFailed):
        return Ending(state="failed", error=msgspec.to_builtins(event.error), **stored)
    return Ending(state="cancelled", forget=event.kept == "forget", **stored)
