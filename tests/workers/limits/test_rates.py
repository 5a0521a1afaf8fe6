"""Reads and searches are counted in each process, and what all have let through is shared."""

import asyncio

import pytest

from schema.ids import new_id
from tests.waiting import PATIENCE_S
from tests.workers.limit_calls import Clock
from workers.limits.headers import rate_limit_headers
from workers.limits.rates import FRESH_S, MAX_WAIT_S, READS, SEARCHES, Rates
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


class Process:
    """The rates of one process, whose clock runs with that of Redis."""

    def __init__(self, redis: RedisClient, clock: Clock) -> None:
        self.rates = Rates(redis, clock=lambda: clock.ms / 1000, now_ms=clock)

    def read(self, tenant_id, times: int = 1, limit: int | None = 5, rate=READS) -> int:
        """How many of so many reads were let through."""
        return sum(self.rates.count(tenant_id, rate, limit) is None for _ in range(times))


@pytest.fixture
async def two(redis_client: RedisClient):
    clock = Clock()
    processes = Process(redis_client, clock), Process(redis_client, clock)
    yield clock, *processes
    for process in processes:
        await process.rates.close()


async def test_one_process_lets_through_exactly_the_limit_of_each_tenant_and_rate(two) -> None:
    _, one, _ = two
    loud, quiet = new_id(), new_id()
    assert (5, 1, 5) == (one.read(loud, 100), one.read(quiet), one.read(loud, 100, rate=SEARCHES))
    await one.rates.share()
    assert (0, 4) == (one.read(loud, 100), one.read(quiet, 100))


async def test_no_limit_limits_nothing(two) -> None:
    _, one, _ = two
    assert 1000 == one.read(new_id(), 1000, limit=None)


async def test_a_process_hears_what_another_has_let_through(two) -> None:
    clock, one, other = two
    tenant = new_id()
    assert (3, 1) == (one.read(tenant, 3), other.read(tenant))
    await one.rates.share()
    await other.rates.share()
    assert (1, 1) == (other.read(tenant, 100), one.read(tenant, 1))
    clock.advance(1)
    await one.rates.share()
    await other.rates.share()
    assert (0, 0) == (one.read(tenant, 100), other.read(tenant, 100))


async def test_when_a_minute_is_over_there_is_room_again(two) -> None:
    clock, one, _ = two
    tenant = new_id()
    assert 5 == one.read(tenant, 100)
    await one.rates.share()
    refused = one.rates.count(tenant, READS, 5)
    assert refused is not None
    assert 60 <= refused.retry_after_s <= 61
    clock.advance(FRESH_S - 1)
    await one.rates.share()
    assert 0 == one.read(tenant, 100)
    clock.advance(60)
    await one.rates.share()
    assert 5 == one.read(tenant, 100)


async def test_a_refusal_says_which_rate_and_when_to_come_again(two) -> None:
    _, one, _ = two
    tenant = new_id()
    one.read(tenant, 5, rate=SEARCHES)
    refused = one.rates.count(tenant, SEARCHES, 5)
    assert refused is not None
    assert (("searches",), False) == (refused.violated, refused.allowed)
    assert {
        "RateLimit-Policy": '"searches";q=5;w=60',
        "RateLimit": '"searches";r=0;t=60',
        "Retry-After": "60",
    } == rate_limit_headers(refused)


async def test_few_reads_are_told_together(two) -> None:
    clock, one, other = two
    tenant = new_id()
    assert 10 == one.read(tenant, 10, limit=100_000)
    await one.rates.share()
    assert 1 == other.read(tenant, limit=11)
    await other.rates.share()
    assert 10 == other.read(tenant, 100, limit=11)
    clock.advance(MAX_WAIT_S)
    await one.rates.share()
    await other.rates.share()
    assert 0 == other.read(tenant, 100, limit=11)


async def test_a_limit_that_was_lowered_holds_at_once(two) -> None:
    _, one, _ = two
    tenant = new_id()
    assert (50, 0, 10) == (one.read(tenant, 50, limit=100), one.read(tenant, limit=10), one.read(tenant, 10, limit=60))


async def test_without_redis_nothing_is_limited_for_longer_than_a_moment() -> None:
    rates, tenant = Rates(RedisClient(RedisAddress(port=1))), new_id()
    assert [True] * 5 + [False] == [rates.count(tenant, READS, 5) is None for _ in range(6)]
    await rates.share()
    assert rates.count(tenant, READS, 5) is None
    await rates.close()


async def test_sharing_goes_on_by_itself_and_waits_for_nobody(redis_client: RedisClient) -> None:
    one, other, tenant = Rates(redis_client), Rates(redis_client), new_id()
    for _ in range(5):
        assert one.count(tenant, READS, 5) is None
    assert one.count(tenant, READS, 5) is not None  # which also shares at once
    other.count(tenant, READS, 5)
    async with asyncio.timeout(PATIENCE_S):
        while other.count(tenant, READS, 10**6) is None and other.count(tenant, READS, 5) is None:
            await asyncio.sleep(0.01)
    await one.close()
    await other.close()


async def test_redis_may_forget_the_script(two, redis_client: RedisClient) -> None:
    _, one, _ = two
    tenant = new_id()
    await redis_client.call("SCRIPT", "FLUSH")
    assert 3 == one.read(tenant, 3)
    await one.rates.share()
    assert 2 == one.read(tenant, 100)
