"""What outlasts an outage of Postgres, and for how long."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from schema.errors import Unavailable
from schema.postgres.connections import connection, pool_for
from schema.postgres.outages import retry_while_down, waiting_for_postgres

AWAY = Unavailable("The database is unavailable.")


async def test_an_operation_is_repeated_until_postgres_is_back() -> None:
    operation = AsyncMock(side_effect=[AWAY, AWAY, "done"])
    with waiting_for_postgres():
        assert "done" == await retry_while_down(operation)
    assert 3 == operation.await_count


async def test_without_patience_or_after_it_the_outage_is_told() -> None:
    operation = AsyncMock(side_effect=AWAY)
    with pytest.raises(Unavailable):
        await retry_while_down(operation)
    assert 1 == operation.await_count
    with waiting_for_postgres(0.25), pytest.raises(Unavailable):
        await retry_while_down(operation)
    assert 2 < operation.await_count


async def test_other_errors_are_told_at_once() -> None:
    operation = AsyncMock(side_effect=[ValueError("wrong"), "done"])
    with waiting_for_postgres(), pytest.raises(ValueError, match="wrong"):
        await retry_while_down(operation)


async def test_a_cancel_ends_the_waiting() -> None:
    begun = asyncio.Event()

    async def fail() -> None:
        begun.set()
        raise AWAY

    with waiting_for_postgres():
        waiting = asyncio.create_task(retry_while_down(fail))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_tasks_that_were_begun_with_patience_wait_for_a_connection_and_others_do_not(database_url: str) -> None:
    """The pool gives up after a tenth of a second here, and Postgres comes when it has given up once."""
    pool = pool_for(database_url, "headrace_app", max_size=1)
    pool.timeout = 0.1
    gave_up = asyncio.Event()

    async def take() -> bool:
        async with connection(pool):
            return True

    async def take_or_tell() -> bool:
        try:
            return await take()
        except Unavailable:
            gave_up.set()
            return False

    await pool.open()
    try:
        held = await pool.getconn()
        with waiting_for_postgres():
            patient = asyncio.create_task(take())
        assert not await take_or_tell()
        await gave_up.wait()
        assert not patient.done()
        await pool.putconn(held)
        assert await patient
    finally:
        await pool.close()
