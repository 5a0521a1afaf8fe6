"""Parts of an installation that go down and come back are told to webhooks, once each, and not for every hiccup."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from schema.errors import Unavailable
from schema.postgres.connections import Pool, pool_for
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import change, rows
from tests.workers.webhooks.hooks import have_endpoint
from workers.health import watch
from workers.health.watch import DAMPING_S, LEASE_S, ServiceWatch
from workers.queue.job_core import JobCore

RECEIVER = "http://127.0.0.1:9/hook"


class Service:
    """An installation whose parts fail when a test says so, and a scheduler that looks at it."""

    def __init__(self, pool: Pool, url: str, name: str, *, now: list[float] | None = None) -> None:
        self.url, self.down, self.now, self.woken = url, set[str](), now or [1000.0], 0
        checks = {part: self._check(part) for part in ("postgres", "redis", "workers")}
        self.watch = ServiceWatch(pool, checks, watcher=name, wake=self._wake, clock=lambda: self.now[0])

    def _check(self, part: str) -> watch.Check:
        async def check() -> None:
            if part in self.down:
                raise Unavailable("a password, perhaps")

        return check

    async def _wake(self) -> None:
        self.woken += 1

    async def look(self, *, after_s: float = 5.0, times: int = 1) -> None:
        for _ in range(times):
            self.now[0] += after_s
            await self.watch.look()

    async def settle(self) -> None:
        """Look for long enough."""
        await self.look(times=int(DAMPING_S / 5) + 1)


@pytest.fixture
async def system_pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_system", max_size=2) as opened:
        yield opened


@pytest.fixture
def tenant(database_url: str) -> TestTenant:
    change(database_url, "DELETE FROM service_parts")
    return make_tenant(database_url)


def told(url: str, tenant: TestTenant) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT * FROM webhook_deliveries WHERE tenant_id = %s ORDER BY sequence"
    return [(row["type"], row["data"]) for row in rows(url, sql, tenant.id)]


async def test_a_part_that_stays_down_is_told_once_and_so_is_its_return(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["service.*"])
    service = Service(system_pool, database_url, "a")
    await service.settle()
    assert [] == told(database_url, tenant)
    service.down.add("redis")
    await service.settle()
    await service.settle()
    ((kind, data),) = told(database_url, tenant)
    assert ("service.down", "redis", "down", "It can't be reached.") == (
        kind,
        data["part"],
        data["status"],
        data["error"],
    )
    service.down.clear()
    await service.settle()
    await service.settle()
    (_, (kind, back)) = told(database_url, tenant)
    assert ("service.recovered", "redis", "up", data["since"]) == (
        kind,
        back["part"],
        back["status"],
        back["down_since"],
    )
    assert 2 == service.woken


async def test_a_hiccup_is_not_told(core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["*"])
    service = Service(system_pool, database_url, "a")
    for _ in range(4):
        service.down.symmetric_difference_update({"redis"})
        await service.look(times=2)
    assert [] == told(database_url, tenant)


async def test_of_several_schedulers_one_tells_and_another_takes_over(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["service.down"])
    now = [1000.0]
    services = [Service(system_pool, database_url, name, now=now) for name in ("a", "b")]
    for one in services:
        await one.look()
        one.down.add("workers")
    for _ in range(6):
        for one in services:
            await one.look(after_s=2.5)
    assert ["service.down"] == [kind for kind, _ in told(database_url, tenant)]
    sql = "UPDATE service_parts SET watched_until = now() - make_interval(secs => 1), status = 'up'"
    change(database_url, sql)  # as if the first one had been killed before it told
    await services[1].look()
    assert ["service.down"] * 2 == [kind for kind, _ in told(database_url, tenant)]
    assert {"b"} == {row["watcher"] for row in rows(database_url, "SELECT watcher FROM service_parts")}
    assert LEASE_S > 5


async def test_nothing_is_said_of_workers_that_nobody_can_see(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["service.*"])
    service = Service(system_pool, database_url, "a")
    service.down.update({"redis", "workers"})
    await service.settle()
    assert ["redis"] == [data["part"] for _, data in told(database_url, tenant)]


async def test_an_outage_of_postgres_is_told_when_it_is_over(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["service.*"])
    service = Service(system_pool, database_url, "a")
    await service.settle()
    service.down.add("postgres")
    await service.settle()
    assert [] == told(database_url, tenant)
    service.down.clear()
    await service.settle()
    await service.settle()
    assert [("service.down", "postgres"), ("service.recovered", "postgres")] == [
        (kind, data["part"]) for kind, data in told(database_url, tenant)
    ]


async def test_only_those_who_chose_it_are_told(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["job.*", "service.recovered"])
    await have_endpoint(core, tenant, RECEIVER, events=["service.down"], enabled=False)
    suspended = make_tenant(database_url)
    await have_endpoint(core, suspended, RECEIVER, events=["service.down"])
    change(database_url, "UPDATE tenants SET state = 'suspended' WHERE id = %s", suspended.id)
    service = Service(system_pool, database_url, "a")
    service.down.add("workers")
    await service.settle()
    assert [] == told(database_url, tenant) + told(database_url, suspended)
