"""All followers of a process, and the one subscription that feeds them (S7).

The submitter's follower is there before the job is, and hears everything through the process's inbox; a later one
subscribes to the job's channel, waits for the confirmation, reads what is in the stream, and goes on with what arrived
meanwhile: no gap, no double. Pub/sub may lose the last message, so followers that hear nothing are checked against the jobs'
rows every few seconds.
"""

import asyncio
from itertools import groupby
from uuid import UUID

from schema import redis_names
from schema.db import Pool, tenant_tx
from schema.errors import HeadraceError, NotFound
from schema.queries.jobs.jobs import JobStatus, find_job_status, find_log, list_ended
from schema.states import TERMINAL
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RedisAddress, ReplyError
from workers.stream.batches import StreamBatch, read_batch
from workers.stream.follow import Follower
from workers.stream.pubsub import Subscriber
from workers.stream.relay import queued_event, queued_frame

SILENCE_S = 3.0  # a follower that hears nothing for so long is checked


class Hub:
    """All followers of a process, and the one subscription that feeds them."""

    def __init__(self, address: RedisAddress, redis: RedisClient, pool: Pool, *, process: str) -> None:
        self.inbox = redis_names.inbox(process)
        self._wire, self._pool = redis, pool
        self._ear = Subscriber(address, self._heard, self._missed)
        self._followers: dict[bytes, set[Follower]] = {}
        self._listeners: dict[str, int] = {}
        self._checker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen. Works without Redis; then streams come from Postgres when their jobs have ended."""
        self._ear.start()
        await self._ear.subscribe(self.inbox)
        self._checker = asyncio.get_running_loop().create_task(self._check(), name="follower-check")

    async def close(self) -> None:
        """Stop listening."""
        if self._checker is not None:
            self._checker.cancel()
            await asyncio.gather(self._checker, return_exceptions=True)
        await self._ear.close()

    @property
    def open_streams(self) -> int:
        """How many followers there are."""
        return sum(len(group) for group in self._followers.values())

    def expect(self, tenant_id: UUID, job_id: UUID) -> Follower:
        """Return the follower of a job that is about to be submitted through this process."""
        return self._enter(Follower(self, tenant_id, job_id, live=False))

    async def join(
        self, tenant_id: UUID, job_id: UUID, *, after: int = 0, visible_user_id: UUID | None = None
    ) -> Follower:
        """Return a follower of an existing job that begins after event `after`; `visible_user_id` confines it to that
        user's jobs. Raises NotFound."""
        async with tenant_tx(self._pool, tenant_id, user_id=visible_user_id) as db:
            job = await find_job_status(db, tenant_id, job_id)
        if job is None:
            raise NotFound("No such job.")
        follower = self._enter(Follower(self, tenant_id, job_id, after=after))
        channel = redis_names.job_channel(tenant_id, job_id)
        self._listeners[channel] = self._listeners.get(channel, 0) + 1
        try:
            await self._ear.subscribe(channel)
            await self._place(follower, job)
        except BaseException:
            follower.close()
            raise
        return follower

    async def _place(self, follower: Follower, job: JobStatus) -> None:
        """Put a late follower where the stream is: at its start, or where the client was."""
        last = await self._last_seq(follower.tenant_id, follower.job_id)
        ended = job.state in TERMINAL
        if follower.seq > 0 and last is not None and follower.seq > last and not ended:
            follower.seq = 1  # the numbers began anew since the client left; event 1 is the same in all of them
        if follower.seq == 0 and not last and not ended:
            follower.begin(queued_frame(job.id, job.created_at, queued_event(job)))
        follower.nudge("ended" if ended else "gap")

    async def _last_seq(self, tenant_id: UUID, job_id: UUID) -> int | None:
        try:
            last = await self._wire.call("HGET", redis_names.job_fence(tenant_id, job_id), "last")
        except (RedisUnavailable, ReplyError):
            return None
        return int(last or 0)

    def _enter(self, follower: Follower) -> Follower:
        follower.heard_at = asyncio.get_running_loop().time()
        self._followers.setdefault(follower.job_id.bytes, set()).add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Forget a follower."""
        group = self._followers.get(follower.job_id.bytes)
        if group is None or follower not in group:
            return
        group.discard(follower)
        if not group:
            del self._followers[follower.job_id.bytes]
        if follower.live:
            channel = redis_names.job_channel(follower.tenant_id, follower.job_id)
            self._listeners[channel] -= 1
            if not self._listeners[channel]:
                del self._listeners[channel]
                self._ear.unsubscribe(channel)

    async def read_stream(self, tenant_id: UUID, job_id: UUID, *, after: int) -> list[StreamBatch]:
        """Return what Redis has of a job after event `after`; nothing when Redis is away."""
        key = redis_names.job_events(tenant_id, job_id)
        try:
            entries = await self._wire.call("XRANGE", key, f"{after + 1}-0", "+")
        except (RedisUnavailable, ReplyError):
            return []
        return [read_batch(fields[1]) for _, fields in entries]

    async def read_log(self, tenant_id: UUID, job_id: UUID) -> bytes | None:
        """Return all frames of an ended job from Postgres."""
        async with tenant_tx(self._pool, tenant_id) as db:
            return await find_log(db, tenant_id, job_id)

    def _heard(self, channel: str, data: bytes) -> None:
        group = self._followers.get(data[:16])
        if group:
            payload = read_batch(data)
            for follower in tuple(group):
                follower.hear(payload)

    def _missed(self) -> None:
        for group in self._followers.values():
            for follower in group:
                follower.nudge("gap")

    async def _check(self) -> None:
        """Look after followers that hear nothing: their job may have ended unheard."""
        while True:
            await asyncio.sleep(SILENCE_S / 2)
            before = asyncio.get_running_loop().time() - SILENCE_S
            silent = [f for group in self._followers.values() for f in group if f.heard_at < before]
            silent.sort(key=lambda follower: follower.tenant_id)
            for tenant_id, followers in groupby(silent, key=lambda follower: follower.tenant_id):
                try:
                    await self._check_tenant(tenant_id, list(followers))
                except HeadraceError:
                    break  # Postgres is away; the next round asks again

    async def _check_tenant(self, tenant_id: UUID, followers: list[Follower]) -> None:
        async with tenant_tx(self._pool, tenant_id) as db:
            ended = set(await list_ended(db, tenant_id, [follower.job_id for follower in followers]))
        for follower in followers:
            follower.nudge("ended" if follower.job_id in ended else "gap")
