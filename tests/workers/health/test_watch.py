"""Parts of an installation that go down and come back are told to webhooks, once each, and not for every hiccup."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from schema.errors import Unavailable
from schema.postgres.connections import Pool, pool_for
from schema.queries.health.service_parts import PartStatus
from schema.vault import PLATFORM
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import change, rows
from tests.workers.webhooks.hooks import have_endpoint
from workers.health.checks import Finding
from workers.health.status_history import DAMPING_S, StatusChange, StatusHistory
from workers.health.watch import LEASE_S, Check, Part, ServiceWatch
from workers.queue.job_core import JobCore
from workers.scheduler import WATCH_S

RECEIVER = "http://127.0.0.1:9/hook"


class Service:
    """An installation whose parts fail when a test says so, and a scheduler that checks them."""

    def __init__(self, pool: Pool, url: str, name: str, *, now: list[float] | None = None) -> None:
        self.url, self.down, self.now, self.woken = url, set[str](), now or [1000.0], 0
        self.troubled = dict[str, float]()
        parts = {part: Part(self._check(part)) for part in ("postgres", "redis")}
        parts["workers"] = Part(self._check("workers"), depends_on=("redis",))
        self.watch = ServiceWatch(pool, parts, watcher=name, wake=self._wake, clock=lambda: self.now[0])

    def _check(self, part: str) -> Check:
        async def check() -> Finding:
            if part in self.down:
                raise Unavailable("a password, perhaps")
            if part in self.troubled:
                return Finding({"used_percent": 93.0}, "It is nearly full.", self.troubled[part])
            return Finding()

        return check

    async def _wake(self) -> None:
        self.woken += 1

    async def check_all(self, *, after_s: float = WATCH_S, times: int = 1) -> None:
        for _ in range(times):
            self.now[0] += after_s
            await self.watch.check_all()

    async def settle(self) -> None:
        """Check for long enough."""
        await self.check_all(times=int(DAMPING_S / WATCH_S) + 2)


@pytest.fixture
async def system_pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_system", max_size=2) as opened:
        yield opened


@pytest.fixture
def tenant(database_url: str) -> TestTenant:
    for table in ("service_parts", "service_checks"):
        change(database_url, f"DELETE FROM {table}")
    return make_tenant(database_url)


@pytest.fixture
def platform(database_url: str) -> Iterator[TestTenant]:
    yield TestTenant(PLATFORM, "platform", "")
    for table in ("webhook_deliveries", "webhook_endpoints"):
        change(database_url, f"DELETE FROM {table} WHERE tenant_id = %s", PLATFORM)


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
        await service.check_all(times=2)
    assert [] == told(database_url, tenant)


async def test_of_several_schedulers_one_tells_and_another_takes_over(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["service.down"])
    now = [1000.0]
    services = [Service(system_pool, database_url, name, now=now) for name in ("a", "b")]
    for one in services:
        await one.check_all()
        one.down.add("workers")
    for _ in range(6):
        for one in services:
            await one.check_all()
    assert ["service.down"] == [kind for kind, _ in told(database_url, tenant)]
    sql = "UPDATE service_parts SET watched_until = now() - make_interval(secs => 1), status = 'up'"
    change(database_url, sql)  # as if the first one had been killed before it told
    await services[1].check_all()
    await services[1].settle()
    assert ["service.down"] * 2 == [kind for kind, _ in told(database_url, tenant)]
    assert {"b"} == {row["watcher"] for row in rows(database_url, "SELECT watcher FROM service_parts")}
    await services[1].watch.release()
    await services[0].check_all()
    assert {"a"} == {row["watcher"] for row in rows(database_url, "SELECT watcher FROM service_parts")}
    assert LEASE_S > 2 * WATCH_S


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


async def test_pressure_is_told_to_the_operator_alone_and_what_it_becomes_to_all(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant, platform: TestTenant
) -> None:
    for owner in (tenant, platform):
        await have_endpoint(core, owner, RECEIVER, events=["service.*"])
    service = Service(system_pool, database_url, "a")
    await service.settle()
    service.troubled["redis"] = 0.0
    await service.settle()
    ((kind, data),) = told(database_url, platform)
    assert ("service.down", "degraded", "up", "It is nearly full.") == (
        kind,
        *(data[k] for k in ("status", "was", "error")),
    )
    assert [] == told(database_url, tenant)
    (part,) = rows(database_url, "SELECT status, detail FROM service_parts WHERE part = 'redis'")
    assert ("degraded", {"used_percent": 93.0}) == (part["status"], part["detail"])
    service.down.add("redis")
    await service.settle()
    assert ["down"] == [data["status"] for _, data in told(database_url, tenant)]
    service.down.clear()
    service.troubled.clear()
    await service.settle()
    assert [("service.down", "down"), ("service.recovered", "up")] == [
        (kind, data["status"]) for kind, data in told(database_url, tenant)
    ]
    assert ["degraded", "down", "up"] == [data["status"] for _, data in told(database_url, platform)]


async def test_what_is_no_longer_down_is_told_so_to_all_and_what_follows_to_the_operator(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant, platform: TestTenant
) -> None:
    for owner in (tenant, platform):
        await have_endpoint(core, owner, RECEIVER, events=["service.*"])
    service = Service(system_pool, database_url, "a")
    service.down.add("redis")
    await service.settle()
    service.down.clear()
    service.troubled["redis"] = 0.0
    await service.settle()
    service.troubled.clear()
    await service.settle()
    told_to_all = [("service.down", "down"), ("service.recovered", "degraded")]
    assert told_to_all == [(kind, data["status"]) for kind, data in told(database_url, tenant)]
    assert [*told_to_all, ("service.recovered", "up")] == [
        (kind, data["status"]) for kind, data in told(database_url, platform)
    ]


async def test_what_has_lasted_already_is_told_at_once(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    service = Service(system_pool, database_url, "a")
    service.troubled["redis"] = DAMPING_S
    await service.check_all()
    (part,) = rows(database_url, "SELECT status FROM service_parts WHERE part = 'redis'")
    assert "degraded" == part["status"]


async def test_a_part_that_comes_and_goes_is_told_once_until_it_is_calm(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["service.*"])
    service = Service(system_pool, database_url, "a")
    for _ in range(5):
        service.down.add("redis")
        await service.settle()
        service.down.clear()
        await service.settle()
    assert ["service.down", "service.recovered", "service.down"] == [kind for kind, _ in told(database_url, tenant)]
    await service.settle()
    assert "service.recovered" == told(database_url, tenant)[-1][0]


async def test_what_was_wrong_last_has_the_time_when_it_was_seen_last_and_is_over_while_the_return_is_awaited(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    service = Service(system_pool, database_url, "a")

    async def looked(times: int) -> dict[str, Any]:
        await service.check_all(times=times)
        sql = """SELECT status, error, error_at - since AS lasted, clock_timestamp() - error_at AS ago, works_since
            FROM service_parts WHERE part = 'redis'"""
        return rows(database_url, sql)[0]

    await service.settle()
    service.troubled["redis"] = 0.0
    assert ("up", "It is nearly full.") == ((hiccup := await looked(1))["status"], hiccup["error"])
    del service.troubled["redis"]
    service.down.add("redis")
    down = await looked(8)
    assert ("down", "It can't be reached.", None) == (down["status"], down["error"], down["works_since"])
    assert down["lasted"] >= timedelta(seconds=3 * WATCH_S)
    service.down.clear()
    waiting = await looked(2)
    assert ("down", True) == (waiting["status"], waiting["works_since"] is not None)
    assert waiting["ago"] >= timedelta(seconds=2 * WATCH_S)
    up = await looked(2)
    assert ("up", "It can't be reached.", None) == (up["status"], up["error"], up["works_since"])
    assert up["lasted"] < timedelta(), "the error was before the return"


async def test_the_history_has_a_row_a_minute_and_one_for_each_change_and_forgets(
    core: JobCore, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    change(
        database_url,
        "INSERT INTO service_checks (part, at, status, checks, failed, latency_ms) "
        "VALUES ('redis', now() - interval '8 days', 'up', 1, 0, 1), ('redis', now() - interval '6 days', 'up', 1, 0, 1)",
    )
    service = Service(system_pool, database_url, "a")
    await service.settle()
    service.down.add("redis")
    await service.settle()
    found = rows(
        database_url, "SELECT status, checks, failed, error FROM service_checks WHERE part = 'redis' ORDER BY at"
    )
    assert ["up", "up", "down"] == [row["status"] for row in found], "the one of eight days ago is gone"
    last = found[-1]
    assert "It can't be reached." == last["error"]
    assert 0 < last["failed"] < last["checks"], "what was checked since the row before, and how often it was down"


def test_a_trail_knows_worse_and_better_apart() -> None:
    history = StatusHistory()
    for at, status in enumerate(("down", "degraded", "down", "degraded", "down")):
        history.note(status, 3.0 * at, f"It is {status}.")
    assert history.change("up", 12.0, DAMPING_S) is None, "the next check tells which it is"
    history.note("degraded", 15.0, "It is degraded.")
    shown = history.change("up", 15.0, DAMPING_S)
    assert StatusChange("degraded", 0.0, "It is degraded.") == shown, "it was never up, and not down for long enough"
    history.note("up", 18.0, None)
    assert 18.0 == history.works_since("degraded")
    assert history.change("degraded", 25.0, DAMPING_S) is None
    assert history.change("degraded", 26.0, DAMPING_S) is not None


def test_an_outage_that_begins_with_a_slow_check_is_told_as_one() -> None:
    history = StatusHistory()
    found: tuple[PartStatus, ...] = ("degraded", "degraded", "down", "down")
    for at, status in zip((0.0, 3.0, 6.0, 9.0), found, strict=True):
        history.note(status, at, f"It is {status}.")
    assert StatusChange("down", 0.0, "It is down.") == history.change("up", 9.0, DAMPING_S)
