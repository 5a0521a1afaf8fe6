"""Transactions: whatever happens to one, the next on its connection works."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from schema.batch import Rows, run_batch
from schema.db import Pool, pool_for, tenant_tx
from tests.conftest import TestTenant

WHO = "SELECT current_setting('headrace.tenant_id') AS tenant"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """One connection only, so that whatever happens to it is met again."""
    async with pool_for(database_url, "headrace_app", max_size=1) as opened:
        yield opened


async def ask(pool: Pool, tenant: TestTenant) -> str:
    async with tenant_tx(pool, tenant.id) as db:
        row = await (await db.execute(WHO)).fetchone()
        assert row is not None
        return row["tenant"]


@pytest.mark.parametrize("wait", range(1, 7))
async def test_one_that_is_cancelled_at_any_moment_leaves_a_connection_that_works(
    pool: Pool, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch, wait: int
) -> None:
    """Each time it waits for Postgres, it is cancelled there."""
    loop, waits = asyncio.get_running_loop(), 0
    await pool.wait()
    add_reader, add_writer = loop.add_reader, loop.add_writer
    asked = asyncio.create_task(ask(pool, tenant))

    def cancel_at(add: Any, *args: Any) -> None:
        nonlocal waits
        add(*args)
        waits += 1
        if waits == wait:
            loop.call_soon(asked.cancel)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "add_reader", partial(cancel_at, add_reader))
        patched.setattr(loop, "add_writer", partial(cancel_at, add_writer))
        await asyncio.wait((asked,))
    assert asked.cancelled() or str(tenant.id) == asked.result()
    assert [Rows(("tenant",), [(str(tenant.id),)])] == await run_batch(pool, tenant.id, [(WHO, {})])
    assert str(tenant.id) == await ask(pool, tenant)
