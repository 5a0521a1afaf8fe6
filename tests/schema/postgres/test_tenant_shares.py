"""One tenant's requests can't take all connections of a process."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schema.errors import Unavailable
from schema.postgres import tenant_shares
from schema.postgres.batch import run_batch
from schema.postgres.connections import Pool, limit_tenants, pool_for, tenant_tx
from tests.conftest import TestTenant, make_tenant
from tests.waiting import wait_for
from workers.queue.job_core import JobCore


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=4) as opened:
        limit_tenants(opened, 2)
        yield opened


class Reads:
    """Slow reads of a tenant, which end when they may."""

    def __init__(self, pool: Pool, tenant: TestTenant, count: int) -> None:
        self._pool, self._tenant = pool, tenant
        self.under_way = 0
        self.may_end = asyncio.Event()
        self.tasks = [asyncio.create_task(self._read()) for _ in range(count)]

    async def _read(self) -> None:
        async with tenant_tx(self._pool, self._tenant.id):
            self.under_way += 1
            await self.may_end.wait()


async def test_a_tenant_with_many_slow_reads_leaves_connections_to_the_others(
    pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    other, reads = make_tenant(database_url), Reads(pool, tenant, 20)
    await wait_for(lambda: reads.under_way, "they have begun")
    (rows,) = await run_batch(pool, other.id, [("SELECT 1 AS one", {})])
    async with tenant_tx(pool, other.id) as db:
        await db.execute("SELECT 1")
    assert ([(1,)], True) == (rows.values, reads.under_way <= 2)
    reads.may_end.set()
    await asyncio.gather(*reads.tasks)
    assert 20 == reads.under_way


async def test_a_request_that_waits_too_long_for_its_own_tenant_is_told_to_come_again(
    pool: Pool, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_shares, "SHARE_TIMEOUT_S", 0.01)
    reads = Reads(pool, tenant, 2)
    await wait_for(lambda: reads.under_way == 2, "both are under way")
    with pytest.raises(Unavailable, match="of your tenant"):
        async with tenant_tx(pool, tenant.id):
            pass
    reads.may_end.set()
    await asyncio.gather(*reads.tasks)
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute("SELECT 1")


async def test_the_api_gives_a_tenant_half_of_its_connections(core: JobCore, tenant: TestTenant) -> None:
    reads = Reads(core.pool, tenant, core.pool.max_size)
    await wait_for(lambda: reads.under_way, "they have begun")
    await wait_for(lambda: core.pool.get_stats().get("requests_num", 0) >= core.pool.max_size // 2, "half are taken")
    assert reads.under_way <= core.pool.max_size // 2
    reads.may_end.set()
    await asyncio.gather(*reads.tasks)
