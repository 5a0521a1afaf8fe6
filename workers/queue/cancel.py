"""Cancels and retries jobs. Any process may do so."""

from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from schema.errors import NotFound
from schema.events import JobCancelled
from schema.postgres.connections import tenant_tx
from schema.queries.jobs.jobs import find_job_status, request_cancel, requeue_ended_job
from schema.states import TERMINAL, WAITING, CancelMode, State
from workers.queue.control import CancelCommand
from workers.queue.dispatch import wake_deliverers, wake_dispatchers
from workers.queue.finish.waiting_job import end_job
from workers.queue.job_core import JobCore
from workers.redis.client import RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()


async def cancel(
    core: JobCore, tenant_id: UUID, job_id: UUID, *, mode: CancelMode = "keep", visible_user_id: UUID | None = None
) -> State:
    """Cancel a job and return its state: `cancelled` for a job that was waiting, `running` for one that is being
    stopped, and the state of a job that had ended. With `visible_user_id`, only that user's jobs are found. Raises
    NotFound.

    The command to a running attempt goes over Redis. If it is lost, the attempt's next heartbeat stops it.
    """
    while True:
        async with tenant_tx(core.pool, tenant_id, user_id=visible_user_id) as db:
            job = await find_job_status(db, tenant_id, job_id)
            if job is None:
                raise NotFound("No such job.")
            running = await request_cancel(db, tenant_id, job_id, mode) if job.state == "running" else None
        if job.state in TERMINAL:
            return job.state
        if running is not None:
            core.relay.changes.note(tenant_id, "jobs", job_id)
            await _send_command(core, CancelCommand(job_id, running, mode))
            return "running"
        ended = await end_job(
            core.pool,
            core.relay,
            core.limits,
            tenant_id,
            job_id,
            attempt=job.attempt,
            event=JobCancelled(kept=mode),
            from_states=WAITING,
        )
        if ended is not None:
            if ended.more or ended.next_turn:
                await wake_dispatchers(core.redis, job.queue)
            if ended.deliveries:
                await wake_deliverers(core.redis)
            return "cancelled"
        # The state changed in between, so read it again. A job has few states to go through, so this ends.


async def _send_command(core: JobCore, command: CancelCommand) -> None:
    try:
        await core.redis.call("PUBLISH", redis_names.CONTROL, msgspec.json.encode(command))
    except (RedisUnavailable, ReplyError):
        log.warning("cancel_not_sent", job_id=str(command.job_id))


async def retry(core: JobCore, tenant_id: UUID, job_id: UUID, *, visible_user_id: UUID | None = None) -> bool:
    """Queue a failed or cancelled job again, with all its tries and a new stream; return False if it is in another
    state.

    With `visible_user_id`, only that user's jobs are found. Raises NotFound.
    """
    async with tenant_tx(core.pool, tenant_id, user_id=visible_user_id) as db:
        job = await find_job_status(db, tenant_id, job_id)
    if job is None:
        raise NotFound("No such job.")
    if job.state not in ("failed", "cancelled"):
        return False
    try:
        await core.relay.delete_stream(tenant_id, job_id, dispatch_seq=job.dispatch_seq)
    except RedisUnavailable:
        log.warning("stream_not_deleted", job_id=str(job_id))
    async with tenant_tx(core.pool, tenant_id) as db:
        requeued = await requeue_ended_job(db, tenant_id, job_id)
    if requeued:
        core.relay.changes.note(tenant_id, "jobs", job_id)
        await wake_dispatchers(core.redis, job.queue)
    return requeued
