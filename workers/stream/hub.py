"""All followers of a process, and the one subscription that feeds them.

The submitter's follower exists before the job does and receives everything through the process's inbox. A later one
subscribes to the job's channel, waits for the confirmation, reads the stream, and continues with the messages that arrived
meanwhile: no gaps, no duplicates. Many that join at once are looked up together. Pub/sub may lose the last message, so silent
followers are checked against the jobs' rows every few seconds.

A process that hears nothing of either store is cut off: its host has lost its network, and another process may well reach them.
Then its clients are sent on (`Follower.cut_off`, `api/http/connections.py`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby, islice
from uuid import UUID

import structlog

from schema import redis_names
from schema.errors import HeadraceError, NotFound
from schema.postgres.batched_lookup import BatchedLookup
from schema.postgres.connections import Pool, connection, tenant_tx
from schema.queries.jobs.jobs import JobStatus, VisibleJob, find_job_statuses, find_logs, list_ended
from schema.states import TERMINAL
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.stream.batches import StreamBatch, read_batch
from workers.stream.follow import Follower
from workers.stream.pubsub import Subscriber
from workers.stream.relay import queued_event, queued_frame

log = structlog.get_logger()

LOGS_AT_ONCE = STREAMS_AT_ONCE = 20  # one may have a megabyte

StreamPart = tuple[UUID, UUID, int]
"""A tenant, its job, and the event after which its stream is read."""

CHECK_AFTER_S = 3.0  # a follower that has received nothing for this long is checked
SILENT_S = 8.0
"""How long Redis may say nothing before Postgres is asked too. A silent subscription is pinged after 5 s."""
CHECKED_AT_ONCE = 500  # between these, the event loop serves others


class Hub:
    """All followers of a process, and the one subscription that feeds them."""

    def __init__(self, address: RedisAddress, redis: RedisClient, pool: Pool, *, process: str) -> None:
        self.inbox = redis_names.inbox(process)
        self._redis, self._pool = redis, pool
        self._subscriber = Subscriber(address, self._on_message, self._on_gap)
        self._followers: dict[bytes, set[Follower]] = {}
        self._channel_users: dict[str, int] = {}
        self._statuses = BatchedLookup[VisibleJob, JobStatus](lambda wanted: find_job_statuses(pool, wanted))
        self._parts = BatchedLookup[StreamPart, list[StreamBatch]](self._read_parts, most=STREAMS_AT_ONCE)
        self._lasts = BatchedLookup[str, int](self._read_lasts)
        self._logs = BatchedLookup[tuple[UUID, UUID], bytes](lambda wanted: find_logs(pool, wanted), most=LOGS_AT_ONCE)
        self._gap = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.cut_off = False

    async def start(self) -> None:
        """Subscribe and start checking. Works without Redis; then streams come from Postgres once their jobs have ended."""
        self._subscriber.start()
        await self._subscriber.subscribe(self.inbox)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._check(), name="follower-check"),
                       loop.create_task(self._watch_stores(), name="store-watch")]  # fmt: skip

    async def close(self) -> None:
        """Unsubscribe and stop checking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._subscriber.close()

    def resubscribe(self) -> None:
        """Subscribe over a new connection; followers miss nothing (`_on_gap`)."""
        self._subscriber.reconnect()

    @property
    def open_streams(self) -> int:
        """The number of followers."""
        return sum(len(group) for group in self._followers.values())

    def expect(self, tenant_id: UUID, job_id: UUID) -> Follower:
        """Return the follower of a job that is about to be submitted through this process."""
        return self._add(Follower(self, tenant_id, job_id, live=False))

    async def join(
        self, tenant_id: UUID, job_id: UUID, *, after: int = 0, visible_user_id: UUID | None = None
    ) -> Follower:
        """Return a follower of an existing job that starts after event `after`. `visible_user_id` limits it to that
        user's jobs. Raises NotFound."""
        job = await self._statuses.find((tenant_id, visible_user_id, job_id))
        if job is None:
            raise NotFound("No such job.")
        follower = self._add(Follower(self, tenant_id, job_id, after=after))
        channel = redis_names.job_channel(tenant_id, job_id)
        self._channel_users[channel] = self._channel_users.get(channel, 0) + 1
        try:
            await self._subscriber.subscribe(channel)
            await self._set_position(follower, job)
        except BaseException:
            follower.close()
            raise
        return follower

    async def _set_position(self, follower: Follower, job: JobStatus) -> None:
        """Set where a late follower starts: at the beginning, or where the client left off."""
        last = await self._last_seq(follower.tenant_id, follower.job_id)
        ended = job.state in TERMINAL
        if follower.seq > 0 and last is not None and follower.seq > last and not ended:
            follower.seq = 1  # numbering restarted since the client left; event 1 is the same in all of them
        if follower.seq == 0 and not last and not ended:
            follower.start_with(queued_frame(job.id, job.created_at, queued_event(job)))
        follower.joined_after_end = ended
        follower.wake("ended" if ended else "gap")

    async def _last_seq(self, tenant_id: UUID, job_id: UUID) -> int | None:
        return await self._lasts.find(redis_names.job_fence(tenant_id, job_id))

    async def _read_lasts(self, fences: Sequence[str]) -> dict[str, int]:
        """Return the number of the last event by fence; nothing if Redis is unavailable."""
        try:
            replies = await self._redis.send([("HGET", fence, "last") for fence in fences])
        except RedisUnavailable:
            return {}
        return {
            fence: int(last or 0)
            for fence, last in zip(fences, replies, strict=True)
            if not isinstance(last, ReplyError)
        }

    def _add(self, follower: Follower) -> Follower:
        follower.active_at = asyncio.get_running_loop().time()
        self._followers.setdefault(follower.job_id.bytes, set()).add(follower)
        return follower

    def remove(self, follower: Follower) -> None:
        """Unregister a follower, and unsubscribe from its job's channel if it was the last."""
        group = self._followers.get(follower.job_id.bytes)
        if group is None or follower not in group:
            return
        group.discard(follower)
        if not group:
            del self._followers[follower.job_id.bytes]
        if follower.live:
            channel = redis_names.job_channel(follower.tenant_id, follower.job_id)
            self._channel_users[channel] -= 1
            if not self._channel_users[channel]:
                del self._channel_users[channel]
                self._subscriber.unsubscribe(channel)

    async def read_stream(self, tenant_id: UUID, job_id: UUID, *, after: int) -> list[StreamBatch]:
        """Return the batches in Redis after event `after`; none if Redis is unavailable. Those who ask for the same meanwhile
        get the same: a thousand clients that come back to one job cost one reading of its stream."""
        return await self._parts.find((tenant_id, job_id, after)) or []

    async def _read_parts(self, parts: Sequence[StreamPart]) -> dict[StreamPart, list[StreamBatch]]:
        commands = [
            ("XRANGE", redis_names.job_events(tenant_id, job_id), f"{after + 1}-0", "+")
            for tenant_id, job_id, after in parts
        ]
        try:
            replies = await self._redis.send(commands)
        except RedisUnavailable:
            return {}
        return {
            part: [read_batch(fields[1]) for _, fields in entries]
            for part, entries in zip(parts, replies, strict=True)
            if not isinstance(entries, ReplyError)
        }

    async def read_log(self, tenant_id: UUID, job_id: UUID) -> bytes | None:
        """Return all frames of a finished job from Postgres."""
        return await self._logs.find((tenant_id, job_id))

    async def has_ended(self, tenant_id: UUID, job_id: UUID) -> bool:
        """Whether the job has ended or is gone. Raises Unavailable."""
        async with tenant_tx(self._pool, tenant_id) as db:
            return job_id in await list_ended(db, tenant_id, [job_id])

    def _on_message(self, channel: str, data: bytes) -> None:
        group = self._followers.get(data[:16])
        if group:
            batch = read_batch(data)
            for follower in tuple(group):
                follower.receive(batch)

    def _on_gap(self) -> None:
        """Messages were lost: check all now, some at a time. Reading ten thousand streams at once can hold up the loop for so
        long that the subscription is lost again."""
        for group in self._followers.values():
            for follower in group:
                follower.active_at = float("-inf")
        self._gap.set()

    async def _watch_stores(self) -> None:
        """Keep `cut_off` right; when it begins, send followers on who can resume elsewhere."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_AFTER_S / 2)
            cut_off = loop.time() - self._subscriber.heard_at > SILENT_S and not await self._postgres_answers()
            if cut_off == self.cut_off:
                continue
            self.cut_off = cut_off
            log.warning("stores_unreachable" if cut_off else "stores_reached_again", streams=self.open_streams)
            if cut_off:
                for follower in [follower for group in self._followers.values() for follower in group]:
                    follower.cut_off()

    async def _postgres_answers(self) -> bool:
        """Whether Postgres answers; the watch of the pool ends the wait for one that doesn't (`schema/postgres/freezes.py`)."""
        try:
            async with connection(self._pool) as db:
                await db.execute("SELECT")
        except HeadraceError:
            return False
        return True

    async def _check(self) -> None:
        """Check silent followers: their job may have ended without their hearing of it."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_AFTER_S / 2):
                    await self._gap.wait()
            self._gap.clear()
            before = asyncio.get_running_loop().time() - CHECK_AFTER_S
            silent = [f for group in self._followers.values() for f in group if f.active_at < before]
            silent.sort(key=lambda follower: follower.tenant_id)
            for tenant_id, followers in groupby(silent, key=lambda follower: follower.tenant_id):
                try:
                    while some := list(islice(followers, CHECKED_AT_ONCE)):
                        await self._check_tenant(tenant_id, some)
                except HeadraceError:
                    break  # Postgres is unavailable; the next round retries

    async def _check_tenant(self, tenant_id: UUID, followers: Sequence[Follower]) -> None:
        """Wake those whose job has ended or has written more. A stream that is silent for long is no reason to read it: of ten
        thousand, each would be read every few seconds."""
        fences = {follower.job_id: redis_names.job_fence(tenant_id, follower.job_id) for follower in followers}
        lasts = await self._read_lasts(list(fences.values()))
        for follower in followers:
            if lasts.get(fences[follower.job_id], 0) > follower.seq:
                follower.wake("gap")
        async with tenant_tx(self._pool, tenant_id) as db:
            ended = set(await list_ended(db, tenant_id, list(fences)))
        for follower in followers:
            if follower.job_id in ended:
                follower.wake("ended")
            else:
                follower.active_at = asyncio.get_running_loop().time()
