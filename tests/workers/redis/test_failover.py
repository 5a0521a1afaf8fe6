"""The master is killed, and sentinels promote its replica: clients follow, and know that something may be forgotten."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from schema.ids import new_id
from tests.sentinels import WatchedValkey, connect, watched_valkey
from tests.waiting import PATIENCE_S, wait_for
from workers.celery.app import build_app
from workers.queue.doorbell import Doorbell, ring
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable
from workers.stream.pubsub import Subscriber
from workers.stream.relay import Relay


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedValkey]:
    with watched_valkey(tmp_path_factory.mktemp("watched")) as running:
        yield running


@pytest.fixture
async def redis(servers: WatchedValkey) -> AsyncIterator[RedisClient]:
    client = RedisClient(RedisAddress.from_url(servers.url))
    yield client
    await client.close()


async def fail_over(servers: WatchedValkey, redis: RedisClient) -> None:
    """Kill the master, and wait until the client writes to another one; then the old one comes back as its replica."""
    before = servers.master_port
    with connect(servers.url) as db:
        db.wait(1, int(PATIENCE_S * 1000))  # what was written before is not what is forgotten
    servers.kill()

    async def writes() -> bool:
        try:
            return b"OK" == await redis.call("SET", "after", "wards")
        except RedisUnavailable:
            return False

    await wait_for(writes, "the client wrote to the new master")
    assert before != servers.master_port
    servers.start()
    await asyncio.to_thread(servers.wait_whole)


async def hear(url: str) -> int:
    """Return the number of the doorbell that Celery receives next."""

    def receive() -> int:
        with build_app(url, tasks=False) as app, app.connection_for_read() as connection:
            message = connection.SimpleQueue("chat").get(timeout=PATIENCE_S)
            message.ack()
            return message.payload["args"][2]

    return await asyncio.to_thread(receive)


async def test_clients_subscribers_and_celery_follow_to_the_new_master(
    servers: WatchedValkey, redis: RedisClient
) -> None:
    received, gap = asyncio.Queue[bytes](), asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        subscriber = Subscriber(RedisAddress.from_url(servers.url), lambda _, data: received.put_nowait(data), gap.set)
        subscriber.start()
        stack.push_async_callback(subscriber.close)
        assert await subscriber.subscribe("a")
        assert await ring(redis, [Doorbell(new_id(), new_id(), "chat", 1, None)])
        assert 1 == await hear(servers.url)
        await fail_over(servers, redis)
        assert await ring(redis, [Doorbell(new_id(), new_id(), "chat", 2, None)])
        assert 2 == await hear(servers.url)
        await gap.wait()
        await redis.call("PUBLISH", "a", "from the new one")
        assert b"from the new one" == await received.get()


async def test_a_promoted_replica_is_not_believed_to_know_all_that_was_before(
    servers: WatchedValkey, redis: RedisClient
) -> None:
    """Its master may have had a fence and words that it had not sent yet."""

    async def is_untouched(made_at: datetime) -> bool:
        history = await Relay(redis).take_over(new_id(), new_id(), 2, holder="it", created_at=made_at)
        assert history is not None
        return history.untouched

    await is_untouched(datetime.now(UTC))  # it notes since when nothing is forgotten
    made_at = datetime.now(UTC) + timedelta(seconds=2)
    assert await is_untouched(made_at)
    await fail_over(servers, redis)
    assert not await is_untouched(made_at)
    assert await is_untouched(datetime.now(UTC) + timedelta(seconds=3))
    assert not await is_untouched(made_at)
