"""What users and the scheduler ask for reads as much after twenty thousand ended jobs as after five thousand."""

import asyncio

from tests.bench.benchmarks.growth import explain
from tests.bench.benchmarks.growth_asks import GROW_WITH_WHAT_IS_ASKED
from tests.bench.load.ended_jobs import create_past, drop_past

FEW, MANY = 5_000, 20_000
ROOM = 1_000
"""Rows of what came while it was measured, and of days and minutes that a shorter past does not have."""

Explained = dict[str, tuple[int, list[str]]]


async def explained(database_url: str, jobs: int) -> Explained:
    past = await create_past(database_url, jobs)
    try:
        return await explain(past)
    finally:
        await asyncio.to_thread(drop_past, past)


async def test_nothing_reads_more_rows_when_more_jobs_have_ended(stores) -> None:
    few, many = [await explained(stores.database_url, jobs) for jobs in (FEW, MANY)]
    assert {} == {name: faults for name, (_, faults) in many.items() if faults}
    grown = {name: (few[name][0], rows) for name, (rows, _) in many.items() if rows > few[name][0] + ROOM}
    assert set(grown) <= set(GROW_WITH_WHAT_IS_ASKED), grown
