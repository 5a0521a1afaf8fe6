"""Batches: one round trip, all or nothing, on connections that are shared with other code."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from schema.ids import new_id
from schema.postgres import batch
from schema.postgres.batch import Rows, Statement, run_batch, run_each
from schema.postgres.connections import Pool, pool_for, tenant_tx
from tests.conftest import TestTenant, make_tenant
from tests.waiting import PATIENCE_S

ADD = "INSERT INTO sessions (tenant_id, id, title) VALUES (%(tenant_id)s, %(id)s, %(title)s) RETURNING title"
COUNT = "SELECT count(*)::int AS sessions FROM sessions WHERE tenant_id = %(tenant_id)s"
BAD = "SELECT refuse('HR001')"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """A pool of one connection, so that every test step uses the same one."""
    async with pool_for(database_url, "headrace_app", max_size=1) as opened:
        yield opened


def session(tenant: TestTenant) -> dict[str, object]:
    return {"tenant_id": tenant.id, "id": new_id(), "title": "a title with ünïcode and 'quotes'"}


async def count(pool: Pool, tenant: TestTenant) -> int:
    (counted,) = await run_batch(pool, tenant.id, [(COUNT, {"tenant_id": tenant.id})])
    return counted.dicts()[0]["sessions"]


async def test_each_statement_gives_its_rows(pool: Pool, tenant: TestTenant) -> None:
    values = session(tenant)
    for expected in (1, 2, 3):
        added, counted = await run_batch(pool, tenant.id, [(ADD, {**values, "id": new_id()}), (COUNT, values)])
        assert ([{"title": values["title"]}], [{"sessions": expected}]) == (added.dicts(), counted.dicts())


async def test_a_failed_statement_rolls_back_the_others(pool: Pool, tenant: TestTenant) -> None:
    for _ in range(3):
        with pytest.raises(psycopg.Error) as failed:
            await run_batch(pool, tenant.id, [(ADD, session(tenant)), (BAD, {}), (COUNT, session(tenant))])
        assert "HR001" == failed.value.sqlstate
    assert 0 == await count(pool, tenant)


async def test_a_batch_sees_only_its_own_tenant(pool: Pool, database_url: str, tenant: TestTenant) -> None:
    other = make_tenant(database_url)
    await run_batch(pool, other.id, [(ADD, session(other))])
    assert 0 == await count(pool, tenant)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await run_batch(pool, tenant.id, [(ADD, session(other))])


async def test_a_batch_works_after_a_rollback_on_its_connection(pool: Pool, tenant: TestTenant) -> None:
    for expected in (1, 2, 3):
        await run_batch(pool, tenant.id, [(ADD, session(tenant)), (COUNT, session(tenant))])
        with pytest.raises(LookupError):
            await roll_back(pool, tenant)
        assert expected == await count(pool, tenant)


async def roll_back(pool: Pool, tenant: TestTenant) -> None:
    async with tenant_tx(pool, tenant.id) as db:
        await (await db.execute("SELECT 1")).fetchone()
        raise LookupError


async def test_a_cancelled_batch_does_not_leave_its_reply_to_the_next(pool: Pool, tenant: TestTenant) -> None:
    slow = "SELECT pg_sleep(5)::text AS slept"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await run_batch(pool, tenant.id, [(slow, {})])
    assert 0 == await count(pool, tenant)


async def test_a_reply_larger_than_the_socket_buffer_is_complete(pool: Pool, tenant: TestTenant) -> None:
    text = "x" * 3_000_000
    (rows,) = await run_batch(pool, tenant.id, [("SELECT %(text)s::text AS text", {"text": text})])
    assert [(text,)] == rows.values


async def test_a_lost_wake_up_only_delays_the_batch(
    pool: Pool, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_batch(pool, tenant.id, [("SELECT 1 AS one", {})])
    monkeypatch.setattr(batch, "POLL_INTERVAL_S", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", lambda *_: None, raising=False)
    async with asyncio.timeout(PATIENCE_S):
        assert [Rows(("one",), [(1,)])] == await run_batch(pool, tenant.id, [("SELECT 1 AS one", {})])


async def test_batches_of_all_kinds_work_after_a_rollback_on_their_connection(pool: Pool, tenant: TestTenant) -> None:
    """The kinds begin alike, so what is prepared and what is known to be stay the same."""
    read: Statement = ("SELECT 1 AS one", {})
    await run_each(pool, [(tenant.id, None, read)])
    with pytest.raises(LookupError):
        await roll_back(pool, tenant)
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute("SELECT 1")  # psycopg deallocates now
    await count(pool, tenant)
    await run_each(pool, [(tenant.id, None, read)])
    assert [1] == [row["one"] for rows in await run_batch(pool, tenant.id, [read]) for row in rows.dicts()]


async def _reader_fails(pool: Pool, tenant: TestTenant) -> None:
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute("SELECT 1")
        raise LookupError


async def _statement_fails(pool: Pool, tenant: TestTenant) -> None:
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute("SELECT 2")
        await db.execute(BAD)
        await db.execute("SELECT 3")


async def _statement_fails_and_is_read(pool: Pool, tenant: TestTenant) -> None:
    async with tenant_tx(pool, tenant.id) as db:
        await (await db.execute(BAD)).fetchone()


async def _batch_fails(pool: Pool, tenant: TestTenant) -> None:
    await run_batch(pool, tenant.id, [(ADD, session(tenant)), (BAD, {})])


async def test_what_a_rollback_deallocates_is_prepared_again_without_an_error(
    pool: Pool, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each such error is a line in the log of Postgres."""
    failed: list[str | None] = []
    exchange = batch._exchange

    async def noting(*arguments: Any) -> list[Rows]:
        try:
            return await exchange(*arguments)
        except psycopg.Error as error:
            failed.append(error.sqlstate)
            raise

    monkeypatch.setattr(batch, "_exchange", noting)
    ways = [_reader_fails, _statement_fails, _statement_fails_and_is_read, _batch_fails]
    for way in [*ways, *reversed(ways), *ways]:
        assert 0 == await count(pool, tenant)
        with pytest.raises((LookupError, psycopg.Error)):
            await way(pool, tenant)
    assert 0 == await count(pool, tenant)
    assert ["HR001"] * 3 == failed
