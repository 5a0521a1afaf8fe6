"""Dispatches jobs: chooses which waiting jobs are next, and rings their doorbells. Any number of dispatchers may run.

A dispatcher is kicked whenever a job may be able to start (a submit that found its tenant busy, the end of a job, a
retry that is due), and merges kicks while it works, as the relay merges tokens. The scheduler also polls, as a safety
net.
"""

import asyncio

import structlog

from schema import redis_names
from schema.errors import Unavailable
from schema.postgres.connections import Pool, system_tx
from schema.queries.jobs.dispatch import dispatch_jobs, undispatch_jobs
from workers.queue.doorbell import Bells, Doorbell, ring
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()

WINDOW = 256  # doorbells of a queue that no worker has answered yet; it bounds how far one tenant gets ahead of others

BATCHES = (100, 16, 4, 1)
"""How many suspects of a queue are in flight together, by how often they were lost (`workers/queue/suspects.py`)."""


class Dispatcher:
    """Dispatches the jobs of all tenants; `pool` has the role `headrace_system`. `bells` is where doorbells are rung, if not in
    Redis."""

    def __init__(self, pool: Pool, redis: RedisClient, *, window: int = WINDOW, bells: Bells | None = None) -> None:
        self._pool, self._redis, self._window = pool, redis, window
        self._bells = bells or redis
        self._kicked: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def kick(self, queue: str) -> None:
        """Dispatch waiting jobs of `queue` soon. Never blocks."""
        self._kicked.add(queue)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._dispatch_kicked(), name="dispatch")

    async def wake_deliverers(self) -> None:
        """Tell the deliverers that webhooks are due."""
        await wake_deliverers(self._redis)

    def kick_later(self, queue: str, delay_s: float) -> None:
        """Dispatch waiting jobs of `queue` once a retry is due."""
        asyncio.get_running_loop().call_later(delay_s + 0.01, self.kick, queue)

    async def _dispatch_kicked(self) -> None:
        try:
            while self._kicked:
                queue = self._kicked.pop()
                try:
                    await self.dispatch(queue)
                except Unavailable:
                    log.warning("dispatch_postponed", queue=queue)
        finally:
            self._task = None

    async def dispatch(self, queue: str) -> int:
        """Dispatch as many waiting jobs of `queue` as caps and the window allow; return how many."""
        async with system_tx(self._pool) as db:
            jobs = await dispatch_jobs(db, queue, window=self._window, batches=BATCHES)
        if not jobs:
            return 0
        doorbells = [Doorbell(job.tenant_id, job.id, job.kind, job.dispatch_seq, job.inbox) for job in jobs]
        if await ring(self._bells, doorbells):
            return len(jobs)
        async with system_tx(self._pool) as db:
            await undispatch_jobs(db, jobs)
        log.warning("enqueue_failed", queue=queue, jobs=len(jobs))
        return 0


async def wake_dispatchers(redis: RedisClient, queue: str) -> None:
    """Tell the dispatchers that jobs wait in `queue`. If Redis is unavailable, the scheduler's poll finds them."""
    try:
        await redis.call("PUBLISH", redis_names.WAKE, queue)
    except (RedisUnavailable, ReplyError):
        log.debug("wake_not_sent", queue=queue)


async def wake_deliverers(redis: RedisClient) -> None:
    """Tell the deliverers that webhooks are due. If Redis is unavailable, their poll finds them."""
    try:
        await redis.call("PUBLISH", redis_names.WEBHOOKS, "")
    except (RedisUnavailable, ReplyError):
        log.debug("wake_not_sent", queue="webhooks")
