"""Jobs as responses are made of them, at random: the frames that a worker would write, in any order that can happen."""

import random
from uuid import UUID

from api.openai.responses.stored_request import StoredRequest
from schema.events import (
    CitationAdded,
    Event,
    JobCancelled,
    JobFailed,
    JobQueued,
    JobRestarted,
    JobStarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    ReasoningDelta,
    ToolFinished,
    ToolStarted,
    UsageRecorded,
    encode_frame,
)
from schema.events.base import Reason

WORDS = ("water ", "flows ", "down ", "the ", "channel ", "là ", "🌊 ", '"so" ')


def random_request(rng: random.Random) -> StoredRequest:
    """Return a request that is streamed, or runs in the background, or both."""
    stream, background = rng.choice(((True, False), (False, True), (True, True)))
    include = rng.choice(([], ["reasoning.encrypted_content"]))
    return StoredRequest(stream=stream, background=background, include=include, text={}, reasoning={})


def random_frames(rng: random.Random, job_id: UUID) -> bytes:
    """Return all frames of a job that answers, calls, fails, or is cancelled, perhaps after lost attempts."""
    said = [rng.choice(WORDS) for _ in range(rng.randint(0, 12))]
    events: list[Event] = [JobQueued(kind="chat", model="openai/m"), JobStarted(attempt=1, worker="w")]
    steps = _steps(rng, said)
    for lost in range(rng.choice((0, 0, 1, 2))):
        cut = rng.randint(0, len(steps))
        events += [event for event in steps[:cut] if not _calls(event)]
        changed = MessageDelta(text="Other words") if rng.random() < 0.2 else None
        events += [JobRestarted(attempt=lost + 2, reason="worker_lost", discard_after=2, worker="v")]
        events += [changed] if changed else []
        if changed:
            events.append(JobRestarted(attempt=lost + 3, reason="worker_lost", discard_after=2, worker="v"))
    cut = len(steps) if rng.random() < 0.7 else rng.randint(0, len(steps))
    events += steps[:cut]
    events += _end(rng, said) if cut == len(steps) else [rng.choice((_failed(rng), JobCancelled()))]
    return b"".join(
        encode_frame(event, job_id, seq, f"2026-01-31T12:00:{seq % 60:02d}.000Z") for seq, event in enumerate(events, 1)
    )


def _steps(rng: random.Random, said: list[str]) -> list[Event]:
    steps: list[Event] = [ReasoningDelta(text=rng.choice(WORDS)) for _ in range(rng.randint(0, 3))]
    for place, word in enumerate(said):
        if rng.random() < 0.15:
            steps.append(ToolStarted(call_id=f"call_{place}", name="look", arguments={"at": word}))
            steps.append(ToolFinished(call_id=f"call_{place}", name="look", ok=rng.random() < 0.7, output=word))
        steps.append(MessageDelta(text=word))
        if rng.random() < 0.1:
            steps.append(CitationAdded(document_id=f"d{place}", document="P.pdf", number=place))
    if rng.random() < 0.1:
        steps.append(MessageDelta(refusal="No."))
    if rng.random() < 0.3:
        steps += _call_pieces(rng)
    return steps


def _call_pieces(rng: random.Random) -> list[Event]:
    begun = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": ""}} for n in range(rng.randint(1, 3))]
    pieces = [{"index": rng.randrange(len(begun)), "function": {"arguments": "{}"}} for _ in range(4)]
    return [MessageDelta(tool_calls=[piece]) for piece in (*begun, *pieces)]


def _calls(event: Event) -> bool:
    return isinstance(event, MessageDelta) and bool(event.tool_calls)


def _failed(rng: random.Random) -> JobFailed:
    code = rng.choice(("provider_refused", "provider_rate_limited", "internal", "context_length_exceeded"))
    return JobFailed(error=Reason(code=code, message="It failed.", retry_after_s=rng.choice((None, 7.0))))


def _end(rng: random.Random, said: list[str]) -> list[Event]:
    reason = rng.choice(("stop", "stop", "length", "content_filter"))
    sealed = rng.choice((None, "k.blob"))
    completed = MessageCompleted(text="".join(said), finish_reason=reason, sealed_reasoning=sealed)
    usage = UsageRecorded(
        model="openai/m", input_tokens=3, output_tokens=len(said), cached_tokens=1, reasoning_tokens=2
    )
    return [completed, usage, JobSucceeded()]
