"""Every follower sees every event once and in order, whenever it joins and whatever Redis does."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import redis

from graphs.providers.errors import ProviderRefused
from schema import events, redis_names
from schema.errors import NotFound
from schema.events import Frame, read_frames
from schema.ids import new_id
from tests.conftest import TestTenant, make_tenant
from tests.waiting import PATIENCE_S
from tests.workers.jobs import Script, claim, dispatch_again, read_all, saying, submission, submit_one, worker_context
from workers.queue.attempts import attempt_job
from workers.queue.cancel import cancel, retry
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.stream import follow, hub
from workers.stream.batches import StreamBatch
from workers.stream.follow import Follower, SlowReader
from workers.stream.relay import JobStream, new_history, queued_event


async def test_the_submitter_receives_the_whole_job(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    wanted = submission(tenant)
    follower = core.hub.expect(tenant.id, wanted.job_id)
    done = await submit(core, wanted, is_followed=True)
    follower.start_with(done.queued)
    reading = asyncio.create_task(read_all(follower))
    async with worker_context(database_url, redis_url) as worker:
        await attempt_job(worker.queue, Script(*saying("hi")), tenant.id, wanted.job_id, 1)
        frames = await reading
    assert [1, 2, 3, 4, 5, 6] == [frame.seq for frame in frames]
    assert 0 == core.hub.open_streams


@pytest.fixture
async def live(core: JobCore, database_url: str, tenant: TestTenant) -> JobStream:
    """The stream of a job that a worker has claimed."""
    done = await submit_one(core, tenant)
    row = await claim(core, database_url, done.job_id)
    assert row is not None
    history = new_history(done.job_id, row.created_at, queued_event(row))
    return JobStream(
        core.relay, tenant.id, done.job_id, attempt=1, holder="first", inbox=core.hub.inbox, history=history
    )


async def say(stream: JobStream, *texts: str) -> None:
    for text in texts:
        stream.put(events.MessageDelta(text=text))
        assert await stream.flush(5)


async def finish(stream: JobStream) -> None:
    stream.end(stream.preview([events.JobSucceeded()]))
    assert await stream.flush(5)


async def test_late_readers_see_the_same_events_as_the_first(core: JobCore, live: JobStream) -> None:
    """Joining at random moments, after random events, while it runs and after its end."""
    rng, readings = random.Random(4711), []
    for number in range(60):
        await say(live, f"{number} ")
        if number % 3 == 0:
            after = rng.randint(0, len(live.frames))
            readings.append((after, asyncio.create_task(_late(core, live, after))))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await finish(live)
    for after in (0, 1, 30, len(live.frames) - 1):
        readings.append((after, asyncio.create_task(_late(core, live, after))))
    original = list(read_frames(b"".join(live.frames)))
    differing = [after for after, reading in readings if original[after:] != await reading]
    assert [] == differing


async def _late(core: JobCore, live: JobStream, after: int) -> list[Frame]:
    return await read_all(await core.hub.join(live.tenant_id, live.job_id, after=after))


async def test_a_reader_of_a_waiting_job_receives_its_queued_event(core: JobCore, tenant: TestTenant) -> None:
    done = await submit_one(core, tenant)
    async with await core.hub.join(tenant.id, done.job_id) as follower:
        chunk = await anext(follower.chunks())
    assert done.queued == chunk


async def test_a_job_of_another_tenant_is_not_found(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    done = await submit_one(core, make_tenant(database_url))
    for job_id in (done.job_id, new_id()):
        with pytest.raises(NotFound):
            await core.hub.join(tenant.id, job_id)


async def test_the_stream_is_read_from_postgres_when_redis_has_lost_it(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    done = await submit_one(core, tenant)
    async with worker_context(database_url, redis_url) as worker:
        await attempt_job(worker.queue, Script(*saying("kept")), tenant.id, done.job_id, 1)
    original = await read_all(await core.hub.join(tenant.id, done.job_id))
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    assert original == await read_all(await core.hub.join(tenant.id, done.job_id))
    assert original[3:] == await read_all(await core.hub.join(tenant.id, done.job_id, after=3))


async def test_a_reader_of_an_ended_job_that_is_retried_just_then_reads_on(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    """Nothing is left of its first try when the log is read; that is no end."""
    done = await submit_one(core, tenant)
    async with worker_context(database_url, redis_url) as worker:
        await attempt_job(worker.queue, Script(ProviderRefused("refused")), tenant.id, done.job_id, 1)
        follower = await core.hub.join(tenant.id, done.job_id)
        await retry(core, tenant.id, done.job_id)
        seq = await dispatch_again(worker.queue, database_url, done.job_id)
        reading = asyncio.create_task(read_all(follower))
        await attempt_job(worker.queue, Script(*saying("at last")), tenant.id, done.job_id, seq)
        frames = await reading
    assert "job.succeeded" == frames[-1].type


async def test_an_end_whose_message_was_lost_is_noticed(
    core: JobCore, tenant: TestTenant, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pub/sub delivers at most once: the last event may be lost, but the client must not wait forever."""
    monkeypatch.setattr(hub, "CHECK_AFTER_S", 0.2)
    done = await submit_one(core, tenant)
    follower = await core.hub.join(tenant.id, done.job_id)
    monkeypatch.setattr(core.hub, "_on_message", lambda *_: None)
    core.hub._subscriber._on_message = lambda *_: None
    await cancel(core, tenant.id, done.job_id)
    frames = await read_all(follower)
    assert ["job.queued", "job.cancelled"] == [frame.type for frame in frames]


