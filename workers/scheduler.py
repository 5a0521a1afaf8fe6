"""The scheduler: dispatches waiting jobs and recovers from failures. Any number may run; only one sweeps at a time.

It is a plain asyncio process rather than a Celery task, so that it works while Redis is unavailable: leases, deadlines
and unanswered doorbells are in Postgres.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

import structlog

from graphs.providers.registry import Providers
from schema import redis_names
from schema.errors import DeadlinePassed, HeadraceError, Unavailable, WorkerLost
from schema.events import JobCancelled, JobFailed
from schema.job_kinds import QUEUES
from schema.metrics.catalog import REDISPATCHED
from schema.model_catalog.catalog import Catalogs
from schema.postgres.connections import Db, Pool, fetch_one, pool_for, system_tx
from schema.queries.jobs import sweeper as queries
from schema.queries.jobs.dispatch import requeue_unanswered
from schema.queries.jobs.sweeper import OverdueJob, RequeuedJob
from schema.states import WAITING
from workers.amqp.publisher import AmqpPublisher
from workers.batches.context import BatchContext
from workers.batches.sweep import end_unfinished
from workers.certificates.renewal import Renewals
from workers.health.backlog import BacklogFigures
from workers.health.certificates import served_certificates
from workers.health.healing_audit import HealingAudit, Reconnections
from workers.health.loop_lag import LoopLag
from workers.health.parts import WatchDependencies, all_parts
from workers.health.providers import ProviderWatch
from workers.health.reports import Reporter
from workers.health.watch import ServiceWatch
from workers.queue.capacity import CapacityCache
from workers.queue.dispatch import Dispatcher, wake_deliverers
from workers.queue.errors import public_reason
from workers.queue.finish.waiting_job import end_job
from workers.queue.job_core import JobCore, limits_over, open_bells, process_name
from workers.queue.leases import has_died, owner_name
from workers.queue.submit_throttle import SubmitThrottle
from workers.queue.suspects import LOST, assess_losses
from workers.queue.sweep_pauses import SweepPauses
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient
from workers.redis.connection import ReplyError
from workers.retention import Retention
from workers.schedules.due import DueSchedules
from workers.schedules.submitting import ScheduledJobs
from workers.settings import WorkerSettings
from workers.storage.factory import open_storage
from workers.storage.removals import delete_due_files
from workers.stream.hub import Hub
from workers.stream.memory_bound import MemoryBound
from workers.stream.pubsub import Subscriber
from workers.stream.relay import Relay

log = structlog.get_logger()

POLL_S = 0.5
SWEEP_S = 1.0
RESERVATIONS_S = 5.0
RETENTION_S = 60.0
SCHEDULES_S = 1.0
WATCH_S = 3.0
FILES_S = 60.0
BOUND_S = 1.0
USAGE_S = 60.0
TALLY_S = 30.0
SAMPLES_S = 5.0
BATCHES_S = 2.0
FIGURES_S = 5.0
CERTIFICATES_S = 5.0
SWEEPER_LOCK = 0x48525357  # an advisory lock in Postgres
TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%(lock)s) AS locked"

UNAVAILABLE = (HeadraceError, ReplyError, OSError)  # a store is; RedisUnavailable is an OSError

OUT_OF_TRIES = WorkerLost("The job lost its worker in each of its tries and will not be retried.")
OVERDUE = DeadlinePassed("The job did not start before its deadline because no worker was free.")


class Scheduler:
    """Dispatches and sweeps until its task is cancelled. Use as `async with`."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self._outage_at: float | None = None
        self._pauses = SweepPauses(longest_s=max(2 * SWEEP_S, settings.lease_s / 2))

    async def __aenter__(self) -> "Scheduler":
        settings, address = self.settings, RedisAddress.from_url(self.settings.redis_url)
        self._system_pool: Pool = pool_for(
            settings.role_database_url("headrace_system"), "headrace_system", max_size=4, name="headrace scheduler"
        )
        self._pool: Pool = pool_for(
            settings.role_database_url("headrace_app"), "headrace_app", max_size=4, name="headrace scheduler tenants"
        )
        for pool in (self._system_pool, self._pool):
            await pool.open()
            self._stack.push_async_callback(pool.close)
        redis = self._redis = RedisClient(address)
        self._memory_bound = MemoryBound(redis)
        self._stack.push_async_callback(redis.close)
        self._relay = Relay(redis)
        hub = self.hub = Hub(address, redis, self._pool, process=process_name())
        await hub.start()
        self._stack.push_async_callback(hub.close)
        self._limits = limits_over(redis, self._pool)
        self._storage = await self._stack.enter_async_context(open_storage(self.settings.storage))
        self.retention = Retention(
            self._pool,
            self._system_pool,
            redis,
            self._limits,
            self._storage,
            delivery_days=self.settings.webhook_days,
        )
        self.renewals = Renewals(self._pool, settings.vault, settings.acme)
        self._batches = BatchContext(self._pool, redis, self._storage)
        bells = self._bells = open_bells(settings.broker_url, redis, self._stack)
        self._dispatcher = Dispatcher(self._system_pool, redis, window=self.settings.window, bells=bells)
        core = JobCore(
            *(self._pool, redis, hub, self._relay, settings.window),
            *(CapacityCache(), SubmitThrottle(), self._limits, Catalogs(self._pool), bells),
        )
        self.backlog = BacklogFigures(self._system_pool)
        self.service_watch = await self._open_watch(redis, hub)
        self.schedules = DueSchedules(ScheduledJobs(core, settings.vault), self._system_pool)
        subscriber = Subscriber(address, lambda _, queue: self._dispatcher.kick(queue.decode()))
        subscriber.start()
        self._stack.push_async_callback(subscriber.close)
        await subscriber.subscribe(redis_names.WAKE)
        return self

    async def _open_watch(self, redis: RedisClient, hub: Hub) -> ServiceWatch:
        settings = self.settings
        self._audit, lag = HealingAudit(self._system_pool), LoopLag("scheduler")
        self._stack.callback(asyncio.create_task(lag.measure(), name="loop lag").cancel)
        await self._stack.enter_async_context(Reporter(redis, "scheduler", owner_name("scheduler"), lag))
        vendors = await self._stack.enter_async_context(Providers(settings.providers))
        providers = ProviderWatch(redis, vendors, self._audit)
        reconnections = Reconnections(self._audit)
        watched = WatchDependencies(
            *(self._pool, self._system_pool, redis, hub, self._storage, settings.storage.folder, self.backlog),
            *(providers, self._audit, reconnections, settings.health),
            served_certificates(settings.health.public_url, settings.redis_url, settings.database_url),
            settings.unanswered_s,
            self._bells if isinstance(self._bells, AmqpPublisher) else None,
        )
        self.parts = all_parts(watched)
        return ServiceWatch(
            self._system_pool,
            self.parts,
            watcher=process_name(),
            wake=partial(wake_deliverers, redis),
            acts=(providers.take_out_failing, reconnections.write_back, self._audit.write_due),
            days=settings.health.days,
        )

    async def __aexit__(self, *exc: object) -> None:
        with suppress(Unavailable):
            await self.service_watch.release()
        await self._stack.aclose()

    async def run(self) -> None:
        """Run all periodic work, each at its own interval."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(POLL_S, self.dispatch), name="dispatch poll")
            tasks.create_task(self._every(SWEEP_S, self.sweep), name="sweep")
            tasks.create_task(self._every(SCHEDULES_S, self.schedules.run_due_schedules), name="schedules")
            tasks.create_task(self._every(WATCH_S, self.service_watch.check_all, paced=True), name="service watch")
            tasks.create_task(self._every(FIGURES_S, self.backlog.measure), name="backlog")
            tasks.create_task(self._every(RESERVATIONS_S, self.retention.settle_reservations), name="reservations")
            tasks.create_task(self._every(BOUND_S, self.keep_redis_below_bound), name="redis")
            tasks.create_task(self._every(RETENTION_S, self.retention.sweep), name="retention")
            tasks.create_task(self._every(FILES_S, self.remove_files), name="files")
            tasks.create_task(self._every(BATCHES_S, self.end_batches), name="batches")
            tasks.create_task(self._every(CERTIFICATES_S, self.keep_certificates), name="certificates")
            tasks.create_task(self._every(USAGE_S, self.retention.merge_usage), name="usage")
            tasks.create_task(self._every(TALLY_S, self.retention.count_ended), name="tallies")
            tasks.create_task(self._every(SAMPLES_S, self.retention.count_samples), name="samples")

    async def _every(self, interval_s: float, run: Callable[[], Awaitable[None]], *, paced: bool = False) -> None:
        """Run again and again, an interval after each end; `paced`: an interval after each beginning."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await run()
            except UNAVAILABLE as error:
                code = error.code if isinstance(error, HeadraceError) else type(error).__name__
                log.warning("maintenance_postponed", what=run.__name__, code=code)
            except Exception:
                # The other work must go on: without a scheduler no lost job is found.
                log.exception("maintenance_failed", what=run.__name__)
            await asyncio.sleep(max(0.0, began + interval_s - loop.time()) if paced else interval_s)

    async def dispatch(self) -> None:
        """Dispatch every queue, and repeat as long as only the window limited it."""
        for queue in QUEUES:
            while await self._dispatcher.dispatch(queue) >= self.settings.window:
                await asyncio.sleep(0.02)

    async def keep_redis_below_bound(self) -> None:
        """Make room in Redis if it is nearly full."""
        await self._memory_bound.keep()

    async def remove_files(self) -> None:
        """Delete stored files that no document refers to any more."""
        await delete_due_files(self._system_pool, self._storage)

    async def keep_certificates(self) -> None:
        """Renew what is due, and tell of what ends."""
        if await self.renewals.keep():
            await wake_deliverers(self._redis)

    async def end_batches(self) -> None:
        """End batches whose job has ended without them."""
        await end_unfinished(self._batches, self._system_pool)

    async def sweep(self) -> None:
        """Sweep once, unless another scheduler is sweeping. Raises Unavailable."""
        try:
            await self._sweep()
        except Unavailable:
            self._outage_at = time.monotonic()
            raise

    async def _sweep(self) -> None:
        async with system_tx(self._system_pool) as db:
            lock = await fetch_one(db, TRY_LOCK, {"lock": SWEEPER_LOCK})
            await self._note_time(db)
            if lock is None or not lock["locked"]:
                return
            await self._requeue_unanswered()
            await self._sweep_lost()
            await self._sweep_overdue()
            async with system_tx(self._system_pool) as other_db:
                unparked = await queries.unpark_stranded(other_db)
            if unparked:
                log.warning("turns_unparked", jobs=unparked)

    async def _requeue_unanswered(self) -> None:
        async with system_tx(self._system_pool) as db:
            unanswered = await requeue_unanswered(db, after_s=self.settings.unanswered_s)
        if unanswered:
            REDISPATCHED.of("unanswered").inc(unanswered)
            log.warning("doorbells_unanswered", jobs=unanswered)
            await self._audit.record_coalesced("jobs.requeued", "unanswered", jobs=unanswered)

    async def _sweep_lost(self) -> None:
        async with system_tx(self._system_pool) as db:
            owners = await queries.list_lease_owners(db, lease_s=self.settings.lease_s)
            await self._note_time(db)
            is_outage = self._is_outage_recent()
            dead = [owner for owner, silent in owners.items() if has_died(owner) or (silent and not is_outage)]
            lost = await queries.list_lost(db, dead=dead, lease_s=self.settings.lease_s)
            if is_outage:
                lost = [job for job in lost if job.lease_owner in dead]
        returns = assess_losses(lost)
        retried = [back for back in returns if back.is_tried_again]
        if retried:
            await self._requeue_lost(retried, dead)
        for back in returns:
            if back.job.cancel_requested:
                await self._end(back.job, JobCancelled(kept=back.job.cancel_requested), running=True)
            elif not back.is_tried_again:
                await self._end(back.job, JobFailed(error=public_reason(OUT_OF_TRIES)), running=True)

    async def _note_time(self, db: Db) -> None:
        """Ask Postgres for its time. If it stood still since the last answer, that was an outage too, without an error."""
        if pause_s := self._pauses.note(await queries.read_clock(db)):
            self._outage_at = time.monotonic()
            log.warning("sweep_paused", pause_s=round(pause_s, 1))

    def _is_outage_recent(self) -> bool:
        """Whether Postgres was unavailable a moment ago: leases have expired that live workers could not renew. They beat again
        within a few seconds, on a busy machine within a lease."""
        at = self._outage_at
        return at is not None and time.monotonic() - at < self.settings.lease_s

    async def _requeue_lost(self, returns: list[RequeuedJob], dead: list[str]) -> None:
        async with system_tx(self._system_pool) as db:
            error = {"code": LOST.code, "message": LOST.message}
            requeued = await queries.requeue_lost(db, returns, dead=dead, error=error)
        REDISPATCHED.of("worker_lost").inc(requeued)
        owners = sorted({back.job.lease_owner for back in returns})
        spent = [str(back.job.id) for back in returns if not back.refund]
        log.warning("workers_lost", requeued=requeued, owners=owners, spent_a_try=spent)
        await self._audit.record_coalesced("jobs.requeued", "worker_lost", jobs=requeued)
        for back in returns:
            self._relay.changes.note(back.job.tenant_id, "jobs", back.job.id)
        for queue, delay_s in {(back.job.queue, back.delay_s) for back in returns}:
            self._dispatcher.kick_later(queue, delay_s)

    async def _sweep_overdue(self) -> None:
        async with system_tx(self._system_pool) as db:
            overdue = await queries.list_overdue(db)
        for job in overdue:
            await self._end(job, JobFailed(error=public_reason(OVERDUE)), running=False)

    async def _end(self, job: OverdueJob, event: JobFailed | JobCancelled, *, running: bool) -> None:
        ended = await end_job(
            self._pool,
            self._relay,
            self._limits,
            job.tenant_id,
            job.id,
            attempt=job.attempt,
            event=event,
            from_states=("running",) if running else WAITING,
        )
        if ended is not None:
            log.warning("job_ended_by_sweeper", job_id=str(job.id), ending=event.type)
