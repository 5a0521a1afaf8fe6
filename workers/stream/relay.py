"""Publishes events from attempts to Redis: one writer per process.

Natural batching: while one write is in progress, the events of all streams accumulate. They then go out together, with one
entry and one message per job, and adjacent deltas merged into one event. When idle, an event is written at once. Events are
numbered when they are written, so numbers have no gaps.

A running job's frames are kept in memory until it ends. They become the compacted log, and if Redis loses its data meanwhile
the stream is rewritten with the same numbers. While Redis is unavailable nothing is lost and no caller waits.

    put(event) ──► pending ──encode──► frames ──write──► Redis       (workers/stream/lua/append.lua refuses old attempts)
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from schema import redis_names
from schema.events import (
    DocumentFailed,
    DocumentReady,
    Event,
    JobProgress,
    JobQueued,
    JobRestarted,
    JobStarted,
    encode_frame,
    split_frames,
    timestamp,
)
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.jobs.jobs import JobStatus
from workers.redis.address import Command
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.stream.batches import StreamBatch, pack_batch, read_batch
from workers.stream.changes import Changes
from workers.stream.deltas import merge_deltas

log = structlog.get_logger()

LUA = Path(__file__).parent / "lua"
APPEND, TAKE_OVER = ((LUA / f"{name}.lua").read_text() for name in ("append", "take_over"))

RUNNING_TTL_MS = 26 * 3600 * 1000  # of a running job's stream
ENDED_TTL_MS = 5 * 60 * 1000  # after the job's end; later readers get the log in Postgres
ENDED_FENCE_TTL_MS = 3600 * 1000  # a worker that was suspended may come back later than readers do
RETRY_DELAY_S = 0.2
REFUSED = -1

CHANGES_JOB = (JobStarted, JobRestarted)
CHANGES_DOCUMENT = (JobProgress, DocumentReady, DocumentFailed)
"""Events after which the row of a job or of a document is another."""

BUSY_STREAMS, MAX_REST_S = 3, 0.003
"""After a write of at least BUSY_STREAMS streams, the next one waits for as long as that took, to gather more: writing one
costs nearly as much as writing ten. On a busy machine this saves a fifth of a worker's CPU at 5,000 tokens a second, and a
third of Redis'; on one with time to spare a token hardly waits."""

UNREAD_INTERVAL_S = 0.25
"""A stream that nobody receives is not written again sooner: a thousand jobs that were submitted for later have no reader, and
who joins one reads what is there at once, and the rest as it comes. Its end, and what somebody waits for, goes out at once."""

MAX_STREAMS = 12
"""A write has at most so many streams, so that a tenant with few waits some 2 ms for one with many, and not for all of them."""


