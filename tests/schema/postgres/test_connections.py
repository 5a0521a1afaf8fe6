"""Transactions: whatever happens to one, its connection works for the next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest

from schema.errors import Unavailable
from schema.postgres.batch import Rows, run_batch
from schema.postgres.connections import Pool, pool_for, tenant_tx
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S

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


@pytest.mark.parametrize("lost", ["before", "in the middle", "by an error"])
async def test_a_cancel_that_psycopg_loses_is_heeded_all_the_same(
    pool: Pool, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    waits, began, getconn = asyncio.Event(), False, pool.getconn

    async def swallow_cancel() -> None:
        with suppress(asyncio.CancelledError):
            waits.set()
            await asyncio.Event().wait()

    async def take() -> Any:
        if lost == "before":
            await swallow_cancel()
        return await getconn()

    async def work() -> None:
        nonlocal began
        while True:
            with suppress(Unavailable):  # as all that runs again and again does
                async with tenant_tx(pool, tenant.id):
                    began = True
                    await swallow_cancel()
                    if lost == "by an error":
                        raise psycopg.OperationalError("the connection is closed")
            waits.clear()

    monkeypatch.setattr(pool, "getconn", take)
    task = asyncio.create_task(work())
    await waits.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.cancelled()
    assert began == (lost != "before")
    monkeypatch.undo()
    assert str(tenant.id) == await read_current_tenant(pool, tenant)


async def test_who_goes_on_after_a_cancel_is_told_of_outages(pool: Pool, tenant: TestTenant) -> None:
    async def clean_up() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        async with tenant_tx(pool, tenant.id):
            raise psycopg.OperationalError("the connection is closed")

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(0)  # it waits to be cancelled
    task.cancel()
    with pytest.raises(Unavailable):
        await task


async def test_the_server_notices_within_a_minute_that_a_process_is_out_of_reach(
    pool: Pool, tenant: TestTenant
) -> None:
    wanted = "current_setting('tcp_keepalives_%s')::int AS %s"
    columns = ", ".join(wanted % (name, name) for name in ("idle", "interval", "count"))
    async with tenant_tx(pool, tenant.id) as db:
        row = await (await db.execute(f"SELECT {columns}")).fetchone()
    assert row is not None
    assert 0 < row["idle"] + row["interval"] * row["count"] <= 60
