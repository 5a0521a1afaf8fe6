"""One reader of one job's events: each event once and in order.

A follower that notices a gap reads the stream again; if Redis has lost it, the log in Postgres is read. Batches arrive from
the hub (`workers/stream/hub.py`).
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

MAX_BUFFER_BYTES = 1 << 20  # how far a client may fall behind before it is disconnected
RESTARTED = b"\nevent: job.restarted\n"
KEEP_ALIVE = b": keep-alive\n\n"

WakeReason = Literal["gap", "ended"]


class SlowReader(HeadraceError):
    """The client reads more slowly than the job writes. It can resume after event `resume_after`."""

    code = "slow_client"

    def __init__(self, resume_after: int) -> None:
        super().__init__(f"The client fell too far behind; resume after event {resume_after}.")
        self.resume_after = resume_after


class CutOff(HeadraceError):
    """This process reaches no store any more. The client can resume at another, after event `resume_after`."""

    code = "unavailable"

    def __init__(self, resume_after: int) -> None:
        super().__init__(f"This process reaches neither Redis nor Postgres; resume after event {resume_after}.")
        self.resume_after = resume_after


class Source(Protocol):
    """Where a follower reads events that it missed (`workers/stream/hub.py`)."""

    async def read_stream(self, tenant_id: UUID, job_id: UUID, *, after: int) -> list[StreamBatch]:
        """Return the batches in Redis after event `after`; none if Redis is unavailable."""
        ...

    async def read_log(self, tenant_id: UUID, job_id: UUID) -> bytes | None:
        """Return all frames of a finished job from Postgres."""
        ...

    async def has_ended(self, tenant_id: UUID, job_id: UUID) -> bool:
        """Whether the job has ended or is gone. Raises Unavailable."""
        ...

    def remove(self, follower: "Follower") -> None:
        """Unregister a follower."""
        ...


class Follower:
    """One reader of one job's stream, used with `async with`. `chunks()` yields whole frames and ends with the job. Of one that
    `joined_after_end`, no chunk waits for anything, unless the job is retried meanwhile."""

    def __init__(self, hub: "Source", tenant_id: UUID, job_id: UUID, *, after: int = 0, live: bool = True) -> None:
        self.tenant_id, self.job_id, self.seq = tenant_id, job_id, after
        self.active_at = 0.0
        self.joined_after_end = False
        self._hub, self.live = hub, live
        self._origin: int | None = None
        self._attempt = 0
        self._queue: deque[StreamBatch] = deque()
        self._buffered = 0
        self._slow = self._cut_off = False
        self._ended = False
        self._interruption: HeadraceError | None = None
        self._wake_reason: WakeReason | None = None
        self._first: bytes = b""
        self._wakeup: asyncio.Future[None] | None = None
        self._waits_since = 0.0
        self._silence_timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "Follower":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. Never awaits, so it is safe in a task that is being cancelled."""
        self._hub.remove(self)
        if self._silence_timer is not None:
            self._silence_timer.cancel()
            self._silence_timer = None

    def interrupt(self, error: HeadraceError) -> None:
        """End `chunks()` with this error, once what has arrived was read, unless the job has ended with that."""
        self._interruption = error
        self._notify()

    def start_with(self, queued: bytes) -> None:
        """Set the first frame, which the submitter already has."""
        self._first, self.seq = queued, 1

    # -- called by the hub, on the event loop

    def receive(self, batch: StreamBatch) -> None:
        """Buffer a batch; never waits. A follower with a full buffer is disconnected."""
        self.active_at = asyncio.get_running_loop().time()
        if self._slow:
            return
        # Checked before adding: a single batch may exceed the limit, and that is not the client's fault.
        if self._buffered > MAX_BUFFER_BYTES:
            self._slow = True
            self._queue.clear()
        else:
            self._queue.append(batch)
            self._buffered += len(batch.body)
        self._notify()

    def wake(self, reason: WakeReason) -> None:
        """Make the follower read the stream again: events may have been missed (`gap`), or the job has `ended`."""
        self.active_at = asyncio.get_running_loop().time()
        if self._wake_reason != "ended":
            self._wake_reason = reason
        self._notify()

    def cut_off(self) -> None:
        """Send on a reader who can resume elsewhere: nothing will come here."""
        self._cut_off = True
        self._notify()

    def _notify(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    # -- the reader's side

    async def chunks(self, *, heartbeat_s: float | None = 15.0, resumable: bool = False) -> AsyncIterator[bytes]:
        """Yield chunks of frames, and a keep-alive comment after `heartbeat_s` of silence.

        Ends after the job's last event. Raises SlowReader if this reader falls too far behind; CutOff, if it can resume
        elsewhere (`resumable`), when this process reaches no store any more; and what it is interrupted with.
        """
        if self._first:
            first, self._first = self._first, b""
            yield first
        while not self._ended:
            chunk = await self._next_chunk()
            if chunk:
                yield chunk
            if self._ended:
                return
            if self._interruption is not None:
                raise self._interruption
            if self._cut_off and resumable and not chunk:
                raise CutOff(self.seq)
            if not chunk and not await self._wait(heartbeat_s):
                yield KEEP_ALIVE

    async def _next_chunk(self) -> bytes:
        if self._wake_reason is not None:
            reason, self._wake_reason = self._wake_reason, None
            return await self._catch_up(ended=reason == "ended")
        if self._slow:
            raise SlowReader(self.seq)
        parts: list[bytes] = []
        while self._queue:
            batch = self._queue.popleft()
            self._buffered -= len(batch.body)
            part = self._accept(batch)
            if part is None:
                self._wake_reason = "gap"
                break
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _wait(self, heartbeat_s: float | None) -> bool:
        """Wait until there is something to do; False after `heartbeat_s`."""
        if self._queue or self._wake_reason or self._slow or self._interruption:
            return True
        self._cut_off = False  # a reader who can't resume waits until the stores are reached again
        loop = asyncio.get_running_loop()
        self._wakeup, self._waits_since = loop.create_future(), loop.time()
        if heartbeat_s and self._silence_timer is None:
            self._silence_timer = loop.call_later(heartbeat_s, self._check_silence, heartbeat_s)
        try:
            await self._wakeup
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling() or not self._wakeup.cancelled():
                raise
            return False
        finally:
            self._wakeup = None
        return True

    def _check_silence(self, heartbeat_s: float) -> None:
        """End a wait that has lasted for `heartbeat_s`. One timer runs on, since one for each wait, of which there is one a
        token, costs as much as the rest of it."""
        loop, self._silence_timer = asyncio.get_running_loop(), None
        if self._wakeup is None:
            return
        left_s = self._waits_since + heartbeat_s - loop.time()
        if left_s > 0:
            self._silence_timer = loop.call_later(left_s, self._check_silence, heartbeat_s)
        else:
            self._wakeup.cancel()

    def _accept(self, batch: StreamBatch) -> bytes | None:
        """Return the new frames of a batch; None if events before it are missing. A batch of an older attempt than one that was
        heard of is none: a Redis that forgot the newer one's fence lets the older write, until the newer writes again."""
        if batch.attempt < self._attempt:
            return b""
        if self._origin is not None and batch.origin > self._origin:
            self.seq = min(self.seq, 1)  # numbering restarted; event 1 is the same in all of them
        if batch.first > self.seq + 1:
            return None
        self._attempt, self._origin = batch.attempt, max(batch.origin, self._origin or 0)
        self._ended = self._ended or batch.ends
        if batch.last <= self.seq:
            return b""
        fresh = batch.after(self.seq)
        self.seq = batch.last
        return fresh

    async def _catch_up(self, *, ended: bool) -> bytes:
        """Read from Redis after our position; if the job has ended and Redis lacks its end, read the log."""
        parts: list[bytes] = []
        for batch in await self._hub.read_stream(self.tenant_id, self.job_id, after=self.seq):
            part = self._accept(batch)
            if part is not None:
                parts.append(part)
        if ended and not self._ended:
            with suppress(Unavailable):  # the hub's next check retries
                parts.append(await self._read_log())
        return b"".join(parts)

    async def _read_log(self) -> bytes:
        body = await self._hub.read_log(self.tenant_id, self.job_id)
        if body is None:  # it was retried after we had heard of its end, or its log is gone
            if not await self._hub.has_ended(self.tenant_id, self.job_id):
                return b""
            body = await self._hub.read_log(self.tenant_id, self.job_id)
        self._ended = True
        frames = split_frames(body or b"")
        if len(frames) < self.seq:
            # Numbering restarted since the client left, or it names an event that never was: then the end is all it lacks.
            self.seq = 1 if any(RESTARTED in frame for frame in frames) else max(len(frames) - 1, 0)
        fresh = b"".join(frame for frame in frames if frame_seq(frame) > self.seq)
        self.seq = len(frames)
        return fresh
