"""Following: one reader of one job's events, each event once and in order (S2, S3).

Whoever notices a gap reads the stream again; where Redis has forgotten, the log in Postgres answers. What comes over the wire
is handed in by the hub (`workers/stream/hub.py`).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Literal, Protocol
from uuid import UUID

from schema.errors import HeadraceError, Unavailable
from schema.events import frame_seq, split_frames
from workers.stream.batches import StreamBatch

BUFFER_BYTES = 1 << 20  # what a client may be behind before it is cut off
KEEP_ALIVE = b": keep-alive\n\n"

Nudge = Literal["gap", "ended"]


class SlowReader(HeadraceError):
    """The client does not read as fast as the job speaks; it can resume after `resume_after`."""

    code = "slow_client"

    def __init__(self, resume_after: int) -> None:
        super().__init__(f"The client fell too far behind; resume after event {resume_after}.")
        self.resume_after = resume_after


class Source(Protocol):
    """Where a follower reads what it did not hear (`workers/stream/hub.py`)."""

    async def read_stream(self, tenant_id: UUID, job_id: UUID, *, after: int) -> list[StreamBatch]:
        """Return what Redis has of a job after event `after`; nothing when Redis is away."""
        ...

    async def read_log(self, tenant_id: UUID, job_id: UUID) -> bytes | None:
        """Return all frames of an ended job from Postgres."""
        ...

    def leave(self, follower: "Follower") -> None:
        """Forget a follower."""
        ...


class Follower:
    """One reader of one job's stream. Use as `async with`; `chunks()` yields whole frames and ends with the job."""

    def __init__(self, hub: "Source", tenant_id: UUID, job_id: UUID, *, after: int = 0, live: bool = True) -> None:
        self.tenant_id, self.job_id, self.seq = tenant_id, job_id, after
        self.heard_at = 0.0
        self._hub, self.live = hub, live
        self._origin: int | None = None
        self._queue: deque[StreamBatch] = deque()
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

    def hear(self, payload: StreamBatch) -> None:
        """Take a payload from the wire; never waits. Too much of it unread cuts the follower off."""
        self.heard_at = asyncio.get_running_loop().time()
        if self._slow:
            return
        if (
            self._buffered > BUFFER_BYTES
        ):  # asked before adding: one payload may be larger by itself, and is nobody's fault
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

    def _take(self, payload: StreamBatch) -> bytes | None:
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
