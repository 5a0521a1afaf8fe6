"""What an OpenAI stream says when the attempt behind it is followed by another."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from api.http.errors import JobEnded
from api.http.vendor_formats.openai_chunks import Chunks
from api.openai.stream import ChunkStream
from schema.events import (
    Event,
    JobFailed,
    JobRestarted,
    JobStarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    Reason,
    ReasoningDelta,
    encode_frame,
)


class Told:
    """A follower that tells these events, one chunk each."""

    def __init__(self, *events: Event) -> None:
        self.job_id = uuid4()
        self._events = events

    async def __aenter__(self) -> "Told":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def chunks(self, *, heartbeat_s: float | None) -> AsyncIterator[bytes]:
        for seq, event in enumerate(self._events, start=1):
            yield encode_frame(event, self.job_id, seq, "now")


def restarted(discard_after: int) -> JobRestarted:
    return JobRestarted(attempt=2, reason="worker lost", discard_after=discard_after, worker="w2")


async def said(*events: Event) -> list[dict[str, Any]]:
    """Return the chunks of a stream, `[DONE]` left out."""
    told = Told(*events)
    stream = ChunkStream(told, Chunks(told.job_id, "m", include_usage=False), include_usage=False)
    data = b"".join([chunk async for chunk in stream.read()])
    return [json.loads(line[6:]) for line in data.decode().split("\n\n") if line.startswith("data: {")]


def words(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if "choices" in chunk)


STARTED = JobStarted(attempt=1, worker="w1")


async def test_words_that_come_again_are_swallowed() -> None:
    chunks = await said(
        STARTED,
        MessageDelta(text="The water "),
        MessageDelta(text="flows"),
        restarted(1),
        MessageDelta(text="The "),
        MessageDelta(text="water flows down."),
        MessageCompleted(text="The water flows down."),
        JobSucceeded(),
    )
    assert "The water flows down." == words(chunks)
    assert "stop" == chunks[-1]["choices"][0]["finish_reason"]


async def test_words_that_still_hold_after_a_restart_go_on() -> None:
    chunks = await said(
        MessageDelta(text="The water "),
        restarted(1),
        MessageDelta(text="flows."),
        MessageCompleted(text="The water flows."),
        JobSucceeded(),
    )
    assert "The water flows." == words(chunks)


@pytest.mark.parametrize(
    "again",
    [
        [MessageDelta(text="The river ")],
        [MessageDelta(text="The"), MessageCompleted(text="The"), JobSucceeded()],
        [MessageCompleted(text="Else"), JobSucceeded()],
    ],
)
async def test_other_words_end_the_stream_with_an_error(again: list[Event]) -> None:
    chunks = await said(STARTED, MessageDelta(text="The water "), restarted(1), *again)
    assert "The water " == words(chunks)
    assert "stream_restarted" == chunks[-1]["error"]["code"]


async def test_a_tool_call_that_was_begun_can_not_be_told_again() -> None:
    piece = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    chunks = await said(STARTED, MessageDelta(tool_calls=[piece]), restarted(1))
    assert "stream_restarted" == chunks[-1]["error"]["code"]


async def test_thoughts_are_not_told_twice() -> None:
    chunks = await said(
        ReasoningDelta(text="Hm."),
        restarted(0),
        ReasoningDelta(text="Hm again."),
        MessageDelta(text="Yes"),
        MessageCompleted(text="Yes"),
        JobSucceeded(),
    )
    thoughts = [chunk["choices"][0]["delta"].get("reasoning_content") for chunk in chunks]
    assert ["Hm."] == [thought for thought in thoughts if thought]


async def test_an_answer_without_deltas_is_said_at_its_end() -> None:
    chunks = await said(STARTED, MessageCompleted(text="All at once."), JobSucceeded())
    assert "All at once." == words(chunks)


async def test_a_failure_after_the_first_word_is_an_error_chunk() -> None:
    failed = JobFailed(error=Reason(code="provider_cut", message="The stream ended early."))
    chunks = await said(MessageDelta(text="The "), failed)
    assert ("provider_cut", "The stream ended early.") == (
        chunks[-1]["error"]["code"],
        chunks[-1]["error"]["message"],
    )


async def test_a_failure_before_the_first_word_is_raised() -> None:
    with pytest.raises(JobEnded) as raised:
        await said(STARTED, JobFailed(error=Reason(code="model_unknown", message="No such model.")))
    assert "model_unknown" == raised.value.code
