"""Ending a job from outside an attempt: a cancel before it ran, a deadline that passed, tries that are spent.

The order makes it safe against an attempt that still believes it runs: first its right to write is taken (the fence in
Redis), so that the log stands still; then the row moves, by compare-and-set, together with the log; then the last event
goes out. If the row does not move, nothing was published.
"""

from uuid import UUID

import msgspec
import structlog

from schema.db import Pool, tenant_tx
from schema.events import JobCancelled, JobFailed
from schema.queries.jobs.attempts import Ended, Ending, finish_job
from schema.queries.jobs.jobs import compact, find_job_status
from schema.states import State
from workers.limits.limits import Limits
from workers.redis.client import RedisUnavailable
from workers.stream.relay import JobStream, Relay, new_history, queued_event

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
    """End a job with `event` if it is still in one of `from_states` and its last claim was `attempt`; else None."""
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
        await finish_stream(limits, tenant_id, job_id, tokens=0, nanos=0)
    return ended


async def finish_stream(
    limits: Limits, tenant_id: UUID, job_id: UUID, *, tokens: int, nanos: int, refund_request: bool = False
) -> None:
    """Give back what a job had reserved and did not use. If Redis is away, the sweeper does it later."""
    try:
        await limits.settle(tenant_id, job_id, tokens=tokens, nanos=nanos, refund_request=refund_request)
    except RedisUnavailable:
        log.warning("settling_postponed", job_id=str(job_id))


def _ending(event: JobFailed | JobCancelled, frames: list[bytes]) -> Ending:
    log = {"last_seq": len(frames), "frames": compact(frames)}
    if isinstance(event, JobFailed):
        return Ending(state="failed", error=msgspec.to_builtins(event.error), **log)
    return Ending(state="cancelled", forget=event.kept == "forget", **log)
