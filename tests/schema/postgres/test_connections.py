"""Transactions: whatever happens to one, its connection works for the next."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from schema.postgres.batch import Rows, run_batch
from schema.postgres.connections import Pool, pool_for, tenant_tx
from tests.conftest import TestTenant

CURRENT_TENANT = "SELECT current_setting('headrace.tenant_id') AS tenant"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """A pool of one connection, so that every test step uses the same one."""
    async with pool_for(database_url, "headrace_app", max_size=1) as opened:
        yield opened


async def read_current_tenant(pool: Pool, tenant: TestTenant) -> str:
    async with tenant_tx(pool, tenant.id) as db:
        row = await (await db.execute(CURRENT_TENANT)).fetchone()
        assert row is not None
        return row["tenant"]


@pytest.mark.parametrize("wait", range(1, 7))
async def test_a_transaction_cancelled_at_any_moment_leaves_a_working_connection(
    pool: Pool, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch, wait: int
) -> None:
    """Cancels it at its first, second, … wait for Postgres."""
    loop, waits = asyncio.get_running_loop(), 0
    await pool.wait()
    add_reader, add_writer = loop.add_reader, loop.add_writer
    task = asyncio.create_task(read_current_tenant(pool, tenant))

    def cancel_at(add: Any, *args: Any) -> None:
        nonlocal waits
        add(*args)
        waits += 1
        if waits == wait:
            loop.call_soon(task.cancel)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "add_reader", partial(cancel_at, add_reader))
        patched.setattr(loop, "add_writer", partial(cancel_at, add_writer))
        await asyncio.wait((task,))
    assert task.cancelled() or str(tenant.id) == task.result()
    assert [Rows(("tenant",), [(str(tenant.id),)])] == await run_batch(pool, tenant.id, [(CURRENT_TENANT, {})])
    assert str(tenant.id) == await read_current_tenant(pool, tenant)


async def test_the_connection_that_was_used_last_is_used_next(database_url: str) -> None:
    """Its server process still has its caches warm."""
    async with pool_for(database_url, "headrace_app", max_size=4) as pool:
        held = [await pool.getconn() for _ in range(4)]
        for db in held:
            await pool.putconn(db)
        again = [await pool.getconn() for _ in range(4)]
        assert held[::-1] == again
        for db in again:
            await pool.putconn(db)
