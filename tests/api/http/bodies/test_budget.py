"""What a process holds of half-read bodies is bounded; the slowest are cut, whoever is fast comes through."""

import asyncio
from collections.abc import Callable

import pytest
from litestar.exceptions import HTTPException

from api.http.bodies.budget import MIN_BYTES_PER_S, NEW_S, SMALL_BYTES, WINDOW_S, BodyBudget, budget_for
from schema.errors import HeadraceError, LimitReached, Unavailable


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Sender:
    """A task that reads a body of `holder`, chunk by chunk as the test gives them."""

    def __init__(self, budget: BodyBudget, holder: str) -> None:
        self._chunks: asyncio.Queue[int] = asyncio.Queue()
        self.task = asyncio.create_task(self._read(budget, holder))

    async def _read(self, budget: BodyBudget, holder: str) -> int | str:
        try:
            with budget.reading(holder) as reading:
                while size := await self._chunks.get():
                    reading.add(size)
            return 200
        except HTTPException as error:
            return error.status_code
        except HeadraceError as error:
            return error.code

    async def send(self, size: int) -> None:
        self._chunks.put_nowait(size)
        for _ in range(5):
            await asyncio.sleep(0)

    async def ends(self) -> int | str:
        self._chunks.put_nowait(0)
        return await self.task


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tick(clock: Clock, budget: BodyBudget, seconds: float, each: Callable[[], None] = lambda: None) -> None:
    for _ in range(int(seconds)):
        clock.now += 1
        each()
        budget.check()


async def test_a_body_of_which_the_end_trickles_is_cut(clock: Clock) -> None:
    """Most of it came at once, so its average stays high; the last ten seconds count."""
    budget = BodyBudget(10**9, 10**9, clock)
    sender = Sender(budget, "a")
    await sender.send(8_000_000)
    for _ in range(2 * int(WINDOW_S)):
        await sender.send(600)
        tick(clock, budget, 1)
    assert (408, 0) == (await sender.ends(), budget.held_bytes)


async def test_a_body_over_a_slow_line_is_taken(clock: Clock) -> None:
    budget = BodyBudget(10**9, 10**9, clock)
    sender = Sender(budget, "a")
    for _ in range(60):
        await sender.send(MIN_BYTES_PER_S + 100)
        tick(clock, budget, 1)
    assert (200, 0) == (await sender.ends(), budget.held_bytes)


async def test_a_small_body_may_take_its_time(clock: Clock) -> None:
    budget = BodyBudget(10**9, 10**9, clock)
    sender = Sender(budget, "a")
    for _ in range(30):
        await sender.send(SMALL_BYTES // 40)
        tick(clock, budget, 1)
    assert 200 == await sender.ends()


async def test_a_process_that_was_busy_calls_nobody_slow(clock: Clock) -> None:
    budget = BodyBudget(10**9, 10**9, clock)
    sender = Sender(budget, "a")
    await sender.send(1_000_000)
    clock.now += WINDOW_S + 5
    budget.check()
    assert 200 == await sender.ends()


async def test_where_the_budget_is_full_the_slowest_gives_way(clock: Clock) -> None:
    budget = BodyBudget(100, 100, clock)
    slow, fast = Sender(budget, "a"), Sender(budget, "b")
    await slow.send(30)
    await fast.send(60)
    clock.now += NEW_S + 1
    new = Sender(budget, "c")
    await new.send(40)
    assert [408, 200, 200] == [await slow.ends(), await fast.ends(), await new.ends()]
    assert 0 == budget.held_bytes


async def test_where_all_are_new_the_newcomer_is_refused(clock: Clock) -> None:
    budget = BodyBudget(100, 100, clock)
    first, second = Sender(budget, "a"), Sender(budget, "b")
    await first.send(60)
    await second.send(60)
    assert [Unavailable.code, 200] == [await second.ends(), await first.ends()]


async def test_a_holder_that_has_its_share_waits_for_itself_and_nobody_else_does(clock: Clock) -> None:
    budget = BodyBudget(100, 50, clock)
    first, second, other = Sender(budget, "a"), Sender(budget, "a"), Sender(budget, "b")
    await first.send(40)
    await second.send(20)
    await other.send(50)
    assert ["rate_limit_exceeded", 200, 200] == [await second.ends(), await first.ends(), await other.ends()]


def test_what_a_process_holds_is_bounded_whatever_clients_send() -> None:
    """30 clients with 8 MB each were 240 MB."""

    async def hold() -> int:
        budget, held = budget_for(8 << 20, 15), 0
        senders = [Sender(budget, f"tenant {number}") for number in range(30)]
        for sender in senders:
            await sender.send((8 << 20) - 1)
            held = max(held, budget.held_bytes)
        for sender in senders:
            await sender.ends()
        return held

    assert asyncio.run(hold()) <= 16 * (8 << 20)


async def test_a_refusal_says_when_to_come_again(clock: Clock) -> None:
    budget = BodyBudget(100, 10, clock)
    with pytest.raises(LimitReached) as refused, budget.reading("a") as reading:
        reading.add(11)
    assert (2.0, 0) == (refused.value.retry_after_s, budget.held_bytes)


async def test_another_cancellation_is_none_of_ours(clock: Clock) -> None:
    sender = Sender(BodyBudget(100, 100, clock), "a")
    await sender.send(1)
    sender.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender.task
