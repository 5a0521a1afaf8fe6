"""The fair loop: who goes first when many wait, and that nobody is forgotten."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from graphs import fair_loop
from graphs.fair_loop import FairLoop, next_step, share_loop
from schema.ids import new_id
from tests.waiting import PATIENCE_S

BUSY, QUIET, OTHER = new_id(), new_id(), new_id()


async def pass_once() -> None:
    await asyncio.sleep(0)  # the loop runs what is ready


async def test_a_few_steps_go_through_in_a_pass_and_the_next_pass_is_as_free() -> None:
    loop = FairLoop()
    assert [False] * fair_loop.STEPS == [await loop.step(BUSY) for _ in range(fair_loop.STEPS)]
    await pass_once()
    assert [False] * fair_loop.STEPS == [await loop.step(BUSY) for _ in range(fair_loop.STEPS)]


async def test_a_tenant_with_one_step_does_not_wait_for_all_of_another() -> None:
    loop, order = FairLoop(), list[str]()

    async def step(tenant: str) -> None:
        await loop.step({"busy": BUSY, "quiet": QUIET, "other": OTHER}[tenant])
        order.append(tenant)

    waiting = [asyncio.create_task(step("busy")) for _ in range(10 * fair_loop.STEPS)]
    waiting += [
        asyncio.create_task(step("quiet")),
        asyncio.create_task(step("other")),
        asyncio.create_task(step("other")),
    ]
    await asyncio.gather(*waiting)
    before = order[: 2 * fair_loop.STEPS + 1]
    assert {"busy", "quiet", "other"} == set(before), order
    assert [10 * fair_loop.STEPS, 1, 2] == [order.count(tenant) for tenant in ("busy", "quiet", "other")]


async def test_who_is_cancelled_while_waiting_takes_nobodys_step() -> None:
    loop = FairLoop()
    for _ in range(fair_loop.STEPS):
        await loop.step(BUSY)
    gone = [asyncio.create_task(loop.step(BUSY)) for _ in range(3 * fair_loop.STEPS)]
    stays = asyncio.create_task(loop.step(BUSY))
    await pass_once()
    for task in gone:
        task.cancel()
    assert await stays
    await pass_once()
    await pass_once()
    assert not await loop.step(QUIET), "somebody who is gone still counts"


@pytest.mark.parametrize("when", ["while it waits", "as it is admitted"])
async def test_a_beginning_that_is_cancelled_leaves_its_place(when: str) -> None:
    loop, holding = FairLoop(), AsyncExitStack()
    for _ in range(fair_loop.BEGINNINGS):
        await holding.enter_async_context(loop.beginning(BUSY))

    async def begin() -> None:
        async with loop.beginning(BUSY):
            raise AssertionError("it was cancelled before")

    late = asyncio.create_task(begin())
    await pass_once()
    if when == "while it waits":
        late.cancel()
    await holding.aclose()  # gives it the place, which it has not taken yet
    late.cancel()
    await asyncio.wait([late])
    assert late.cancelled()
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as every_place:
        for _ in range(fair_loop.BEGINNINGS):
            await every_place.enter_async_context(loop.beginning(QUIET))


async def test_jobs_that_begin_together_let_another_tenant_in() -> None:
    loop, order, inside, most = FairLoop(), list[str](), 0, 0

    async def begin(tenant: str) -> None:
        nonlocal inside, most
        async with loop.beginning(BUSY if tenant == "busy" else QUIET):
            inside += 1
            most = max(most, inside)
            order.append(tenant)
            await pass_once()
            inside -= 1

    await asyncio.gather(*(begin("busy") for _ in range(50)), begin("quiet"))
    assert fair_loop.BEGINNINGS == most
    assert order.index("quiet") <= 2 * fair_loop.BEGINNINGS


async def test_who_shares_no_loop_never_waits_and_who_does_waits_as_a_tenant() -> None:
    loop = FairLoop()
    assert not any([await next_step() for _ in range(3 * fair_loop.STEPS)])

    async def steps() -> list[bool]:
        share_loop(loop, BUSY)
        return [await next_step() for _ in range(fair_loop.STEPS + 1)]

    assert [*[False] * fair_loop.STEPS, True] == await asyncio.create_task(steps())
