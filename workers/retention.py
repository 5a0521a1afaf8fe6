"""Keeping things for as long as they are to be kept, and no longer (X10); done by whichever scheduler sweeps.

Every minute: content past its tenant's retention, expired sign-ins and keys, tenants that were deleted. Every hour: usage rows
of past days are joined. Every few seconds: reservations whose job has ended, or never came to be, are given back.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from schema.db import Pool, system_tx, tenant_tx
from schema.queries.jobs.jobs import list_ended
from schema.queries.tenants import retention as queries
from workers.limits.limits import WINDOW_S, Limits
from workers.queue.control import CancelCommand
from workers.queue.finish import finish_stream
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()

OPEN_S = float(WINDOW_S)  # a reservation that is older is looked at
LOOK = 500  # how many of them at once,
MOST = 64_000  # and at most, where jobs that wait stand before them
ROUNDS = 20  # batches of one tenant in one go


class Retention:
    """What goes when its time is over; `pool` sees one tenant at a time, `system` the whole queue."""

    def __init__(self, pool: Pool, system: Pool, redis: RedisClient, limits: Limits) -> None:
        self._pool, self._system, self._wire, self._limits = pool, system, redis, limits
        self._look = LOOK

    async def give_back_reservations(self) -> None:
        """Settle reservations of jobs that have ended while Redis or their process was away, or that never were."""
        try:
            old = await self._limits.list_old_reservations(OPEN_S, self._look)
        except RedisUnavailable:
            return
        by_tenant = defaultdict[UUID, list[UUID]](list)
        for tenant_id, job_id in old:
            by_tenant[tenant_id].append(job_id)
        found = sum([await self._give_back(tenant_id, job_ids) for tenant_id, job_ids in by_tenant.items()])
        # Jobs that wait long keep theirs, and stand before those that ended: then look further the next time.
        self._look = min(2 * self._look, MOST) if len(old) == self._look and not found else LOOK

    async def _give_back(self, tenant_id: UUID, job_ids: list[UUID]) -> int:
        async with tenant_tx(self._pool, tenant_id) as db:
            ended = await list_ended(db, tenant_id, job_ids)
        for job_id in ended:
            # Its tokens have left the minute by now, and what it cost is fetched from Postgres with the next seeding.
            await finish_stream(self._limits, tenant_id, job_id, tokens=0, nanos=0)
        if ended:
            log.info("reservations_given_back", tenant_id=str(tenant_id), jobs=len(ended))
        return len(ended)

    async def sweep(self) -> None:
        """Delete what is due."""
        async with system_tx(self._system) as db:
            tenants = await queries.list_tenants_to_sweep(db)
        for tenant in tenants:
            if tenant.state == "deleting":
                await self._delete(tenant.id)
            elif tenant.retention_days is not None:
                await self._forget(tenant.id, timedelta(days=tenant.retention_days))
        for _ in range(ROUNDS):
            async with system_tx(self._system) as db:
                if await queries.delete_expired(db) < queries.BATCH:
                    break

    async def join_usage(self) -> None:
        """Join the usage rows of days that are over."""
        for _ in range(10 * ROUNDS):
            async with system_tx(self._system) as db:
                if await queries.join_usage(db) < queries.DAYS:
                    break

    async def _forget(self, tenant_id: UUID, age: timedelta) -> None:
        before, gone = datetime.now(UTC) - age, 0
        for _ in range(ROUNDS):
            async with tenant_tx(self._pool, tenant_id) as db:
                deleted = await queries.delete_old_content(db, tenant_id, before)
            gone += deleted
            if deleted < queries.BATCH:
                break
        if gone:
            log.info("content_expired", tenant_id=str(tenant_id), rows=gone)

    async def _delete(self, tenant_id: UUID) -> None:
        """Delete a tenant as far as one sweep gets; the next goes on. What runs is told to stop and left to the next one: it
        still says its last words, and would bring back to Redis what is removed here."""
        if await self._stop_running(tenant_id):
            return
        for _ in range(ROUNDS):
            async with tenant_tx(self._pool, tenant_id) as db:
                deleted = await queries.delete_all_content(db, tenant_id)
            async with system_tx(self._system) as db:
                deleted += await queries.delete_records(db, tenant_id)
            if not deleted:
                break
        else:
            return
        if await self._stop_running(tenant_id):
            return
        await forget_in_redis(self._wire, tenant_id)
        async with system_tx(self._system) as db:
            await queries.delete_records(db, tenant_id)  # what the end of a job may have added
            await queries.delete_tenant(db, tenant_id)
        log.warning("tenant_deleted", tenant_id=str(tenant_id))

    async def _stop_running(self, tenant_id: UUID) -> bool:
        """Order all that runs in a tenant to stop; False if nothing does. Should an order get lost, the attempt's heartbeat
        brings it; should the attempt be lost, the sweeper ends the job."""
        async with tenant_tx(self._pool, tenant_id) as db:
            running = await queries.stop_running(db, tenant_id)
        try:
            for job in running:
                order = CancelCommand(job.id, job.attempt, "forget")
                await self._wire.call("PUBLISH", redis_names.CONTROL, msgspec.json.encode(order))
        except (RedisUnavailable, ReplyError) as error:
            log.warning("cancel_unheard", tenant_id=str(tenant_id), error=type(error).__name__)
        return bool(running)


async def forget_in_redis(redis: RedisClient, tenant_id: UUID) -> None:
    """Remove whatever Redis holds of a tenant. If Redis is away it stays until it expires, a day at most."""
    cursor = b"0"
    try:
        while True:
            cursor, names = await redis.call("SCAN", cursor, "MATCH", redis_names.all_of(tenant_id), "COUNT", 500)
            if names:
                await redis.call("UNLINK", *names)
            if cursor == b"0":
                return
    except (RedisUnavailable, ReplyError) as error:
        log.warning("redis_not_cleared", tenant_id=str(tenant_id), error=type(error).__name__)
