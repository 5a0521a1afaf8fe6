"""Streams a job's events as Server-Sent Events."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Response

from api.http.sse import EventStream
from api.resources import Resources
from workers.stream.follow import CutOff, Follower, SlowReader

Shown = Callable[[bytes], bytes]
"""What a client is shown of a chunk of whole frames."""


def follow_stream(
    resources: Resources, follower: Follower, headers: dict[str, str], *, shown: Shown | None = None, first: bytes = b""
) -> EventStream:
    """Return a response that streams the follower's events until the job ends, or what `shown` leaves of them, after the frame
    `first`. A client that disconnects cancels nothing."""
    frames = _frames(follower, shown)
    return EventStream(_continued(first, frames) if first else frames, shutdown=resources.shutdown, headers=headers)


async def resume_stream(
    resources: Resources, follower: Follower, headers: dict[str, str], *, shown: Shown | None = None
) -> Response[Any]:
    """The same for a client that has a part of the stream already. If nothing is left, the answer is 204: with any other,
    a browser's `EventSource` would come back for ever."""
    if not follower.joined_after_end:
        return follow_stream(resources, follower, headers, shown=shown)
    frames = _frames(follower, shown)
    first = await anext(frames, b"")
    if not first:
        return Response(None, status_code=204, headers=headers)
    return EventStream(_continued(first, frames), shutdown=resources.shutdown, headers=headers)


async def _continued(first: bytes, frames: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async with aclosing(frames):
        async for chunk in frames:
            yield chunk


async def _frames(follower: Follower, shown: Shown | None) -> AsyncGenerator[bytes, None]:
    async with follower:
        try:
            async for chunk in follower.chunks(resumable=True):
                if seen := chunk if shown is None else shown(chunk):
                    yield seen
        except SlowReader as slow:
            yield closed_frame("slow_client", slow.resume_after)
        except CutOff as lost:
            yield closed_frame("unavailable", lost.resume_after)


def closed_frame(reason: str, resume_after: int) -> bytes:
    """Return a final frame that is not an event of the job. It has no id, so clients resume after the last event they have."""
    return b"event: stream.closed\ndata: %s\n\n" % msgspec.json.encode({"reason": reason, "resume_after": resume_after})