async def test_what_was_lost_before_a_silence_is_read(
    core: JobCore, live: JobStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = await core.hub.join(live.tenant_id, live.job_id)
    chunks = follower.chunks()
    await anext(chunks)
    core.hub._subscriber._on_message = lambda *_: None
    await say(live, "lost on the way")
    monkeypatch.setattr(hub, "CHECK_AFTER_S", 0.2)
    assert b"lost on the way" in await anext(chunks)


async def test_a_gap_is_read_again(core: JobCore, live: JobStream) -> None:
    follower = await core.hub.join(live.tenant_id, live.job_id)
    on_message = core.hub._subscriber._on_message
    await say(live, "a")
    core.hub._subscriber._on_message = lambda *_: None
    await say(live, "b")
    core.hub._subscriber._on_message = on_message
    await say(live, "c")
    await finish(live)
    assert list(read_frames(b"".join(live.frames))) == await read_all(follower)


async def test_a_reader_that_does_not_read_is_disconnected_and_can_resume(
    core: JobCore, live: JobStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MAX_BUFFER_BYTES", 10_000)
    slow = await core.hub.join(live.tenant_id, live.job_id)
    chunks = slow.chunks()
    await anext(chunks)
    for _ in range(20):
        await say(live, "x" * 1000)
    with pytest.raises(SlowReader) as cut:
        await _read_on(chunks)
    slow.close()
    await finish(live)
    rest = await read_all(await core.hub.join(live.tenant_id, live.job_id, after=cut.value.resume_after))
    assert list(read_frames(b"".join(live.frames)))[cut.value.resume_after :] == rest


async def _read_on(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def test_a_restarted_stream_is_read_from_its_beginning(core: JobCore, tenant: TestTenant) -> None:
    """Redis lost its data and the worker died: attempt 2 numbers from 1, and readers must not skip it."""
    done = await submit_one(core, tenant)
    follower = Follower(core.hub, tenant.id, done.job_id, after=40)
    follower._origin = 1
    queued = events.JobQueued(kind="chat")
    history = new_history(done.job_id, datetime.now(UTC), queued, origin=2)
    restarted = JobStream(core.relay, tenant.id, done.job_id, attempt=2, holder="second", inbox=None, history=history)
    frames = restarted.preview([events.JobRestarted(attempt=2, reason="worker_lost", discard_after=1, worker="w")])
    follower.receive(StreamBatch(done.job_id.bytes, 2, 2, 1, 2, False, b"".join(frames)))
    assert frames[1] == await follower._next_chunk()


async def test_what_an_older_attempt_still_says_is_not_heard(core: JobCore, tenant: TestTenant) -> None:
    """Redis forgot the fence of attempt 2 in a failover, so that it let attempt 1 write on for a moment."""
    done = await submit_one(core, tenant)
    follower = Follower(core.hub, tenant.id, done.job_id, after=3)
    first, stale, new = (f"id: {n}\nevent: message.delta\ndata: {n}\n\n".encode() for n in (4, 51, 52))
    follower.receive(StreamBatch(done.job_id.bytes, 2, 1, 4, 4, False, first))
    follower.receive(StreamBatch(done.job_id.bytes, 1, 1, 5, 5, True, stale))
    follower.receive(StreamBatch(done.job_id.bytes, 2, 1, 5, 5, False, new))
    assert first + new == await follower._next_chunk()


async def test_a_silent_stream_is_kept_alive_with_comments(core: JobCore, live: JobStream) -> None:
    async with await core.hub.join(live.tenant_id, live.job_id) as follower:
        chunks = follower.chunks(heartbeat_s=0.05)
        await anext(chunks)
        assert follow.KEEP_ALIVE == await anext(chunks)
        await say(live, "a")
        assert b"message.delta" in await anext(chunks)
        assert follow.KEEP_ALIVE == await anext(chunks)


async def test_the_last_follower_unsubscribes(core: JobCore, live: JobStream, redis_url: str) -> None:
    channel = redis_names.job_channel(live.tenant_id, live.job_id)
    with redis.Redis.from_url(redis_url) as client:
        async with await core.hub.join(live.tenant_id, live.job_id):
            assert [(channel.encode(), 1)] == client.pubsub_numsub(channel)
        async with asyncio.timeout(PATIENCE_S):
            while client.pubsub_numsub(channel)[0][1]:
                await asyncio.sleep(0.01)
