"""A job's events as a response (S1–S4)."""

from collections.abc import AsyncGenerator

import msgspec

from api.http.sse import EventStream
from api.resources import Resources
from workers.stream.follow import Follower, SlowReader


def follow_stream(resources: Resources, follower: Follower, headers: dict[str, str]) -> EventStream:
    """Return the response that sends what `follower` hears until the job ends; a client that leaves cancels nothing."""
    return EventStream(_frames(follower), streams=resources.streams, headers=headers)


async def _frames(follower: Follower) -> AsyncGenerator[bytes, None]:
    async with follower:
        try:
            async for chunk in follower.chunks():
                yield chunk
        except SlowReader as slow:
            yield closed_frame("slow_client", slow.resume_after)


def closed_frame(reason: str, resume_after: int) -> bytes:
    """Return a last frame that is no event of the job: it has no id, so clients resume where they were."""
    return b"event: stream.closed\ndata: %s\n\n" % msgspec.json.encode({"reason": reason, "resume_after": resume_after})