class JobStream:
    """The stream of one job, as written by one attempt. `frames[n]` is event n + 1."""

    def __init__(
        self,
        relay: "Relay",
        tenant_id: UUID,
        job_id: UUID,
        *,
        attempt: int,
        holder: str,
        inbox: str | None,
        history: "History",
        on_fenced: Callable[[], None] = lambda: None,
    ) -> None:
        self.tenant_id, self.job_id, self.attempt, self.holder = tenant_id, job_id, attempt, holder
        self.frames = history.frames
        self.fenced = False
        self.held = False
        """Whether Redis has accepted a write, so that nobody else of the same number can write."""
        self.ended = False
        self.is_received = True
        """Whether anybody received the last write."""
        self.written_at = 0.0
        self.delayed: asyncio.TimerHandle | None = None
        self._id = str(job_id)
        self._origin = history.origin
        self._relay, self._inbox, self._on_fenced = relay, inbox or "", on_fenced
        self._written = history.written
        self._pending: list[Event] = []
        self._flushed = asyncio.Event()
        self._keys = redis_names.job_keys(tenant_id, job_id)
        self._channel = redis_names.job_channel(tenant_id, job_id)

    def put(self, event: Event) -> None:
        """Publish `event` with the next write. Never waits."""
        self._pending.append(event)
        self._flushed.clear()
        self._relay.wake(self)
        if isinstance(event, CHANGES_JOB):
            self._relay.changes.note(self.tenant_id, "jobs", self.job_id)
        elif isinstance(event, CHANGES_DOCUMENT) and event.document_id is not None:
            self._relay.changes.note(self.tenant_id, "documents", UUID(event.document_id))

    def _encode_pending(self) -> None:
        """Number and encode the pending events, merging adjacent deltas."""
        pending, self._pending = self._pending, []
        if len(pending) > 1:
            pending = merge_deltas(pending)
        if not pending:
            return
        at, frames = timestamp(), self.frames
        for event in pending:
            frames.append(encode_frame(event, self._id, len(frames) + 1, at))
            self.ended = self.ended or event.ends

    def preview(self, events: list[Event]) -> list[bytes]:
        """Return all frames as they will be with `events` at the end, without publishing: the log is committed before
        the last event goes out."""
        self._encode_pending()
        at = timestamp()
        start = len(self.frames) + 1
        return [*self.frames, *(encode_frame(e, self.job_id, start + i, at) for i, e in enumerate(events))]

    def end(self, frames: list[bytes]) -> None:
        """Publish the frames that `preview` returned, including the last event."""
        self.frames, self.ended = frames, True
        self._flushed.clear()
        self._relay.wake(self)
        self._relay.changes.note(self.tenant_id, "jobs", self.job_id)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all published events are in Redis; False if it takes too long."""
        self._relay.write_soon(self)
        try:
            async with asyncio.timeout(timeout_s):
                await self._flushed.wait()
        except TimeoutError:
            return False
        return True

    def next_command(self) -> Command | None:
        """Return the command that brings Redis up to date, or None."""
        self._encode_pending()
        first, last = self._written + 1, len(self.frames)
        if self.fenced or last < first:
            self._flushed.set()
            return None
        batch = pack_batch(
            self.job_id,
            attempt=self.attempt,
            origin=self._origin,
            first=first,
            last=last,
            ends=self.ended,
            body=self.frames[-1] if first == last else b"".join(self.frames[self._written :]),
        )
        self._sent = last
        return (
            *(2, *self._keys, self.attempt, first, last, batch),
            *(*self._ttls(first), self._channel, self._inbox, self.holder),
        )

    def _ttls(self, first: int) -> tuple[int | str, int | str]:
        """Return the times to live of the stream and of its fence; empty to keep them."""
        if self.ended:
            return ENDED_TTL_MS, ENDED_FENCE_TTL_MS
        return (RUNNING_TTL_MS, RUNNING_TTL_MS) if first == 1 else ("", "")

    def on_reply(self, last: int, received: int) -> bool:
        """Handle the reply to the last command; True if there is more to write."""
        self.is_received, self.written_at = received > 0, asyncio.get_running_loop().time()
        if last == REFUSED:
            self.fenced = True
            self._flushed.set()
            self._on_fenced()
            return False
        self.held = True
        # Less than we sent: Redis lost its data, so start over. More: an earlier write succeeded, but its reply was lost.
        self._written = self._sent if last == self._sent else last if 0 < last <= len(self.frames) else 0
        if self._written < len(self.frames) or self._pending:
            return True
        self._flushed.set()
        return False


class History:
    """What earlier attempts wrote: their frames, how many of them are in Redis, and the attempt that started the numbering.
    `untouched` says that nobody wrote, and that Redis would know."""

    def __init__(self, frames: list[bytes], *, written: int, origin: int, untouched: bool = False) -> None:
        self.frames, self.written, self.origin, self.untouched = frames, written, origin, untouched


class Relay:
    """Writes all streams of a process."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self.changes = Changes(redis)
        """Notes what has changed, for those who watch the tenant."""
        self._dirty: dict[JobStream, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._shas: dict[str, bytes] = {}

    def wake(self, stream: JobStream) -> None:
        """Include `stream` in the next write, or in a later one if nobody receives it."""
        loop = asyncio.get_running_loop()
        if stream.is_received or stream.ended or loop.time() >= stream.written_at + UNREAD_INTERVAL_S:
            self.write_soon(stream)
        elif stream.delayed is None:
            stream.delayed = loop.call_at(stream.written_at + UNREAD_INTERVAL_S, self.write_soon, stream)

    def write_soon(self, stream: JobStream) -> None:
        """Include `stream` in the next write."""
        if stream.delayed is not None:
            stream.delayed.cancel()
            stream.delayed = None
        self._dirty[stream] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write(), name="relay")

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._dirty:
                streams = self._take_batch()
                began = loop.time()
                await self._write_batch(streams)
                if len(streams) >= BUSY_STREAMS and len(self._dirty) < MAX_STREAMS:
                    await asyncio.sleep(min(loop.time() - began, MAX_REST_S))
        finally:
            self._task = None

    def _take_batch(self) -> list[JobStream]:
        """Return those to be written next: of more than MAX_STREAMS, each tenant's first before any tenant's second."""
        if len(self._dirty) <= MAX_STREAMS:
            streams = list(self._dirty)
            self._dirty.clear()
            return streams
        before = Counter[UUID]()
        ranks: dict[JobStream, int] = {}
        for stream in self._dirty:
            ranks[stream] = before[stream.tenant_id]
            before[stream.tenant_id] += 1
        streams = sorted(ranks, key=ranks.__getitem__)[:MAX_STREAMS]
        for stream in streams:
            del self._dirty[stream]
        return streams

    async def _write_batch(self, streams: list[JobStream]) -> None:
        batch = [(stream, command) for stream in streams if (command := stream.next_command()) is not None]
        if not batch:
            return
        try:
            sha = self._shas.get(APPEND) or await self._load(APPEND)
            replies = await self._redis.send([("EVALSHA", sha, *command) for _, command in batch])
        except (RedisUnavailable, ReplyError) as error:
            await self._retry(batch, error)
            return
        for (stream, _), reply in zip(batch, replies, strict=True):
            if isinstance(reply, ReplyError):
                self._shas.clear()
                await self._retry(
                    [(stream, ())], reply, delay_s=0 if str(reply).startswith("NOSCRIPT") else RETRY_DELAY_S
                )
            elif stream.on_reply(*reply):
                self.wake(stream)

    async def _retry(
        self, batch: list[tuple[JobStream, Command]], error: Exception, delay_s: float = RETRY_DELAY_S
    ) -> None:
        self._dirty.update(dict.fromkeys(stream for stream, _ in batch))
        log.warning("relay_write_failed", error=type(error).__name__, streams=len(batch))
        await asyncio.sleep(delay_s)

    async def _load(self, script: str) -> bytes:
        sha = await self._redis.call("SCRIPT", "LOAD", script)
        self._shas[script] = sha
        return sha

    async def take_over(
        self, tenant_id: UUID, job_id: UUID, attempt: int, *, holder: str, created_at: datetime
    ) -> History | None:
        """Make `attempt` of `holder` the stream's only writer and return what earlier ones wrote; None if a newer one holds it,
        or another holder of the same number.

        If Redis is unavailable or has lost the stream, numbering restarts with this attempt. `created_at` is the job's: a
        Redis that has forgotten nothing since then would know of it.
        """
        keys = (*redis_names.job_keys(tenant_id, job_id), *redis_names.STARTED_AT_KEYS)
        try:
            found = await self._redis.call("EVAL", TAKE_OVER, 4, *keys, attempt, RUNNING_TTL_MS, holder)
        except (RedisUnavailable, ReplyError):
            return History([], written=0, origin=attempt)
        if found == [0]:
            return None
        _, held, since, batches = found
        untouched = held == 0 and since < created_at.timestamp()
        return _history([read_batch(data) for data in batches], attempt, untouched=untouched)

    async def delete_stream(self, tenant_id: UUID, job_id: UUID, *, dispatch_seq: int) -> None:
        """Delete the stream of a job that is retried, and keep everyone from writing to it who has a number up to
        `dispatch_seq`."""
        keys = redis_names.job_keys(tenant_id, job_id)
        fence = ("attempt", dispatch_seq, "holder", "nobody", "last", 0)
        await self._redis.send([("DEL", keys[0]), ("HSET", keys[1], *fence)])


