"""Near its bound, Redis is emptied of ended jobs, and of nothing else."""

from collections.abc import AsyncIterator

import pytest
import redis
from structlog.testing import capture_logs

from api.local.stores.valkey import EmbeddedValkey
from schema.ids import new_id
from schema.redis_names import job_events, job_fence, used_login_state
from tests.conftest import Stores
from tests.sentinels import connect
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient
from workers.stream.memory_bound import MemoryBound, read_memory
from workers.stream.relay import ENDED_FENCE_TTL_MS, ENDED_TTL_MS, RUNNING_TTL_MS

MB = 1 << 20


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[RedisClient]:
    opened = RedisClient(RedisAddress.from_url(redis_url))
    yield opened
    await opened.close()


@pytest.fixture
def bounded(stores: Stores, redis_url: str):
    """A bound that is reached with 4 MB more."""
    with connect(redis_url) as db:
        before = str(db.config_get("maxmemory")["maxmemory"])
        db.config_set("maxmemory", db.info("memory")["used_memory"] + 4 * MB)
        yield db
        db.config_set("maxmemory", before)


def add_job(db: redis.Redis, *, stream_ms: int, fence_ms: int, kilobytes: int = 16) -> tuple[str, str]:
    """Write the stream and the fence of a job; they expire then."""
    stream, fence = (named(new_id(), new_id()) for named in (job_events, job_fence))
    db.xadd(stream, {"p": b"x" * (kilobytes << 10)})
    db.hset(fence, "attempt", 1)
    db.pexpire(stream, stream_ms)
    db.pexpire(fence, fence_ms)
    return stream, fence


async def test_ended_streams_go_and_what_is_needed_stays(client: RedisClient, bounded: redis.Redis) -> None:
    running = add_job(bounded, stream_ms=RUNNING_TTL_MS - 1000, fence_ms=RUNNING_TTL_MS)
    sign_in = used_login_state(new_id(), "d")
    bounded.set(sign_in, "1", ex=60)
    bounded.rpush("chat", "doorbell")
    ended = []
    while (await read_memory(client)).fill < 0.9:  # what other tests left may go meanwhile: no number of jobs is right
        ended += [add_job(bounded, stream_ms=ENDED_TTL_MS, fence_ms=ENDED_FENCE_TTL_MS) for _ in range(10)]
    assert await MemoryBound(client).keep() > 0
    assert (await read_memory(client)).fill < 0.75
    assert 2 + 2 == bounded.exists(*running, sign_in, "chat")
    assert len(ended) == bounded.exists(*(fence for _, fence in ended))
    assert bounded.exists(*(stream for stream, _ in ended)) < len(ended)


async def test_with_room_nothing_is_removed(client: RedisClient, redis_url: str) -> None:
    with connect(redis_url) as db:
        add_job(db, stream_ms=ENDED_TTL_MS, fence_ms=ENDED_FENCE_TTL_MS)
    assert 0 == await MemoryBound(client).keep()


async def test_a_redis_that_evicts_keys_is_told_once(client: RedisClient, bounded: redis.Redis) -> None:
    bound = MemoryBound(client)
    bounded.config_set("maxmemory-policy", "volatile-lru")
    try:
        with capture_logs() as logs:
            for _ in range(3):
                await bound.keep()
    finally:
        bounded.config_set("maxmemory-policy", "noeviction")
    assert [("redis_evicts_keys", "volatile-lru")] == [(line["event"], line["policy"]) for line in logs]


def test_the_embedded_store_has_a_bound_and_evicts_nothing(stores: Stores) -> None:
    assert isinstance(stores.valkey, EmbeddedValkey)
    settings = stores.valkey.config.read_text().splitlines()
    assert {"maxmemory 512mb", "maxmemory-policy noeviction"} <= set(settings)
