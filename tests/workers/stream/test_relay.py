"""The relay: batching, numbering, fencing, and a Redis that loses data or is unavailable."""

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
from tests.waiting import wait_for
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient
from workers.stream import relay as relays
from workers.stream.batches import read_batch
from workers.stream.deltas import merge_deltas
from workers.stream.relay import ENDED_TTL_MS, JobStream, Relay, new_history

TENANT = new_id()
NOW = datetime.now(UTC)


class CountingRedisClient(RedisClient):
    """Counts its writes, and can be paused to let events accumulate."""

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
async def redis_client(redis_url: str) -> AsyncIterator[CountingRedisClient]:
    redis_client = CountingRedisClient(RedisAddress.from_url(redis_url))
    yield redis_client
    await redis_client.close()


@pytest.fixture
def client(redis_url: str) -> Any:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def new_stream(
    redis_client: RedisClient,
    job_id: UUID | None = None,
    attempt: int = 1,
    relay: Relay | None = None,
    tenant_id: UUID = TENANT,
    **changes: Any,
) -> JobStream:
    job_id = job_id or new_id()
    history = new_history(job_id, datetime.now(UTC), events.JobQueued(kind="chat"))
    return JobStream(
        relay or Relay(redis_client),
        tenant_id,
        job_id,
        **{"attempt": attempt, "holder": f"holder {attempt}", "inbox": None, "history": history, **changes},
    )


def stored(client: Any, job_id: UUID) -> list[events.Frame]:
    entries = client.xrange(redis_names.job_events(TENANT, job_id))
    return [frame for _, fields in entries for frame in read_frames(read_batch(fields[b"p"]).body)]


def text_of(frames: list[events.Frame]) -> str:
    deltas = [events.decode_event(frame) for frame in frames if frame.type == "message.delta"]
    return "".join(delta.text for delta in deltas if isinstance(delta, events.MessageDelta))


async def test_events_of_several_streams_are_written_together(
    redis_client: CountingRedisClient, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "MAX_REST_S", 60)
    relay = Relay(redis_client)
    streams = [new_stream(redis_client, relay=relay) for _ in range(5)]
    redis_client.gate.clear()
    for job_stream in streams:
        job_stream.put(events.MessageDelta(text="a"))
    await asyncio.sleep(0.3)  # how long the write takes
    redis_client.gate.set()
    assert all([await job_stream.flush(5) for job_stream in streams])  # now the next one waits for as long
    written = redis_client.writes
    for job_stream in streams:
        job_stream.put(events.MessageDelta(text="b"))
        await asyncio.sleep(0)  # each comes by itself, as from models that answer at their own pace
    assert all([await job_stream.flush(5) for job_stream in streams])
    assert ["ab"] * 5 == [text_of(stored(client, job_stream.job_id)) for job_stream in streams]
    assert 1 == redis_client.writes - written


async def test_what_nobody_receives_is_written_together_until_somebody_does(
    redis_client: CountingRedisClient, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "UNREAD_INTERVAL_S", 3600)
    job_stream = new_stream(redis_client)
    assert await job_stream.flush(5)  # the first write tells that nobody is there
    written = redis_client.writes
    for word in ("one ", "two ", "three "):
        job_stream.put(events.MessageDelta(text=word))
        await asyncio.sleep(0.01)  # each comes by itself
    assert redis_client.writes == written, "it waits"
    with client.pubsub() as reader:
        reader.subscribe(redis_names.job_channel(TENANT, job_stream.job_id))
        assert reader.get_message(timeout=5)["type"] == "subscribe"
        assert await job_stream.flush(5), "what somebody waits for is written at once"
        assert redis_client.writes == written + 1
        assert "one two three " == text_of(stored(client, job_stream.job_id))
        job_stream.put(events.MessageDelta(text="four"))  # and now there is a reader
        await wait_for(lambda: redis_client.writes == written + 2, "the word is written without anybody's asking")
    assert "one two three four" == text_of(stored(client, job_stream.job_id))


async def test_what_nobody_receives_is_written_after_a_rest_and_its_end_at_once(
    redis_client: CountingRedisClient, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "UNREAD_INTERVAL_S", 0.05)
    job_stream = new_stream(redis_client)
    assert await job_stream.flush(5)
    job_stream.put(events.MessageDelta(text="one "))
    await wait_for(lambda: text_of(stored(client, job_stream.job_id)) == "one ", "it is written after its rest")
    monkeypatch.setattr(relays, "UNREAD_INTERVAL_S", 3600)
    job_stream.written_at -= 3600  # after a long silence a word is written at once
    job_stream.put(events.MessageDelta(text="two "))
    await wait_for(lambda: text_of(stored(client, job_stream.job_id)) == "one two ", "it is written")
    job_stream.put(events.MessageDelta(text="three"))
    job_stream.end(job_stream.preview([events.JobSucceeded()]))
    await wait_for(lambda: stored(client, job_stream.job_id)[-1].type == "job.succeeded", "its end is written")