def new_holder() -> str:
    """Return a name for one claim, by which the fence tells two apart that have the same number. Not from the system: that
    would let go of the interpreter, which the consumer's thread may then keep for a while."""
    return f"{random.getrandbits(48):012x}"


def _history(batches: list[StreamBatch], attempt: int, *, untouched: bool) -> History:
    frames = [frame for batch in batches for frame in split_frames(batch.body)]
    origin = batches[0].origin if batches else 1 if untouched else attempt
    return History(frames, written=len(frames), origin=origin, untouched=untouched)


def new_history(job_id: UUID, created_at: Any, queued: JobQueued, *, origin: int = 1) -> History:
    """Return the history of a job of which nothing is written: `job.queued`. `origin` 1 says that nothing was lost either."""
    return History([queued_frame(job_id, created_at, queued)], written=0, origin=origin, untouched=origin == 1)


def queued_frame(job_id: UUID, created_at: Any, queued: JobQueued) -> bytes:
    """Return event 1. It depends on the row alone, so every process makes the same bytes."""
    return encode_frame(queued, job_id, 1, timestamp(created_at))


def queued_event(job: JobStatus | ClaimedJob) -> JobQueued:
    """Return the first event of a job, from its row."""
    session_id = job.session_id
    return JobQueued(
        kind=job.kind, session_id=str(session_id) if session_id else None, model=job.model, agent=job.agent
    )
