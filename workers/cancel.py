"""Cancelling a job, and driving one again, from any process (J4, J5)."""

from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from schema.db import tenant_tx
from schema.errors import NotFound
from schema.events import JobCancelled
from schema.queries.jobs import find_job_status, redrive_job, request_cancel
from schema.states import TERMINAL, WAITING, CancelMode, State
from workers.dispatch import wake
from workers.endings import end_job
from workers.orders import CancelOrder
from workers.ports import Ports
from workers.redis_connection import ReplyError
from workers.wire import WireDown

log = structlog.get_logger()


async def cancel(
    ports: Ports, tenant_id: UUID, job_id: UUID, *, mode: CancelMode = "keep", visible_user_id: UUID | None = None
) -> State:
    """Cancel a job and return its state: a waiting job is `cancelled` now, a running one still `running` and about to
    be, an ended one stays what it is. `visible_user_id` confines it to that user's jobs. Raises NotFound.

    The order to a running attempt goes over Redis; should it get lost, the attempt's next heartbeat brings it.
    """
    while True:
        async with tenant_tx(ports.pool, tenant_id, user_id=visible_user_id) as db:
            job = await find_job_status(db, tenant_id, job_id)
            if job is None:
                raise NotFound("No such job.")
            running = await request_cancel(db, tenant_id, job_id, mode) if job.state == "running" else None
        if job.state in TERMINAL:
            return job.state
        if running is not None:
            await _order(ports, CancelOrder(job_id, running, mode))
            return "running"
        ended = await end_job(
            ports.pool,
            ports.relay,
            ports.limits,
            tenant_id,
            job_id,
            attempt=job.attempt,
            event=JobCancelled(kept=mode),
            from_states=WAITING,
        )
        if ended is not None:
            if ended.more or ended.next_turn:
                await wake(ports.wire, job.queue)
            return "cancelled"
        # It moved between the two looks; look again. Every round has seen a move, and there are few to make.


async def _order(ports: Ports, order: CancelOrder) -> None:
    try:
        await ports.wire.call("PUBLISH", redis_names.CONTROL, msgspec.json.encode(order))
    except (WireDown, ReplyError):
        log.warning("cancel_unheard", job_id=str(order.job_id))


async def redrive(ports: Ports, tenant_id: UUID, job_id: UUID, *, visible_user_id: UUID | None = None) -> bool:
    """Queue a failed or cancelled job again, with all its tries and a new stream; False if it is in another state.

    `visible_user_id` confines it to that user's jobs. Raises NotFound.
    """
    async with tenant_tx(ports.pool, tenant_id, user_id=visible_user_id) as db:
        job = await find_job_status(db, tenant_id, job_id)
    if job is None:
        raise NotFound("No such job.")
    if job.state not in ("failed", "cancelled"):
        return False
    try:
        await ports.relay.forget(tenant_id, job_id, attempt=job.attempt)
    except WireDown:
        log.warning("stream_not_forgotten", job_id=str(job_id))
    async with tenant_tx(ports.pool, tenant_id) as db:
        driven = await redrive_job(db, tenant_id, job_id)
    if driven:
        await wake(ports.wire, job.queue)
    return driven
