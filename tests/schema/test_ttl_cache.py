"""The cache: expiry, eviction, and loads that concurrent callers share."""

import asyncio
from collections.abc import Callable

import pytest

from schema.ttl_cache import TtlCache


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Something slow to load from: answers one by one when it is told to."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[str | None]] = []

    async def load(self) -> str | None:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


async def turn() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_an_entry_expires_after_its_ttl() -> None:
    clock = Clock()
    cache: TtlCache[str, int] = TtlCache(10, 5.0, clock=clock)
    cache.put("a", 1)
    clock.now += 4.9
    assert (1, True) == (cache.get("a"), "a" in cache)
    clock.now += 0.1
    assert (None, False, None, 0) == (cache.get("a"), "a" in cache, cache.get("b"), len(cache))


def test_putting_an_entry_again_renews_it() -> None:
    clock = Clock()
    cache: TtlCache[str, int] = TtlCache(10, 5.0, clock=clock)
    cache.put("a", 1)
    clock.now += 4
    cache.put("a", 2)
    clock.now += 4
    assert 2 == cache.get("a")


def test_without_a_ttl_entries_do_not_expire() -> None:
    clock = Clock()
    cache: TtlCache[str, int] = TtlCache(10, clock=clock)
    cache.put("a", 1)
    clock.now += 1e9
    assert 1 == cache.get("a")


def test_the_ttl_may_depend_on_the_value() -> None:
    clock = Clock()
    cache: TtlCache[str, int] = TtlCache(10, float, clock=clock)
    cache.put("short", 1)
    cache.put("long", 9)
    clock.now += 5
    assert (None, 9) == (cache.get("short"), cache.get("long"))


def test_the_least_recently_used_entry_is_evicted() -> None:
    cache: TtlCache[str, int] = TtlCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert 1 == cache.get("a")
    cache.put("c", 3)
    assert ["a", "c"] == list(cache)


def test_weights_limit_the_sum_and_the_newest_entry_is_kept() -> None:
    cache: TtlCache[str, str] = TtlCache(5, weigh=len)
    for value in ("aa", "bb", "cc"):
        cache.put(value, value)
    assert ["bb", "cc"] == list(cache)
    cache.put("heavy", "x" * 50)
    assert ["heavy"] == list(cache)
    cache.put("heavy", "x")
    cache.put("dddd", "dddd")
    assert ["heavy", "dddd"] == list(cache)
    cache.discard("dddd")
    cache.clear()
    cache.put("aaaaa", "aaaaa")
    assert ["aaaaa"] == list(cache)


def test_a_value_is_made_once() -> None:
    cache: TtlCache[str, list[int]] = TtlCache(2)
    assert cache.get_or_make("a", lambda: [1]) is cache.get_or_make("a", lambda: [2])
    with pytest.raises(ZeroDivisionError):
        cache.get_or_make("b", lambda: [1 // 0])
    assert [3] == cache.get_or_make("b", lambda: [3])


async def test_concurrent_callers_share_one_load() -> None:
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0)
    source = Source()
    callers = [asyncio.ensure_future(cache.load("a", source.load)) for _ in range(3)]
    await turn()
    source.asked[0].set_result("found")
    assert ["found"] * 3 == await asyncio.gather(*callers)
    assert "found" == await cache.load("a", source.load)
    assert 1 == len(source.asked)


async def test_cancelling_the_first_caller_does_not_cancel_the_load() -> None:
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0)
    source = Source()
    first, second = (asyncio.ensure_future(cache.load("a", source.load)) for _ in range(2))
    await turn()
    first.cancel()
    await turn()
    source.asked[0].set_result("found")
    assert ("found", "found", 1) == (await second, await cache.load("a", source.load), len(source.asked))


@pytest.mark.parametrize("outcome", [None, ZeroDivisionError("no")])
async def test_none_and_errors_are_not_cached(outcome: ZeroDivisionError | None) -> None:
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0)

    async def load() -> None:
        if outcome:
            raise outcome

    found = await asyncio.gather(cache.load("a", load), cache.load("a", load), return_exceptions=True)
    assert [outcome] * 2 == found
    source = Source()
    again = asyncio.ensure_future(cache.load("a", source.load))
    await turn()
    source.asked[0].set_result("found")
    assert "found" == await again


async def test_a_failed_load_without_callers_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0)
    source = Source()
    caller = asyncio.ensure_future(cache.load("a", source.load))
    await turn()
    caller.cancel()
    await turn()
    source.asked[0].set_exception(ZeroDivisionError())
    source.asked.clear()
    await turn()
    assert ([], 0) == (caplog.records, len(cache))


async def test_the_age_of_a_value_counts_from_the_start_of_its_load() -> None:
    """Whoever was let in because of it was let in for so long at most."""
    clock = Clock()
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0, clock=clock)
    source = Source()
    slow = asyncio.ensure_future(cache.load("a", source.load))
    await turn()
    clock.now += 4
    source.asked[0].set_result("old")
    assert ("old", "old") == (await slow, cache.get("a"))
    clock.now += 1
    assert cache.get("a") is None


async def test_a_load_that_takes_longer_than_the_ttl_is_not_shared() -> None:
    clock = Clock()
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0, clock=clock)
    source = Source()
    slow = asyncio.ensure_future(cache.load("a", source.load))
    await turn()
    clock.now += 6
    late = asyncio.ensure_future(cache.load("a", source.load))
    await turn()
    source.asked[1].set_result("new")
    assert "new" == await late
    source.asked[0].set_result("old")
    assert ("old", "new") == (await slow, cache.get("a"))


@pytest.mark.parametrize("forget", [lambda cache: cache.discard("a"), lambda cache: cache.clear()])
async def test_a_key_deleted_during_its_load_stays_deleted(
    forget: Callable[[TtlCache[str, str | None]], None],
) -> None:
    cache: TtlCache[str, str | None] = TtlCache(2, 5.0)
    source = Source()
    caller = asyncio.ensure_future(cache.load("a", source.load))
    await turn()
    forget(cache)
    source.asked[0].set_result("before the change")
    assert ("before the change", None) == (await caller, cache.get("a"))
