"""Limits on a real Redis, with a clock that tests advance and made-up spending."""

from collections.abc import AsyncIterator

import pytest

from tests.workers.limit_calls import Clock, FakeSpending
from workers.limits.limits import Limits
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    await redis_client.call("FLUSHDB")
    yield redis_client
    await redis_client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spending() -> FakeSpending:
    return FakeSpending()


@pytest.fixture
def limits(redis_client: RedisClient, clock: Clock, spending: FakeSpending) -> Limits:
    return Limits(redis_client, spending, now_ms=clock)
