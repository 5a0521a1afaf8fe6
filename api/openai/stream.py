"""A job's events as OpenAI's chunks.

The first item comes with the first word: until then the HTTP status is still open, so that errors are statuses, as
OpenAI's SDKs expect. After `HOLD_S` without a word a comment comes instead, so that no proxy gives up.
"""

import asyncio
from collections.abc import AsyncGenerator

from api.http.errors import JobEnded, status_of
from api.http.openai_chunks import DONE, Chunks, error_chunk
from api.http.openai_errors import error_out
from api.openai.replay_dedup import ReplayDedup, ReplayMismatch
from schema.events import (
    Event,
    JobCancelled,
    JobFailed,
    JobProgress,
    JobRestarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    UsageRecorded,
    decode_event,
    read_frames,
)
from workers.stream.follow import Follower, SlowReader

HOLD_S = 10.0
HEARD = {
    event.type
    for event in (
        JobCancelled,
        JobFailed,
        JobProgress,
        JobRestarted,
        JobSucceeded,
        MessageCompleted,
        MessageDelta,
        ReasoningDelta,
        UsageRecorded,
    )
}


class ChunkStream:
    """One stream of chunks. `ended` once the job has, whatever the client got of it."""

    def __init__(self, follower: Follower, model: str, *, include_usage: bool) -> None:
        self.ended = False
        self._follower = follower
        self._chunks = Chunks(follower.job_id, model, include_usage=include_usage)
        self._include_usage = include_usage
        self._told = ReplayDedup()
        self._begun = False
        self._message = MessageCompleted(text="")
        self._usage: UsageRecorded | None = None

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield chunks. Raises JobEnded for a job that fails before anything was yielded; later errors are yielded."""
        loop = asyncio.get_running_loop()
        quiet_until = loop.time() + HOLD_S
        committed = False
        async with self._follower as follower:
            try:
                async for chunk in follower.chunks(heartbeat_s=HOLD_S):
                    said = self._retell(chunk)
                    if not said and (committed or loop.time() > quiet_until):
                        said = b": working\n\n"
                    if said:
                        committed = True
                        yield said
            except JobEnded as error:
                if not committed:
                    raise
                yield _failure(error.code, error.message)
            except ReplayMismatch:
                yield _failure(
                    "stream_restarted",
                    "The answer was restarted and differs. Send the request again.",
                )
            except SlowReader as error:
                yield _failure(error.code, error.message)

    def _retell(self, chunk: bytes) -> bytes:
        """Return the chunks that come of some frames."""
        parts = [self._one(frame.seq, decode_event(frame)) for frame in read_frames(chunk) if frame.type in HEARD]
        said = b"".join(parts)
        if said and not self._begun:
            self._begun = True
            return self._chunks.role() + said
        return said

    def _one(self, seq: int, event: Event) -> bytes:
        match event:
            case MessageDelta():
                return self._delta(seq, event)
            case ReasoningDelta():
                thought = self._told.reasoning(event)
                return self._chunks.reasoning(thought) if thought else b""
            case JobRestarted():
                self._told.restart(event)
            case MessageCompleted():
                self._message = event
            case UsageRecorded():
                self._usage = event
            case JobSucceeded():
                return self._end()
            case JobFailed():
                self.ended = True
                raise JobEnded(event.error.code, event.error.message, str(self._follower.job_id))
            case JobCancelled():
                self.ended = True
                raise JobEnded("cancelled", "The job was cancelled before it finished.", str(self._follower.job_id))
        return b""

    def _delta(self, seq: int, event: MessageDelta) -> bytes:
        said = b""
        if event.text and (new := self._told.text(seq, event)):
            said = self._chunks.text(new)
        if event.tool_calls:
            said += self._chunks.tool_calls(self._told.tool_calls(event))
        return said

    def _end(self) -> bytes:
        self.ended = True
        rest = self._told.rest(self._message)
        said = self._chunks.text(rest) if rest else b""
        said += self._chunks.finish(self._message.finish_reason, self._message.notice)
        if self._include_usage:
            said += self._chunks.usage(self._usage)
        return said + DONE


def _failure(code: str, message: str) -> bytes:
    return error_chunk(error_out(status_of(code, openai=True), message, code=code))
