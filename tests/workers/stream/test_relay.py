"""Publishing: batching, dense numbers, fences, and a Redis that forgets or goes away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import redis

from schema import events, redis_names
from schema.events import read_frames
from schema.ids import new_id
from workers.redis.client import RedisClient
from workers.redis.connection import RedisAddress
from workers.stream import relay as relays
from workers.stream.batches import read_batch
from workers.stream.relay import JobStream, Relay, fresh_history, join_deltas

TENANT = new_id()


class CountingWire(RedisClient):
    """A wire that counts its writes and can be held up, to see what gathers meanwhile."""

    def __init__(self, address: RedisAddress) -> None:
        super().__init__(address)
        self.writes = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, commands: Any) -> list[Any]:
        await self.gate.wait()
        self.writes += 1
        return await super().send(commands)


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[CountingWire]:
    redis_client = CountingWire(RedisAddress.from_url(redis_url))
    yield redis_client
    await redis_client.close()


@pytest.fixture
def client(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def stream(
    redis_client: RedisClient, job_id: UUID | None = None, attempt: int = 1, relay: Relay | None = None, **changes: Any
) -> JobStream:
    job_id = job_id or new_id()
    history = fresh_history(job_id, datetime.now(UTC), events.JobQueued(kind="chat"))
    return JobStream(
        relay or Relay(redis_client),
        TENANT,
        job_id,
        **{"attempt": attempt, "inbox": None, "history": history, **changes},
    )


def stored(client: Any, job_id: UUID) -> list[events.Frame]:
    entries = client.xrange(redis_names.job_events(TENANT, job_id))
    return [frame for _, fields in entries for frame in read_frames(read_batch(fields[b"p"]).body)]


def words(frames: list[events.Frame]) -> str:
    deltas = [events.decode_event(frame) for frame in frames if frame.type == "message.delta"]
    return "".join(delta.text for delta in deltas if isinstance(delta, events.MessageDelta))


async def test_what_several_streams_say_in_a_moment_goes_out_together(
    redis_client: CountingWire, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "GATHER_S", 0.5)
    relay = Relay(redis_client)
    outs = [stream(redis_client, relay=relay) for _ in range(5)]
    redis_client.gate.clear()
    for out in outs:
        out.put(events.MessageDelta(text="a"))
    redis_client.gate.set()
    assert all([await out.flushed(5) for out in outs])  # now it gathers
    written = redis_client.writes
    for out in outs:
        out.put(events.MessageDelta(text="b"))
        await asyncio.sleep(0.001)  # each comes by itself, as from models that answer at their own pace
    assert all([await out.flushed(5) for out in outs])
    assert ["ab"] * 5 == [words(stored(client, out.job_id)) for out in outs]
    assert 1 == redis_client.writes - written


async def test_what_meets_during_a_write_goes_out_as_one_event(redis_client: CountingWire, client: Any) -> None:
    out = stream(redis_client)
    out.put(events.JobStarted(attempt=1, worker="w"))
    assert await out.flushed(5)
    redis_client.gate.clear()
    before = redis_client.writes
    for number in range(1000):
        out.put(events.MessageDelta(text=f"{number} "))
        if number % 100 == 0:
            await asyncio.sleep(0)
    redis_client.gate.set()
    assert await out.flushed(5)
    frames = stored(client, out.job_id)
    assert "".join(f"{number} " for number in range(1000)) == words(frames)
    assert list(range(1, len(frames) + 1)) == [frame.seq for frame in frames]
    assert redis_client.writes - before <= 3


async def test_at_rest_each_event_goes_out_by_itself(redis_client: CountingWire, client: Any) -> None:
    out = stream(redis_client)
    for number in range(5):
        out.put(events.MessageDelta(text=str(number)))
        assert await out.flushed(5)
    assert 1 + 5 == len(stored(client, out.job_id))


async def test_a_newer_attempt_fences_the_older(redis_client: CountingWire, client: Any) -> None:
    fenced = []
    old = stream(redis_client, on_fenced=lambda: fenced.append(True))
    old.put(events.MessageDelta(text="old"))
    assert await old.flushed(5)
    history = await Relay(redis_client).take_over(TENANT, old.job_id, 2)
    assert history is not None
    new = stream(redis_client, old.job_id, attempt=2, history=history)
    old.put(events.MessageDelta(text="zombie"))
    new.put(events.MessageDelta(text="new"))
    assert await old.flushed(5)
    assert await new.flushed(5)
    assert (True, [True]) == (old.fenced, fenced)
    assert "oldnew" == words(stored(client, old.job_id))


async def test_an_old_attempt_cannot_take_over(redis_client: CountingWire) -> None:
    job_id = new_id()
    assert await Relay(redis_client).take_over(TENANT, job_id, 3) is not None
    assert await Relay(redis_client).take_over(TENANT, job_id, 2) is None


async def test_a_wiped_redis_gets_the_whole_stream_again_with_the_same_numbers(
    redis_client: CountingWire, client: Any
) -> None:
    out = stream(redis_client)
    out.put(events.MessageDelta(text="before "))
    assert await out.flushed(5)
    client.flushdb()
    client.script_flush()
    out.put(events.MessageDelta(text="after"))
    assert await out.flushed(5)
    frames = stored(client, out.job_id)
    assert ([1, 2, 3], "before after") == ([frame.seq for frame in frames], words(frames))


async def test_a_write_whose_answer_got_lost_is_not_doubled(redis_client: CountingWire, client: Any) -> None:
    out = stream(redis_client)
    out.put(events.MessageDelta(text="one "))
    assert await out.flushed(5)
    out.put(events.MessageDelta(text="two "))
    command = out.next_command()
    assert command is not None
    await redis_client.call("EVAL", (await _source()), *command)  # it reached Redis, and we never heard
    out.put(events.MessageDelta(text="three"))
    assert await out.flushed(5)
    frames = stored(client, out.job_id)
    assert ([1, 2, 3, 4], "one two three") == ([frame.seq for frame in frames], words(frames))


async def _source() -> str:
    from workers.stream.relay import APPEND

    return APPEND


async def test_nothing_is_lost_while_redis_is_away(unused_tcp_port: int, redis_url: str, client: Any) -> None:
    redis_client = RedisClient(RedisAddress(port=unused_tcp_port))
    out = stream(redis_client)
    for number in range(10):
        out.put(events.MessageDelta(text=str(number)))
        assert not await out.flushed(0.02)
    redis_client._address = RedisAddress.from_url(redis_url)  # it is back
    assert await out.flushed(10)
    assert "0123456789" == words(stored(client, out.job_id))
    await redis_client.close()


async def test_the_last_events_can_be_committed_before_they_are_published(
    redis_client: CountingWire, client: Any
) -> None:
    out = stream(redis_client)
    out.put(events.MessageDelta(text="all"))
    frames = out.preview([events.MessageCompleted(text="all"), events.JobSucceeded()])
    assert await out.flushed(5)
    assert [1, 2] == [frame.seq for frame in stored(client, out.job_id)]
    out.end(frames)
    assert await out.flushed(5)
    assert list(read_frames(b"".join(frames))) == stored(client, out.job_id)
    assert client.pttl(redis_names.job_events(TENANT, out.job_id)) <= 3600_000


def test_only_deltas_of_one_kind_in_a_row_are_joined() -> None:
    text, think = events.MessageDelta, events.ReasoningDelta
    call = events.MessageDelta(tool_calls=[{"index": 0}])
    started = events.ToolStarted(call_id="c", name="n")
    given = [
        text(text="a"),
        text(text="b"),
        think(text="c"),
        call,
        text(text="d"),
        started,
        text(text="e"),
        text(text="f"),
    ]
    expected = [text(text="ab"), think(text="c"), call, text(text="d"), started, text(text="ef")]
    assert expected == join_deltas(given)
