"""A Postgres that stands still ends what waits for it; one that is slow doesn't."""

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from schema.errors import Unavailable
from schema.postgres.connections import Pool, pool_for, tenant_tx, watch_freezes
from schema.postgres.freezes import FreezeWatch
from tests.conftest import TestTenant
from tests.waiting import wait_for


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=4) as opened:
        yield opened


@pytest.fixture
def silent() -> Iterator[str]:
    """Where connections are accepted, as the system does for a process that is stopped, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"postgresql://nobody@127.0.0.1:{listening.getsockname()[1]}/none"


async def sleep(pool: Pool, tenant: TestTenant, seconds: float) -> int:
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute("SELECT pg_sleep(%s)", (seconds,))
        row = await (await db.execute("SELECT 1 AS one")).fetchone()
        assert row is not None
        return row["one"]


def impatient(watch: FreezeWatch) -> None:
    watch.silent_s = 0.05


async def test_what_waits_for_a_frozen_postgres_ends_as_in_an_outage(
    pool: Pool, tenant: TestTenant, silent: str
) -> None:
    async with watch_freezes(pool) as watch:
        await sleep(pool, tenant, 0)
        lives, watch.conninfo = watch.conninfo, silent
        impatient(watch)
        with pytest.raises(Unavailable) as ended:
            await sleep(pool, tenant, 25)
        assert (True, "unknown") == (watch.frozen, ended.value.effect)
        with pytest.raises(Unavailable) as refused:
            await sleep(pool, tenant, 0)
        assert "nothing" == refused.value.effect
        watch.conninfo = lives
        await wait_for(lambda: not watch.frozen, "a new connection works again")
        assert 1 == await sleep(pool, tenant, 0)


async def test_a_slow_statement_is_left_alone(pool: Pool, tenant: TestTenant) -> None:
    async with watch_freezes(pool) as watch:
        impatient(watch)
        assert 1 == await sleep(pool, tenant, 0.5)
        assert not watch.frozen


async def test_a_postgres_that_refuses_connections_is_not_frozen(pool: Pool, tenant: TestTenant) -> None:
    async with watch_freezes(pool) as watch:
        watch.conninfo = "postgresql://nobody@127.0.0.1:1/none"
        impatient(watch)
        assert 1 == await sleep(pool, tenant, 0.5)
        assert not watch.frozen
