"""Builds a complete answer in OpenAI's format from a job's events."""

from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET

from api.chat.await_answer import ANSWER_EVENTS, Answer
from api.http.cost_header import cost_header
from api.http.vendor_formats.openai_chunks import LogprobsOut, completion_out
from schema.events import (
    JobRestarted,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    UsageRecorded,
    decode_event,
    read_frames,
)
from workers.stream.follow import Follower

RELEVANT_EVENTS = ANSWER_EVENTS | {JobRestarted.type, ReasoningDelta.type}


class WholeCompletion(NamedTuple):
    """A completion, and the header that says what it cost."""

    body: msgspec.Raw
    headers: dict[str, str]


Pieces = list[tuple[int, ReasoningDelta | MessageDelta]]


class BuildCompletion(Protocol):
    """Builds an answer in one of OpenAI's formats."""

    def __call__(
        self,
        job_id: UUID,
        model: str,
        message: MessageCompleted,
        usage: UsageRecorded | None,
        reasoning: str,
        logprobs: LogprobsOut | None,
        /,
    ) -> msgspec.Raw:
        """Return the answer as JSON."""
        ...


async def collect_completion(
    follower: Follower, model: str, *, logprobs: bool = False, build: BuildCompletion = completion_out
) -> WholeCompletion:
    """Follow a job to its end and return its completion; with `logprobs`, those that its deltas have too. Raises JobEnded if
    it fails or is cancelled."""
    answer, pieces = Answer(str(follower.job_id)), Pieces()
    relevant = RELEVANT_EVENTS | ({MessageDelta.type} if logprobs else set())
    async with follower:
        async for chunk in follower.chunks(heartbeat_s=None):
            for frame in read_frames(chunk):
                if frame.type in relevant:
                    event = decode_event(frame)
                    answer.add(event)
                    if isinstance(event, ReasoningDelta | MessageDelta):
                        pieces.append((frame.seq, event))
                    elif isinstance(event, JobRestarted):
                        pieces = [piece for piece in pieces if piece[0] <= event.discard_after]
    message = answer.message or MessageCompleted(text="")
    reasoning = "".join(event.text for _, event in pieces if isinstance(event, ReasoningDelta))
    body = build(follower.job_id, model, message, answer.usage, reasoning, _logprobs(pieces))
    return WholeCompletion(body, cost_header(answer.usage.cost_usd if answer.usage else UNSET))


def _logprobs(pieces: Pieces) -> LogprobsOut | None:
    """Return the logprobs of all pieces, or None if none has any."""
    told = [event for _, event in pieces if isinstance(event, MessageDelta) and event.logprobs]
    content = [token for event in told if not event.refusal for token in event.logprobs or ()]
    refusal = [token for event in told if event.refusal for token in event.logprobs or ()]
    return LogprobsOut(content=content or None, refusal=refusal or None) if told else None
