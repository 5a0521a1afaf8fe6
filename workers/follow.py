"""Following: how events get from Redis to any number of readers, each event once and in order (S2, S3, S7).

One subscription a process (`Ear`) hands payloads to the followers of their job. The submitter's follower is there before
the job is, and hears everything through the process's inbox; a later one subscribes to the job's channel, waits for the
confirmation, reads what is in the stream, and goes on with what arrived meanwhile: no gap, no double. Whoever notices a
gap reads the stream again. Pub/sub may lose the last message, so followers that hear nothing are checked against the
jobs' rows every few seconds, and the log in Postgres answers where Redis can't.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import groupby
from types import TracebackType
from typing import Literal
from uuid import UUID

import structlog
from psycopg.rows import DictRow

from schema import redis_names
from schema.db import Pool, tenant_tx
from schema.errors import HeadraceError, NotFound, Unavailable
from schema.events import JobQueued, frame_seq, split_frames
from schema.queries.jobs import find_job_state, find_log, list_ended
from schema.states import TERMINAL
from workers.ear import Ear
from workers.payloads import Payload, read_payload
from workers.relay import queued_frame
from workers.wire import RedisAddress, ReplyError, Wire, WireDown

log = structlog.get_logger()

BUFFER_BYTES = 1 << 20  # what a client may be behind before it is cut off
SILENCE_S = 3.0  # a follower that hears nothing for so long is checked
KEEP_ALIVE = b": keep-alive\n\n"

Nudge = Literal["gap", "ended"]


class SlowReader(HeadraceError):
    """The client does not read as fast as the job speaks; it can resume after `resume_after`."""

    code = "slow_client"

    def __init__(self, resume_after: int) -> None:
        super().__init__(f"The client fell too far behind; resume after event {resume_after}.")
        self.resume_after = resume_after


class Follower:
    """One reader of one job's stream. Use as `async with`; `chunks()` yields whole frames and ends with the job."""

    def __init__(self, hub: "Hub", tenant_id: UUID, job_id: UUID, *, after: int = 0, live: bool = True) -> None:
        self.tenant_id, self.job_id, self.seq = tenant_id, job_id, after
        self.heard_at = 0.0
        self._hub, self._live = hub, live
        self._origin: int | None = None
        self._queue: deque[Payload] = deque()
        self._buffered = 0
        self._slow = False
        self._ended = False
        self._nudge: Nudge | None = None
        self._first: bytes = b""
        self._wake: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Follower":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. Awaits nothing, so it is safe in a task that is being cancelled."""
        self._hub.leave(self)

    def begin(self, queued: bytes) -> None:
        """Hand over the first frame, which the submitter has already."""
        self._first, self.seq = queued, 1

    # -- called by the hub, on the loop

    def hear(self, payload: Payload) -> None:
        """Take a payload from the wire; never waits. Too much of it unread cuts the follower off."""
        self.heard_at = asyncio.get_running_loop().time()
        if self._slow:
            return
        if self._buffered > BUFFER_BYTES:  # asked before adding: one payload may be larger by itself, and is nobody's fault
            self._slow = True
            self._queue.clear()
        else:
            self._queue.append(payload)
            self._buffered += len(payload.body)
        self._rouse()

    def nudge(self, why: Nudge) -> None:
        """Have the follower look for itself: something may have been missed (`gap`), or the job has `ended`."""
        self.heard_at = asyncio.get_running_loop().time()
        if self._nudge != "ended":
            self._nudge = why
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # -- the reader's side

    async def chunks(self, *, heartbeat_s: float | None = 15.0) -> AsyncIterator[bytes]:
        """Yield frames, many at a time where many are there, and a comment after `heartbeat_s` of silence.

        Ends after the job's last event. Raises SlowReader when this reader fell too far behind.
        """
        if self._first:
            first, self._first = self._first, b""
            yield first
        while not self._ended:
            chunk = await self._next_chunk()
            if chunk:
                yield chunk
            elif not self._ended and not await self._wait(heartbeat_s):
                yield KEEP_ALIVE

    async def _next_chunk(self) -> bytes:
        if self._nudge is not None:
            why, self._nudge = self._nudge, None
            return await self._catch_up(ended=why == "ended")
        if self._slow:
            raise SlowReader(self.seq)
        parts: list[bytes] = []
        while self._queue:
            payload = self._queue.popleft()
            self._buffered -= len(payload.body)
            part = self._take(payload)
            if part is None:
                self._nudge = "gap"
                break
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _wait(self, heartbeat_s: float | None) -> bool:
        """Wait until there is something to do; False when `heartbeat_s` have passed."""
        if self._queue or self._nudge or self._slow:
            return True
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(heartbeat_s, self._wake.cancel) if heartbeat_s else None
        try:
            await self._wake
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling() or not self._wake.cancelled():
                raise
            return False
        finally:
            if timer is not None:
                timer.cancel()
            self._wake = None
        return True

    def _take(self, payload: Payload) -> bytes | None:
        """Return what is new in `payload`; None if something before it is missing."""
        if self._origin is not None and payload.origin > self._origin:
            self.seq = min(self.seq, 1)  # the numbers began anew; event 1 is the same in all of them
        if payload.first > self.seq + 1:
            return None
        self._origin = max(payload.origin, self._origin or 0)
        self._ended = self._ended or payload.ends
        if payload.last <= self.seq:
            return b""
        fresh = payload.after(self.seq)
        self.seq = payload.last
        return fresh

    async def _catch_up(self, *, ended: bool) -> bytes:
        """Read what Redis has after our position; where the job has ended and Redis hasn't all of it, the log."""
        parts: list[bytes] = []
        for payload in await self._hub.read_stream(self.tenant_id, self.job_id, after=self.seq):
            part = self._take(payload)
            if part is not None:
                parts.append(part)
        if ended and not self._ended:
            with suppress(Unavailable):  # Postgres is away; the next check asks again
                parts.append(await self._read_log())
        return b"".join(parts)

    async def _read_log(self) -> bytes:
        body = await self._hub.read_log(self.tenant_id, self.job_id)
        self._ended = True
        frames = split_frames(body or b"")
        if len(frames) < self.seq:
            self.seq = min(self.seq, 1)
        fresh = b"".join(frame for frame in frames if frame_seq(frame) > self.seq)
        self.seq = len(frames)
        return fresh


