"""Converts a job's events to OpenAI's chunks.

Nothing is sent before the first word, so that earlier errors can still set the HTTP status, as OpenAI's SDKs expect. After
`HOLD_HEADERS_S` without one a comment is sent, so that no proxy times out.
"""

import asyncio
from collections.abc import AsyncGenerator

from api.http.errors import JobEnded, status_for_code
from api.http.vendor_formats.openai_chunks import DONE, Chunks, error_chunk, returned_extra
from api.http.vendor_formats.openai_errors import error_out, vendor_words
from api.openai.replay_dedup import ReplayDedup, ReplayMismatch
from api.openai.text_chunks import TextChunks
from schema.events import (
    ChoiceDelta,
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

HOLD_HEADERS_S = 10.0
RELEVANT_EVENTS = {
    event.type
    for event in (
        ChoiceDelta,
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
    """A stream of chunks. `ended` is true once the job has ended, whatever the client has received."""

    def __init__(self, follower: Follower, chunks: Chunks | TextChunks, *, include_usage: bool) -> None:
        self.ended = False
        self._follower = follower
        self._chunks = chunks
        self._include_usage = include_usage
        self._dedup = ReplayDedup()
        self._started = False
        self._message = MessageCompleted(text="")
        self._usage: UsageRecorded | None = None

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield chunks. Raises JobEnded if the job fails before anything was yielded; later errors are yielded as chunks."""
        loop = asyncio.get_running_loop()
        hold_until = loop.time() + HOLD_HEADERS_S
        committed = False
        async with self._follower as follower:
            try:
                async for chunk in follower.chunks(heartbeat_s=HOLD_HEADERS_S):
                    output = self._convert(chunk)
                    if not output and (committed or loop.time() > hold_until):
                        output = b": working\n\n"
                    if output:
                        committed = True
                        yield output
            except JobEnded as error:
                if not committed:
                    raise
                yield _error_chunk(error.code, error.message, error.vendor_code, error.vendor_param)
            except ReplayMismatch:
                yield _error_chunk(
                    "stream_restarted",
                    "The answer was restarted and differs. Send the request again.",
                )
            except SlowReader as error:
                yield _error_chunk(error.code, error.message)

    def _convert(self, chunk: bytes) -> bytes:
        """Convert the frames in `chunk`; empty if none of them is relevant."""
        parts = [
            self._convert_event(frame.seq, decode_event(frame))
            for frame in read_frames(chunk)
            if frame.type in RELEVANT_EVENTS
        ]
        output = b"".join(parts)
        if output and not self._started:
            self._started = True
            return self._chunks.role() + output
        return output

    def _convert_event(self, seq: int, event: Event) -> bytes:
        match event:
            case MessageDelta():
                return self._delta(seq, event)
            case ChoiceDelta():
                self._dedup.choice()
                return self._chunks.choice(event)
            case ReasoningDelta():
                reasoning = self._dedup.reasoning(event)
                return self._chunks.reasoning(reasoning) if reasoning else b""
            case JobRestarted():
                self._dedup.restart(event)
            case MessageCompleted():
                self._message = event
            case UsageRecorded():
                self._usage = event
            case JobSucceeded():
                return self._end()
            case JobFailed():
                self.ended = True
                raise JobEnded.by(event.error, str(self._follower.job_id))
            case JobCancelled():
                self.ended = True
                raise JobEnded("cancelled", "The job was cancelled before it finished.", str(self._follower.job_id))
        return b""

    def _delta(self, seq: int, event: MessageDelta) -> bytes:
        output = b""
        if event.text or (event.logprobs and not event.refusal):  # half a character is a token, and no text yet
            unsent = self._dedup.text(seq, event)
            logprobs = event.logprobs if unsent == event.text else None
            output = self._chunks.text(unsent, logprobs) if unsent or logprobs else b""
        if event.refusal and (unsent := self._dedup.refusal(event)):
            output += self._chunks.refusal(unsent, event.logprobs if unsent == event.refusal else None)
        if event.tool_calls:
            output += self._chunks.tool_calls(self._dedup.tool_calls(event))
        return output

    def _end(self) -> bytes:
        self.ended = True
        remaining_text = self._dedup.remaining_text(self._message)
        output = self._chunks.text(remaining_text) if remaining_text else b""
        self._chunks.answered(self._message, self._usage)
        if extra := returned_extra(self._message):
            output += self._chunks.vendor_fields(extra)
        output += self._chunks.finish(self._message.finish_reason, self._message.notice)
        if self._include_usage:
            output += self._chunks.usage(self._usage)
        return output + DONE


def _error_chunk(code: str, message: str, vendor_code: str | None = None, param: str | None = None) -> bytes:
    status = status_for_code(code, openai=True)
    return error_chunk(error_out(status, message, code=vendor_words(code, vendor_code), param=param))
