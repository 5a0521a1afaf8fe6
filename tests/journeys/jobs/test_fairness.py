"""One tenant floods the queue, and another hardly notices."""

import asyncio
import os

import psycopg

from schema.states import IN_FLIGHT_SQL
from tests.conftest import make_tenant
from tests.journeys.client import Client
from tests.system import System
from tests.waiting import wait_for

FLOOD = int(os.environ.get("HEADRACE_FLOOD", "300"))  # 5,000 in `python -m tests.chaos`
CAP = 2
AT_ONCE = 16


async def test_a_tenant_that_floods_the_queue_does_not_delay_another(system: System, shared_url: str):
    """The flood is slow enough to be there while the other asks, on any machine; then its cap is raised, so that it ends."""
    flooder, other = make_tenant(shared_url, max_running=CAP), make_tenant(shared_url)
    async with Client(system.url, flooder.headers) as flood, Client(system.url, other.headers) as calm:
        await flood_queue(flood, FLOOD, model="text-3-at-3")
        for _ in range(20):
            async with await calm.ask("text-5") as stream:
                await stream.until("message.delta")
        behind = await count_open(shared_url, flooder.id)
        await set_cap(shared_url, flooder.id, 100)
        await wait_for(lambda: drained(shared_url, flooder.id), "the flood has been worked off")

    assert behind > 0, "the other tenant waited until the flood was over"
    assert {"succeeded": FLOOD} == await states(shared_url, flooder.id)


async def test_no_tenant_runs_more_than_its_cap(system: System, shared_url: str):
    tenants = [make_tenant(shared_url, max_running=cap) for cap in (1, 3, 7)]
    watches = [asyncio.ensure_future(most_in_flight(shared_url, tenant.id)) for tenant in tenants]
    for tenant in tenants:
        async with Client(system.url, tenant.headers) as client:
            await flood_queue(client, 40, model="text-3-at-60")
    for tenant in tenants:
        await wait_for(lambda tenant=tenant: drained(shared_url, tenant.id), "all have ended")
    for watch in watches:
        watch.cancel()

    assert [1, 3, 7] == [(await watch) for watch in watches]


async def flood_queue(client: Client, jobs: int, model: str = "text-3") -> None:
    """Submit many jobs, some at a time."""
    left = iter(range(jobs))

    async def submit() -> None:
        for _ in left:
            await client.submit(model)

    await asyncio.gather(*(submit() for _ in range(AT_ONCE)))


async def most_in_flight(database_url: str, tenant_id: object) -> int:
    """Look at the rows again and again until cancelled; return the most jobs that were in flight at one moment."""
    most = 0
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
        try:
            while True:
                sql = f"SELECT count(*) FROM jobs WHERE tenant_id = %s AND state IN {IN_FLIGHT_SQL}"
                row = await (await db.execute(sql, (tenant_id,))).fetchone()
                assert row is not None
                most = max(most, row[0])
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            return most


async def states(database_url: str, tenant_id: object) -> dict[str, int]:
    """Count a tenant's jobs by state."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
        sql = "SELECT state, count(*) FROM jobs WHERE tenant_id = %s GROUP BY state"
        return dict(await (await db.execute(sql, (tenant_id,))).fetchall())


async def set_cap(database_url: str, tenant_id: object, max_running: int) -> None:
    """Change how many jobs a tenant may run at once."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as db:
        await db.execute("UPDATE tenants SET max_running = %s WHERE id = %s", (max_running, tenant_id))


async def count_open(database_url: str, tenant_id: object) -> int:
    """Count a tenant's jobs that have not ended."""
    return sum(n for state, n in (await states(database_url, tenant_id)).items() if state != "succeeded")


async def drained(database_url: str, tenant_id: object) -> bool:
    """Whether all jobs of a tenant have succeeded."""
    return await count_open(database_url, tenant_id) == 0