class Hub:
    """All followers of a process, and the one subscription that feeds them."""

    def __init__(self, address: RedisAddress, wire: Wire, pool: Pool, *, process: str) -> None:
        self.inbox = redis_names.inbox(process)
        self._wire, self._pool = wire, pool
        self._ear = Ear(address, self._heard, self._missed)
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

    async def join(self, tenant_id: UUID, job_id: UUID, *, after: int = 0) -> Follower:
        """Return a follower of an existing job that begins after event `after`. Raises NotFound."""
        async with tenant_tx(self._pool, tenant_id) as db:
            job = await find_job_state(db, tenant_id, job_id)
        if job is None:
            raise NotFound("There is no such job.")
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

    async def _place(self, follower: Follower, job: DictRow) -> None:
        """Put a late follower where the stream is: at its start, or where the client was."""
        last = await self._last_seq(follower.tenant_id, follower.job_id)
        ended = job["state"] in TERMINAL
        if follower.seq > 0 and last is not None and follower.seq > last and not ended:
            follower.seq = min(1, last)  # the numbers began anew since the client left
        if follower.seq == 0 and not last and not ended:
            follower.begin(queued_frame(job["id"], job["created_at"], queued_event(job)))
        follower.nudge("ended" if ended else "gap")

    async def _last_seq(self, tenant_id: UUID, job_id: UUID) -> int | None:
        try:
            last = await self._wire.call("HGET", redis_names.job_fence(tenant_id, job_id), "last")
        except (WireDown, ReplyError):
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
        if follower._live:
            channel = redis_names.job_channel(follower.tenant_id, follower.job_id)
            self._listeners[channel] -= 1
            if not self._listeners[channel]:
                del self._listeners[channel]
                self._ear.unsubscribe(channel)

    async def read_stream(self, tenant_id: UUID, job_id: UUID, *, after: int) -> list[Payload]:
        """Return what Redis has of a job after event `after`; nothing when Redis is away."""
        key = redis_names.job_events(tenant_id, job_id)
        try:
            entries = await self._wire.call("XRANGE", key, f"{after + 1}-0", "+")
        except (WireDown, ReplyError):
            return []
        return [read_payload(fields[1]) for _, fields in entries]

    async def read_log(self, tenant_id: UUID, job_id: UUID) -> bytes | None:
        """Return all frames of an ended job from Postgres."""
        async with tenant_tx(self._pool, tenant_id) as db:
            return await find_log(db, tenant_id, job_id)

    def _heard(self, channel: str, data: bytes) -> None:
        group = self._followers.get(data[:16])
        if group:
            payload = read_payload(data)
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


def queued_event(job: DictRow) -> JobQueued:
    """Return the first event of a job, from its row."""
    session_id = job["session_id"]
    return JobQueued(
        kind=job["kind"], session_id=str(session_id) if session_id else None, model=job["model"], agent=job["agent"]
    )
