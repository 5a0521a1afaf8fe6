"""Retention: deletes what has expired. The scheduler runs it.

Every minute: content past its tenant's retention period, expired sign-ins and keys, deleted tenants; and what has ended is
counted, and its usage merged. Every few seconds: reservations whose job has ended, or was never committed, are settled.
"""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from schema.errors import Unavailable
from schema.postgres.connections import Pool, system_tx, tenant_tx
from schema.queries.jobs.jobs import list_ended
from schema.queries.tenants import performance, tallies
from schema.queries.tenants import retention as queries
from workers.archive import Archive
from workers.limits.limits import Limits
from workers.limits.reservation import settle_reservation
from workers.queue.control import CancelCommand
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.redis.emptying import forget
from workers.storage.contract import Storage
from workers.webhooks.schedule import DELIVERY_DAYS

log = structlog.get_logger()

RESERVATION_AGE_S = 60.0
"""Reservations that are older are checked."""
CHECKED, MAX_CHECKED = 500, 64_000
"""How many of them at a time; more if those of waiting jobs come first."""
ROUNDS = 20  # batches of one tenant in one sweep


class Retention:
    """Deletes expired data. `pool` sees one tenant at a time, `system_pool` all tenants."""

    def __init__(
        self,
        pool: Pool,
        system_pool: Pool,
        redis: RedisClient,
        limits: Limits,
        storage: Storage,
        *,
        delivery_days: int = DELIVERY_DAYS,
    ) -> None:
        self._delivery_days, self._archive = delivery_days, Archive(pool, storage)
        self._pool, self._system_pool, self._redis, self._limits = pool, system_pool, redis, limits
        self._checked = CHECKED

    async def settle_reservations(self) -> None:
        """Settle reservations of jobs that ended while Redis or their process was away, or were never committed."""
        try:
            old = await self._limits.list_old_reservations(RESERVATION_AGE_S, self._checked)
        except RedisUnavailable:
            return
        by_tenant = defaultdict[UUID, list[UUID]](list)
        for tenant_id, job_id in old:
            by_tenant[tenant_id].append(job_id)
        settled = sum([await self._settle(tenant_id, job_ids) for tenant_id, job_ids in by_tenant.items()])
        # Jobs that wait for long keep their reservations, which come before those of ended jobs: check more next time.
        is_full = len(old) == self._checked and not settled
        self._checked = min(2 * self._checked, MAX_CHECKED) if is_full else CHECKED

    async def _settle(self, tenant_id: UUID, job_ids: list[UUID]) -> int:
        async with tenant_tx(self._pool, tenant_id) as db:
            ended = await list_ended(db, tenant_id, job_ids)
        for job_id in ended:
            # Its tokens are out of the window by now, and its cost is read from Postgres with the next seed.
            await settle_reservation(self._limits, tenant_id, job_id, tokens=0, nanos=0)
        if ended:
            log.info("reservations_settled", tenant_id=str(tenant_id), jobs=len(ended))
        return len(ended)

    async def sweep(self) -> None:
        """Delete what has expired."""
        async with system_tx(self._system_pool) as db:
            tenants = await queries.list_tenants_to_sweep(db)
        for tenant in tenants:
            if tenant.state == "deleting":
                await self._delete(tenant.id)
            elif tenant.retention_days is not None:
                await self._expire(tenant, timedelta(days=tenant.retention_days))
        for _ in range(ROUNDS):
            async with system_tx(self._system_pool) as db:
                if await queries.delete_expired(db, delivery_days=self._delivery_days) < queries.BATCH:
                    break

    async def merge_usage(self) -> None:
        """Merge usage rows, one for each day, user, agent and model."""
        for _ in range(10 * ROUNDS):
            async with system_tx(self._system_pool) as db:
                if not await queries.merge_usage(db):
                    break

    async def count_ended(self) -> None:
        """Count what has ended since the last time, so that nobody who asks for a tenant's figures has to."""
        async with system_tx(self._system_pool) as db:
            tenants = await tallies.list_tenants_to_tally(db)
        for tenant_id in tenants:
            for _ in range(ROUNDS):
                async with tenant_tx(self._pool, tenant_id) as db:
                    if not await tallies.tally(db, tenant_id):
                        break

    async def count_samples(self) -> None:
        """Count how long jobs took that have ended since the last time, and forget counts that are too old to be asked for."""
        for _ in range(ROUNDS):
            async with system_tx(self._system_pool) as db:
                if await performance.count_samples(db) < performance.SAMPLES:
                    break
        async with system_tx(self._system_pool) as db:
            await performance.forget_old_counts(db)

    async def _expire(self, tenant: queries.SweptTenant, age: timedelta) -> None:
        tenant_id, before, rows = tenant.id, datetime.now(UTC) - age, 0
        if tenant.archive_days is not None:
            try:
                await self._archive.move(tenant_id, before, days=tenant.archive_days)
            except Unavailable as error:  # the storage may be, and the rest is due all the same
                log.warning("archive_postponed", tenant_id=str(tenant_id), code=error.code)
        for _ in range(ROUNDS):
            async with tenant_tx(self._pool, tenant_id) as db:
                deleted = await queries.delete_old_content(db, tenant_id, before, sessions=tenant.archive_days is None)
            rows += deleted
            if deleted < queries.BATCH:
                break
        if rows:
            log.info("content_expired", tenant_id=str(tenant_id), rows=rows)

    async def _delete(self, tenant_id: UUID) -> None:
        """Delete a tenant, or as much of it as one sweep can; the next sweep continues. Running jobs are told to stop,
        and deletion waits for the next sweep: their last events would write to Redis what is deleted here."""
        if await self._stop_running(tenant_id):
            return
        for _ in range(ROUNDS):
            async with tenant_tx(self._pool, tenant_id) as db:
                deleted = await queries.delete_all_content(db, tenant_id)
            async with system_tx(self._system_pool) as db:
                deleted += await queries.delete_records(db, tenant_id)
            if not deleted:
                break
        else:
            return
        if await self._stop_running(tenant_id):
            return
        await clear_redis(self._redis, tenant_id)
        async with system_tx(self._system_pool) as db:
            await queries.delete_records(db, tenant_id)  # the end of a job may have added some
            await queries.delete_tenant(db, tenant_id)
        log.warning("tenant_deleted", tenant_id=str(tenant_id))

    async def _stop_running(self, tenant_id: UUID) -> bool:
        """Tell all running jobs of a tenant to stop; return False if there are none. If a command is lost, the
        attempt's heartbeat stops it; if the attempt is lost, the sweeper ends the job."""
        async with tenant_tx(self._pool, tenant_id) as db:
            running = await queries.stop_running(db, tenant_id)
        try:
            for job in running:
                command = CancelCommand(job.id, job.attempt, "forget")
                await self._redis.call("PUBLISH", redis_names.CONTROL, msgspec.json.encode(command))
        except (RedisUnavailable, ReplyError) as error:
            log.warning("cancel_not_sent", tenant_id=str(tenant_id), error=type(error).__name__)
        return bool(running)


async def clear_redis(redis: RedisClient, tenant_id: UUID) -> None:
    """Delete all keys of a tenant from Redis. If Redis is unavailable they stay until they expire, a day at most."""
    try:
        await forget(redis, redis_names.tenant_pattern(tenant_id))
    except (RedisUnavailable, ReplyError) as error:
        log.warning("redis_not_cleared", tenant_id=str(tenant_id), error=type(error).__name__)
