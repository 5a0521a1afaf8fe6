"""Streams the events of a response while its job runs, or again after its end.

The fold begins with the job's first event in any case; events that the client has are dropped. Nothing is added to them but
comments, which have no number.
"""

import asyncio
from collections.abc import AsyncGenerator

from api.http.shutdown import ServerStopping
from api.openai.responses.fold import ResponseFold
from api.openai.responses.frames import collect_frames, fold_frames
from api.openai.responses.stored_request import StoredRequest
from schema.events import read_frames
from workers.stream.follow import Follower, SlowReader

HEARTBEAT_S = 15.0
WORKING = b": working\n\n"
FRAMES_AT_ONCE = 500
"""Frames after which others get a turn: a long log is folded at once."""

RENUMBERED = "The events of this response were numbered anew after an outage. Retrieve the response again."


class Renumbered(Exception):
    """The job's events are numbered anew, so the client's numbers are void."""


class ResponseStream:
    """A stream of a response's events after number `after`. `ended` is true once the job has ended, whatever the client has
    received."""

    def __init__(self, follower: Follower, request: StoredRequest, *, after: int = -1) -> None:
        self.ended = False
        self._follower, self._request, self._after = follower, request, after
        self._fold = ResponseFold(follower.job_id, request)

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield events, several at a time, and comments in silence."""
        if self._request.is_whole:
            async for part in self._read_whole():
                yield part
            return
        async with self._follower as follower:
            try:
                async for chunk in follower.chunks(heartbeat_s=HEARTBEAT_S):
                    if output := await self._convert(chunk):
                        yield output
                    elif chunk.startswith(b":"):
                        yield WORKING
                    if self._fold.ended:
                        break
                self.ended = self._fold.job_ended
            except (SlowReader, ServerStopping) as error:
                yield self._fold.tell_error(error.code, error.message)
            except Renumbered:
                yield self._fold.tell_error("stream_restarted", RENUMBERED)

    async def _convert(self, chunk: bytes) -> bytes:
        events: list[bytes] = []
        for place, frame in enumerate(read_frames(chunk), 1):
            if frame.seq <= self._fold.seq and not self._fold.ended:
                raise Renumbered
            number = self._fold.number
            events += self._fold.add(frame)[max(0, self._after + 1 - number) :]
            if place % FRAMES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return b"".join(events)

    async def _read_whole(self) -> AsyncGenerator[bytes, None]:
        """Yield all events at the end: before it, nobody knows which words stay."""
        loop = asyncio.get_running_loop()
        collecting = loop.create_task(collect_frames(self._follower), name="collect-response")
        try:
            while not (await asyncio.wait((collecting,), timeout=HEARTBEAT_S))[0]:
                yield WORKING
            _, events = fold_frames(self._follower.job_id, self._request, collecting.result())
            self.ended = True
            yield b"".join(events[self._after + 1 :])
        except ServerStopping as error:
            yield self._fold.tell_error(error.code, error.message)
        finally:
            collecting.cancel()
            await asyncio.wait((collecting,))