async def test_a_tenant_with_many_streams_is_not_written_before_one_with_few(
    redis_client: CountingRedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, written = Relay(redis_client), list[set[UUID]]()
    write = Relay._write_batch

    async def note(self: Relay, streams: list[JobStream]) -> None:
        written.append({stream.tenant_id for stream in streams})
        assert len(streams) <= relays.MAX_STREAMS
        await write(self, streams)

    monkeypatch.setattr(Relay, "_write_batch", note)
    streams = [new_stream(redis_client, relay=relay) for _ in range(5 * relays.MAX_STREAMS)]
    late = new_stream(redis_client, relay=relay, tenant_id=new_id())
    for job_stream in [*streams, late]:
        job_stream.put(events.MessageDelta(text="a"))
    assert all([await job_stream.flush(5) for job_stream in [*streams, late]])
    assert late.tenant_id in written[0], written


async def test_deltas_that_accumulate_during_a_write_become_one_event(
    redis_client: CountingRedisClient, client: Any
) -> None:
    job_stream = new_stream(redis_client)
    job_stream.put(events.JobStarted(attempt=1, worker="w"))
    assert await job_stream.flush(5)
    redis_client.gate.clear()
    before = redis_client.writes
    for number in range(1000):
        job_stream.put(events.MessageDelta(text=f"{number} "))
        if number % 100 == 0:
            await asyncio.sleep(0)
    redis_client.gate.set()
    assert await job_stream.flush(5)
    frames = stored(client, job_stream.job_id)
    assert "".join(f"{number} " for number in range(1000)) == text_of(frames)
    assert list(range(1, len(frames) + 1)) == [frame.seq for frame in frames]
    assert redis_client.writes - before <= 3


async def test_when_idle_each_event_is_written_by_itself(redis_client: CountingRedisClient, client: Any) -> None:
    job_stream = new_stream(redis_client)
    for number in range(5):
        job_stream.put(events.MessageDelta(text=str(number)))
        assert await job_stream.flush(5)
    assert 1 + 5 == len(stored(client, job_stream.job_id))


async def test_a_newer_attempt_fences_an_older_one(redis_client: CountingRedisClient, client: Any) -> None:
    fenced = []
    old = new_stream(redis_client, on_fenced=lambda: fenced.append(True))
    old.put(events.MessageDelta(text="old"))
    assert await old.flush(5)
    history = await Relay(redis_client).take_over(TENANT, old.job_id, 2, holder="holder 2", created_at=NOW)
    assert history is not None
    new = new_stream(redis_client, old.job_id, attempt=2, history=history)
    old.put(events.MessageDelta(text="zombie"))
    new.put(events.MessageDelta(text="new"))
    assert await old.flush(5)
    assert await new.flush(5)
    assert (True, [True]) == (old.fenced, fenced)
    assert "oldnew" == text_of(stored(client, old.job_id))


async def test_an_old_attempt_cannot_take_over(redis_client: CountingRedisClient) -> None:
    job_id = new_id()
    assert await Relay(redis_client).take_over(TENANT, job_id, 3, holder="holder 3", created_at=NOW) is not None
    assert await Relay(redis_client).take_over(TENANT, job_id, 2, holder="holder 2", created_at=NOW) is None


async def test_of_two_holders_of_one_number_the_second_writes_nothing(
    redis_client: CountingRedisClient, client: Any
) -> None:
    """The same doorbell was answered twice, because Postgres had forgotten the first claim."""
    first = new_stream(redis_client, holder="first")
    first.put(events.MessageDelta(text="first"))
    assert await first.flush(5)
    second = new_stream(redis_client, first.job_id, holder="second")
    second.put(events.MessageDelta(text="second"))
    assert await second.flush(5)
    assert None is await Relay(redis_client).take_over(TENANT, first.job_id, 1, holder="second", created_at=NOW)
    first.put(events.MessageDelta(text=" and last"))
    assert await first.flush(5)
    assert (False, True) == (first.fenced, second.fenced)
    assert "first and last" == text_of(stored(client, first.job_id))


async def test_nobody_continues_what_another_wrote_into_a_wiped_redis(
    redis_client: CountingRedisClient, client: Any
) -> None:
    old = new_stream(redis_client)
    old.put(events.MessageDelta(text="old "))
    assert await old.flush(5)
    history = await Relay(redis_client).take_over(TENANT, old.job_id, 2, holder="holder 2", created_at=NOW)
    assert history is not None
    new = new_stream(redis_client, old.job_id, attempt=2, history=history)
    new.put(events.MessageDelta(text="new "))
    assert await new.flush(5)
    client.flushall()
    old.put(events.MessageDelta(text="zombie "))  # it has not heard of the other, and Redis does not know it
    assert await old.flush(5)
    new.put(events.MessageDelta(text="words"))
    assert await new.flush(5)
    assert "old new words" == text_of(stored(client, old.job_id))


async def test_a_stream_is_untouched_only_if_redis_has_forgotten_nothing_since_the_job_was_made(
    redis_client: CountingRedisClient, client: Any
) -> None:
    async def is_untouched(job_id: UUID, created_at: datetime) -> bool:
        history = await Relay(redis_client).take_over(TENANT, job_id, 2, holder="it", created_at=created_at)
        assert history is not None
        return history.untouched

    started_s = int(client.time()[0]) - client.info("server")["uptime_in_seconds"]
    born_s = client.time()[0] + 100
    client.set(redis_names.STARTED_AT, born_s)
    try:
        assert not await is_untouched(new_id(), datetime.fromtimestamp(born_s - 1, UTC))
        assert await is_untouched(job_id := new_id(), datetime.fromtimestamp(born_s + 2, UTC))
        assert not await is_untouched(job_id, datetime.fromtimestamp(born_s + 2, UTC))
        client.set(redis_names.STARTED_AT, started_s - 100)
        assert not await is_untouched(new_id(), datetime.fromtimestamp(started_s - 2, UTC))
        assert await is_untouched(new_id(), datetime.fromtimestamp(started_s + 3, UTC))
    finally:
        client.delete(redis_names.STARTED_AT)


async def test_a_wiped_redis_gets_the_whole_stream_again_with_the_same_numbers(
    redis_client: CountingRedisClient, client: Any
) -> None:
    job_stream = new_stream(redis_client)
    job_stream.put(events.MessageDelta(text="before "))
    assert await job_stream.flush(5)
    client.flushdb()
    client.script_flush()
    job_stream.put(events.MessageDelta(text="after"))
    assert await job_stream.flush(5)
    frames = stored(client, job_stream.job_id)
    assert ([1, 2, 3], "before after") == ([frame.seq for frame in frames], text_of(frames))


async def test_a_write_whose_reply_was_lost_is_not_repeated(redis_client: CountingRedisClient, client: Any) -> None:
    job_stream = new_stream(redis_client)
    job_stream.put(events.MessageDelta(text="one "))
    assert await job_stream.flush(5)
    job_stream.put(events.MessageDelta(text="two "))
    command = job_stream.next_command()
    assert command is not None
    await redis_client.call("EVAL", (await _source()), *command)  # it reached Redis, but the reply was lost
    job_stream.put(events.MessageDelta(text="three"))
    assert await job_stream.flush(5)
    frames = stored(client, job_stream.job_id)
    assert ([1, 2, 3, 4], "one two three") == ([frame.seq for frame in frames], text_of(frames))


async def _source() -> str:
    from workers.stream.relay import APPEND

    return APPEND


async def test_nothing_is_lost_while_redis_is_unavailable(unused_tcp_port: int, redis_url: str, client: Any) -> None:
    redis_client = RedisClient(RedisAddress(port=unused_tcp_port))
    job_stream = new_stream(redis_client)
    for number in range(10):
        job_stream.put(events.MessageDelta(text=str(number)))
        assert not await job_stream.flush(0.02)
    redis_client._address = RedisAddress.from_url(redis_url)  # it is back
    assert await job_stream.flush(10)
    assert "0123456789" == text_of(stored(client, job_stream.job_id))
    await redis_client.close()


async def test_the_last_events_can_be_committed_before_they_are_published(
    redis_client: CountingRedisClient, client: Any
) -> None:
    job_stream = new_stream(redis_client)
    job_stream.put(events.MessageDelta(text="all"))
    frames = job_stream.preview([events.MessageCompleted(text="all"), events.JobSucceeded()])
    assert await job_stream.flush(5)
    assert [1, 2] == [frame.seq for frame in stored(client, job_stream.job_id)]
    job_stream.end(frames)
    assert await job_stream.flush(5)
    assert list(read_frames(b"".join(frames))) == stored(client, job_stream.job_id)
    assert client.pttl(redis_names.job_events(TENANT, job_stream.job_id)) <= ENDED_TTL_MS
    assert client.pttl(redis_names.job_fence(TENANT, job_stream.job_id)) > ENDED_TTL_MS


def test_only_adjacent_deltas_of_one_kind_are_merged() -> None:
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
    assert expected == merge_deltas(given)
