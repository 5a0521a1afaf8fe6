"""The events of a response are a function of its job's: whoever reads them when, and in what pieces, gets the same bytes."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import uuid4

import httpx
import openai
import pytest

from api.openai.responses.fold import ResponseFold
from api.openai.responses.frames import fold_frames
from api.openai.responses.lookup import fold_now
from api.openai.responses.response_stream import WORKING, ResponseStream
from api.openai.responses.stored_request import StoredRequest
from schema.events import (
    JobQueued,
    JobRestarted,
    JobStarted,
    JobSucceeded,
    MessageCompleted,
    MessageDelta,
    encode_frame,
    read_frames,
    split_frames,
)
from tests.api.openai.response_jobs import random_frames, random_request
from workers.stream.follow import KEEP_ALIVE

JOBS = 150
AT = "2026-01-31T12:00:00.000Z"


class Reader:
    """A follower that gives frames in pieces as they might come, with silence between them."""

    def __init__(self, frames: bytes, rng: random.Random, job_id: Any) -> None:
        self.job_id, self._frames, self._rng = job_id, split_frames(frames), rng

    async def __aenter__(self) -> "Reader":
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def chunks(self, *, heartbeat_s: float | None) -> AsyncIterator[bytes]:
        while self._frames:
            if heartbeat_s and self._rng.random() < 0.2:
                yield KEEP_ALIVE
            count = self._rng.randint(1, 5)
            taken, self._frames = self._frames[:count], self._frames[count:]
            yield b"".join(taken)


async def read(frames: bytes, request: StoredRequest, rng: random.Random, job_id: Any, after: int = -1) -> list[bytes]:
    reader: Any = Reader(frames, rng, job_id)
    parts = [part async for part in ResponseStream(reader, request, after=after).read()]
    return split_frames(b"".join(parts).replace(WORKING, b""))


async def test_late_joins_and_resumes_differ_in_nothing() -> None:
    rng, resumes = random.Random(seed := random.randrange(1 << 32)), 0
    print(f"seed {seed}")
    for _ in range(JOBS):
        job_id, request = uuid4(), random_request(rng)
        frames = random_frames(rng, job_id)
        live = await read(frames, request, rng, job_id)
        assert list(range(len(live))) == [json.loads(event.split(b"data: ")[1])["sequence_number"] for event in live]
        for after in {-1, 0, len(live) - 1, len(live), *(rng.randrange(len(live)) for _ in range(6))}:
            assert live[after + 1 :] == await read(frames, request, rng, job_id, after)
            resumes += 1
    assert resumes > JOBS


async def test_the_last_event_says_what_the_job_came_to() -> None:
    rng = random.Random(7)
    ends = set()
    for _ in range(JOBS):
        job_id, request = uuid4(), random_request(rng)
        fold, events = fold_frames(job_id, request, read_frames(random_frames(rng, job_id)))
        last = json.loads(events[-1].split(b"data: ")[1])
        ends.add((last["type"], fold.status))
        assert all(item.get("status") != "in_progress" for item in last["response"]["output"])
        assert json.loads(json.dumps(last["response"]["output"])) == fold.response().output
    assert {
        ("response.completed", "completed"),
        ("response.incomplete", "incomplete"),
        ("response.incomplete", "cancelled"),
        ("response.failed", "failed"),
    } == ends


@pytest.mark.parametrize("seed", range(40))
def test_the_sdk_accumulates_every_stream_to_the_same_response(seed: int) -> None:
    """The SDK raises for events in a wrong order, of unknown items, or without their beginning."""
    rng, job_id = random.Random(seed), uuid4()
    request = StoredRequest(stream=True, text={}, reasoning={})
    fold, events = fold_frames(job_id, request, read_frames(random_frames(rng, job_id)))
    with sdk_that_reads(events) as sdk, sdk.responses.stream(model="m", input="hi") as stream:
        seen = list(stream)
        wanted = {"completed": "response.completed", "failed": "response.failed"}.get(
            fold.status, "response.incomplete"
        )
        assert wanted == seen[-1].type
        if fold.status == "completed":
            told = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
            assert told == stream.get_final_response().output_text


def sdk_that_reads(events: list[bytes]) -> openai.OpenAI:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(events))

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(base_url="http://test/v1", api_key="x", http_client=http)


def frames_of(*events: Any) -> Iterator[Any]:
    job_id = uuid4()
    return read_frames(b"".join(encode_frame(event, job_id, seq, AT) for seq, event in enumerate(events, 1)))


def test_an_attempt_that_answers_differently_ends_the_stream_for_everybody() -> None:
    fold = ResponseFold(uuid4(), StoredRequest(stream=True, text={}, reasoning={}))
    restarted = JobRestarted(attempt=2, reason="worker_lost", discard_after=2, worker="v")
    queued, started = JobQueued(kind="chat", model="openai/m"), JobStarted(attempt=1, worker="w")
    for frame in frames_of(queued, started, MessageDelta(text="Yes"), restarted, MessageDelta(text="No")):
        fold.add(frame)
    error = fold.response().error
    assert ("failed", "stream_restarted", False) == (fold.status, error and error.code, fold.job_ended)


def test_a_response_that_nobody_watches_is_what_the_last_attempt_said() -> None:
    restarted = JobRestarted(attempt=2, reason="worker_lost", discard_after=2, worker="v")
    queued, started = JobQueued(kind="chat", model="openai/m"), JobStarted(attempt=1, worker="w")
    frames = frames_of(queued, started, MessageDelta(text="Yes"), restarted, MessageDelta(text="No"))
    fold, _ = fold_frames(uuid4(), StoredRequest(text={}, reasoning={}), frames)
    assert "No" == fold.response().output[0]["content"][0]["text"]


async def test_a_response_that_is_asked_for_later_is_what_the_last_attempt_said() -> None:
    """Also one in the background, whose job has succeeded, whatever a stream of it was told."""
    restarted = JobRestarted(attempt=2, reason="worker_lost", discard_after=2, worker="v")
    queued, started = JobQueued(kind="chat", model="openai/m"), JobStarted(attempt=1, worker="w")
    said = (MessageDelta(text="Yes"), restarted, MessageDelta(text="No"), MessageCompleted(text="No"), JobSucceeded())
    job = SimpleNamespace(id=uuid4(), state="succeeded", created_at=datetime.now(UTC), kind="chat", model="openai/m")
    job.session_id = job.agent = None
    log = b"".join(encode_frame(event, job.id, seq, AT) for seq, event in enumerate((queued, started, *said), 1))
    hub = SimpleNamespace(read_log=AsyncMock(return_value=log))
    resources: Any = SimpleNamespace(core=SimpleNamespace(hub=hub))
    caller: Any = SimpleNamespace(tenant_id=uuid4())
    for request in (StoredRequest(text={}, reasoning={}, background=True, stream=streams) for streams in (False, True)):
        fold = await fold_now(resources, caller, cast(Any, job), request)
        assert ("completed", "No") == (fold.status, fold.response().output[0]["content"][0]["text"])
