"""Reads the numbered frames of a response's job, from which the events of the Responses API are made."""

from collections.abc import Iterable
from uuid import UUID

from api.openai.responses.fold import ResponseFold
from api.openai.responses.stored_request import StoredRequest
from schema.events import Frame, JobRestarted, MessageDelta, ReasoningDelta, decode_event, read_frames
from workers.stream.follow import Follower

WORDS = frozenset({MessageDelta.type, ReasoningDelta.type})


def settled(frames: Iterable[Frame]) -> list[Frame]:
    """Return frames without the words of attempts that were lost, as if the last attempt had been the only one."""
    kept: list[Frame] = []
    for frame in frames:
        if frame.type == JobRestarted.type:
            restarted = decode_event(frame)
            assert isinstance(restarted, JobRestarted)
            kept = [one for one in kept if one.seq <= restarted.discard_after or one.type not in WORDS]
        else:
            kept.append(frame)
    return kept


def fold_frames(job_id: UUID, request: StoredRequest, frames: Iterable[Frame]) -> tuple[ResponseFold, list[bytes]]:
    """Return a response as it is after these frames, and its events."""
    fold = ResponseFold(job_id, request)
    return fold, [event for frame in (settled(frames) if request.is_whole else frames) for event in fold.add(frame)]


async def collect_frames(follower: Follower) -> list[Frame]:
    """Follow a job to its end, and return its frames. Closes the follower."""
    frames: list[Frame] = []
    async with follower:
        async for chunk in follower.chunks(heartbeat_s=None):
            for frame in read_frames(chunk):
                if frames and frame.seq <= frames[-1].seq:  # numbering started over
                    frames = [one for one in frames if one.seq < frame.seq]
                frames.append(frame)
    return frames
