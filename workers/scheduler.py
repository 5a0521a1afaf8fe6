"""The scheduler: dispatches what waits and sweeps up what went wrong. Any number may run; one at a time sweeps.

It is a plain asyncio process and no Celery task, so that it goes on while Redis is away: leases, deadlines and doorbells
that nobody answered are facts in Postgres.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

from schema import redis_names
from schema.db import Pool, fetch_one, pool_for, system_tx
from schema.errors import DeadlinePassed, HeadraceError, WorkerLost
from schema.events import JobCancelled, JobFailed
from schema.job_kinds import QUEUES
from schema.queries.jobs import sweeper as queries
from schema.queries.jobs.dispatch import requeue_unanswered
from schema.queries.jobs.sweeper import OverdueJob
from schema.states import WAITING
from workers.queue.dispatch import Dispatcher
from workers.queue.errors import reason_of, retry_delay_s
from workers.queue.finish import end_job
from workers.queue.job_core import limits_over
from workers.queue.leases import is_gone
from workers.redis.client import RedisClient
from workers.redis.connection import RedisAddress
from workers.retention import Retention
from workers.settings import WorkerSettings
from workers.storage.factory import open_storage
from workers.storage.removals import delete_due_files
from workers.stream.pubsub import Subscriber
from workers.stream.relay import Relay

log = structlog.get_logger()

POLL_S = 0.5
SWEEP_S = 1.0
GIVE_BACK_S = 5.0
RETENTION_S = 60.0
FILES_S = 60.0
JOIN_S = 3600.0
SWEEPER = 0x48525357  # the advisory lock of whoever sweeps

LOST = WorkerLost("The worker that ran the job was lost.")
SPENT = WorkerLost("The job lost its worker in each of its tries and will not be retried.")
OVERDUE = DeadlinePassed("The job did not start before its deadline because no worker was free.")


class Scheduler:
    """Dispatches and sweeps until its task is cancelled. Use as `async with`."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Scheduler":
        url, address = self._settings.database_url, RedisAddress.from_url(self._settings.redis_url)
        self._system: Pool = pool_for(url, "headrace_system", max_size=4, name="headrace scheduler")
        self._pool: Pool = pool_for(url, "headrace_app", max_size=4, name="headrace scheduler endings")
        for pool in (self._system, self._pool):
            await pool.open()
            self._stack.push_async_callback(pool.close)
        redis = RedisClient(address)
        self._stack.push_async_callback(redis.close)
        self._relay = Relay(redis)
        self._limits = limits_over(redis, self._pool)
        self.retention = Retention(self._pool, self._system, redis, self._limits)
        self._storage = await self._stack.enter_async_context(open_storage(self._settings.storage))
        self._dispatcher = Dispatcher(self._system, redis, window=self._settings.window)
        ear = Subscriber(address, lambda _, queue: self._dispatcher.kick(queue.decode()))
        ear.start()
        self._stack.push_async_callback(ear.close)
        await ear.subscribe(redis_names.WAKE)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Dispatch and sweep, each at its own pace."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(POLL_S, self.dispatch), name="dispatch poll")
            tasks.create_task(self._every(SWEEP_S, self.sweep), name="sweep")
            tasks.create_task(self._every(GIVE_BACK_S, self.retention.give_back_reservations), name="reservations")
            tasks.create_task(self._every(RETENTION_S, self.retention.sweep), name="retention")
            tasks.create_task(self._every(FILES_S, self.remove_files), name="files")
            tasks.create_task(self._every(JOIN_S, self.retention.join_usage), name="usage")

    async def _every(self, pause_s: float, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await do()
            except HeadraceError as error:
                log.warning("upkeep_postponed", what=do.__name__, code=error.code)
            await asyncio.sleep(pause_s)

    async def dispatch(self) -> None:
        """Dispatch every queue once; again at once while the window was all that stopped it."""
        for queue in QUEUES:
            while await self._dispatcher.dispatch(queue) >= self._settings.window:
                await asyncio.sleep(0.02)

    async def remove_files(self) -> None:
        """Remove bytes of documents that nothing refers to any more."""
        await delete_due_files(self._system, self._storage)

    async def sweep(self) -> None:
        """Do once all that the sweeper does, unless another scheduler is at it."""
        async with system_tx(self._system) as db:
            got = await fetch_one(db, "SELECT pg_try_advisory_xact_lock(%(lock)s) AS mine", {"lock": SWEEPER})
            if got is None or not got["mine"]:
                return
            await self._requeue_unanswered()
            await self._sweep_lost()
            await self._sweep_overdue()
            async with system_tx(self._system) as own:
                unparked = await queries.unpark_stranded(own)
            if unparked:
                log.warning("turns_unparked", jobs=unparked)

    async def _requeue_unanswered(self) -> None:
        async with system_tx(self._system) as db:
            unanswered = await requeue_unanswered(db, after_s=self._settings.unanswered_s)
        if unanswered:
            log.warning("doorbells_unanswered", jobs=unanswered)

    async def _sweep_lost(self) -> None:
        async with system_tx(self._system) as db:
            dead = [owner for owner in await queries.list_lease_owners(db) if is_gone(owner)]
            lost = await queries.list_lost(db, dead=dead)
        again = [job for job in lost if job.tries < job.max_tries and not job.cancel_requested]
        if again:
            delays = [retry_delay_s(LOST, job.tries) for job in again]
            async with system_tx(self._system) as db:
                error = {"code": LOST.code, "message": LOST.message}
                requeued = await queries.requeue_lost(db, again, delays, dead=dead, error=error)
            log.warning("jobs_lost", requeued=requeued, owners=sorted({job.lease_owner for job in again}))
        for job in lost:
            if job.cancel_requested:
                await self._end(job, JobCancelled(kept=job.cancel_requested), running=True)
            elif job.tries >= job.max_tries:
                await self._end(job, JobFailed(error=reason_of(SPENT)), running=True)

    async def _sweep_overdue(self) -> None:
        async with system_tx(self._system) as db:
            overdue = await queries.list_overdue(db)
        for job in overdue:
            await self._end(job, JobFailed(error=reason_of(OVERDUE)), running=False)

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
            log.warning("job_ended_from_outside", job_id=str(job.id), ending=event.type)
