"""Look-ups that come together are answered together, each caller with its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from schema.postgres.batched_lookup import BatchedLookup


class Loads:
    """Squares numbers under ten, as slowly as the test wants; `calls` are the keys of each call."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.fails = False

    async def __call__(self, keys: Sequence[int]) -> dict[int, int]:
        self.calls.append(list(keys))
        await self.may_answer.wait()
        if self.fails:
            raise ConnectionError("away")
        return {key: key * key for key in keys if key < 10}


async def begin(lookup: BatchedLookup[int, int], keys: Sequence[int]) -> "list[asyncio.Task[int | None]]":
    tasks = [asyncio.create_task(lookup.find(key)) for key in keys]
    await asyncio.sleep(0)  # a turn of the loop
    await asyncio.sleep(0)  # a turn of the loop
    return tasks


async def test_those_that_come_meanwhile_wait_and_go_out_together() -> None:
    loads = Loads()
    lookup = BatchedLookup(loads, most=3)
    tasks = await begin(lookup, [1]) + await begin(lookup, [2, 3, 3, 4, 12])
    loads.may_answer.set()
    assert [1, 4, 9, 9, 16, None] == await asyncio.gather(*tasks)
    assert [[1], [2, 3, 4], [12]] == loads.calls


async def test_an_error_reaches_those_who_were_part_of_it_and_the_next_call_is_tried() -> None:
    loads = Loads()
    loads.fails = True
    lookup = BatchedLookup(loads)
    tasks = await begin(lookup, [1, 2])
    loads.may_answer.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [ConnectionError, ConnectionError] == [type(result) for result in results]
    loads.fails = False
    assert 9 == await lookup.find(3)


async def test_a_caller_that_leaves_takes_no_answer_from_the_others() -> None:
    loads = Loads()
    lookup = BatchedLookup(loads)
    first, second = await begin(lookup, [5, 5])
    first.cancel()
    await asyncio.sleep(0)  # a turn of the loop
    loads.may_answer.set()
    assert 25 == await second
    with pytest.raises(asyncio.CancelledError):
        await first
