"""Who is next: caps, weights, priorities, the window, and dispatchers that run at the same time."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import redis

from schema.job_kinds import KINDS
from schema.postgres.connections import pool_for, system_tx, tenant_tx
from schema.queries.jobs.dispatch import dispatch_jobs, requeue_unanswered
from schema.queries.jobs.job_lists import list_jobs
from schema.queries.jobs.sweeper import UNANSWERED_DOORBELLS
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import change, claim, job_row, rows, submit_one, turn
from workers.queue.dispatch import Dispatcher
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


@pytest.fixture
async def dispatcher(core: JobCore, database_url: str) -> AsyncIterator[Dispatcher]:
    async with pool_for(database_url, "headrace_system", max_size=4) as pool:
        yield Dispatcher(pool, core.redis, window=100)


@pytest.fixture(autouse=True)
def _nothing_else_waits(database_url: str) -> None:
    change(database_url, "TRUNCATE jobs CASCADE")


async def waiting(core: JobCore, tenant: TestTenant, number: int, **changes: object) -> list[UUID]:
    """Jobs that a tenant with no room (max_running 0) has to wait with."""
    return [(await submit_one(core, tenant, **changes)).job_id for _ in range(number)]


def give_room(database_url: str, *tenants: TestTenant, jobs: int = 100) -> None:
    change(database_url, "UPDATE tenants SET max_running = %s WHERE id = ANY(%s)", jobs, [t.id for t in tenants])


def dispatched(database_url: str) -> list[UUID]:
    return [row["id"] for row in rows(database_url, "SELECT id FROM jobs WHERE state = 'dispatched' ORDER BY id")]


async def test_the_tenant_with_fewest_in_flight_is_next(
    core: JobCore, dispatcher: Dispatcher, database_url: str
) -> None:
    flood, quiet = make_tenant(database_url, max_running=0), make_tenant(database_url, max_running=0)
    await waiting(core, flood, 30)
    few = await waiting(core, quiet, 2)
    give_room(database_url, flood, quiet)
    dispatcher._window = 4
    assert 4 == await dispatcher.dispatch("chat")
    assert set(few) <= set(dispatched(database_url))


async def test_only_tenants_whose_turn_it_is_are_locked(
    core: JobCore, dispatcher: Dispatcher, database_url: str
) -> None:
    """With ten thousand that wait, a lock for each would be more than Postgres has."""
    tenants = [make_tenant(database_url, max_running=0) for _ in range(6)]
    first = [(await waiting(core, tenant, 2))[0] for tenant in tenants]
    give_room(database_url, *tenants)
    async with system_tx(dispatcher._pool) as db:
        jobs = await dispatch_jobs(db, "chat", window=2, batches=(1,))
        mine = "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        locks = await (await db.execute(mine)).fetchone()
    assert {"held": 2} == locks
    assert set(first[:2]) == {job.id for job in jobs}


async def test_those_who_may_not_run_take_nobodys_turn(
    core: JobCore, dispatcher: Dispatcher, database_url: str
) -> None:
    """Tenants at their cap, suspended ones and suspects that wait for others have older jobs, and are more than the window."""
    capped, paused, suspect, able = (make_tenant(database_url, max_running=0) for _ in range(4))
    for tenant in (capped, paused, suspect):
        await waiting(core, tenant, 3)
    (mine,) = await waiting(core, able, 1)
    give_room(database_url, paused, suspect, able)
    change(database_url, "UPDATE tenants SET state = 'suspended' WHERE id = %s", paused.id)
    change(database_url, "UPDATE jobs SET suspect = true, losses = 1 WHERE tenant_id = %s", suspect.id)
    dispatcher._window = 2
    await dispatcher.dispatch("chat")
    change(database_url, "UPDATE jobs SET state = 'running' WHERE state = 'dispatched' AND suspect")
    await dispatcher.dispatch("chat")
    assert mine in dispatched(database_url)


async def test_weights_share_the_window(core: JobCore, dispatcher: Dispatcher, database_url: str) -> None:
    light, heavy = make_tenant(database_url, max_running=0), make_tenant(database_url, max_running=0, weight=3)
    await waiting(core, light, 20)
    await waiting(core, heavy, 20)
    give_room(database_url, light, heavy)
    dispatcher._window = 8
    await dispatcher.dispatch("chat")
    (share,) = rows(
        database_url,
        "SELECT count(*) FILTER (WHERE tenant_id = %s) AS light, count(*) FILTER (WHERE tenant_id = %s) AS heavy "
        "FROM jobs WHERE state = 'dispatched'",
        light.id,
        heavy.id,
    )
    assert {"light": 2, "heavy": 6} == share


async def test_priority_then_age_decides_within_a_tenant(
    core: JobCore, dispatcher: Dispatcher, database_url: str
) -> None:
    tenant = make_tenant(database_url, max_running=0)
    low = await waiting(core, tenant, 1, priority="low")
    normal = await waiting(core, tenant, 2)
    high = await waiting(core, tenant, 1, priority="high")
    give_room(database_url, tenant)
    order = []
    for size in (1, 2, 3, 4):
        dispatcher._window = size
        await dispatcher.dispatch("chat")
        order += [job for job in dispatched(database_url) if job not in order]
    assert [*high, *normal, *low] == order


async def test_running_jobs_count_against_the_cap(core: JobCore, dispatcher: Dispatcher, database_url: str) -> None:
    tenant = make_tenant(database_url, max_running=2)
    first = await submit_one(core, tenant)
    await claim(core, database_url, first.job_id)
    await waiting(core, tenant, 3)
    await dispatcher.dispatch("chat")
    assert 1 == len(dispatched(database_url))


async def test_a_parked_turn_and_a_retry_that_is_not_due_stay(
    core: JobCore, dispatcher: Dispatcher, database_url: str, tenant: TestTenant
) -> None:
    first = await submit(core, turn(tenant))
    await submit(core, turn(tenant, first.session_id))
    later = await submit_one(core, tenant)
    change(
        database_url,
        "UPDATE jobs SET state = 'queued', run_at = now() + interval '1 hour' WHERE id = %s",
        later.job_id,
    )
    assert 0 == await dispatcher.dispatch("chat")


async def test_dispatchers_at_the_same_time_never_pass_a_cap_or_ring_twice(
    core: JobCore, dispatcher: Dispatcher, database_url: str, redis_url: str
) -> None:
    tenant = make_tenant(database_url, max_running=0)
    await waiting(core, tenant, 40)
    give_room(database_url, tenant, jobs=25)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("chat")
        numbers = await asyncio.gather(*(dispatcher.dispatch("chat") for _ in range(4)))
        assert (25, 25) == (sum(numbers), client.llen("chat"))
    assert 25 == len(dispatched(database_url))


@pytest.mark.parametrize("cap", [7, 70])
async def test_submits_and_dispatchers_at_the_same_time_keep_the_cap(
    core: JobCore, dispatcher: Dispatcher, database_url: str, cap: int
) -> None:
    tenant = make_tenant(database_url, max_running=cap)

    async def dispatch_often() -> None:
        for _ in range(20):
            await dispatcher.dispatch("chat")

    await asyncio.gather(dispatch_often(), *(submit_one(core, tenant) for _ in range(60 + cap)))
    await dispatcher.dispatch("chat")
    assert cap == len(dispatched(database_url))


async def test_doorbells_that_redis_does_not_take_are_taken_back_and_count_against_no_worker(
    core: JobCore, database_url: str, unused_tcp_port: int
) -> None:
    tenant = make_tenant(database_url, max_running=0)
    (job,) = await waiting(core, tenant, 1)
    give_room(database_url, tenant)
    nowhere = RedisClient(RedisAddress(port=unused_tcp_port))
    async with pool_for(database_url, "headrace_system", max_size=2) as pool:
        for _ in range(5):
            assert 0 == await Dispatcher(pool, nowhere).dispatch("chat")
        async with system_tx(pool) as db:
            assert [] == await (await db.execute(UNANSWERED_DOORBELLS, {"queues": ["chat"]})).fetchall()
    row = job_row(database_url, job)
    assert ("queued", 0) == (row["state"], row["dispatch_seq"])


async def test_the_window_bounds_what_waits_in_redis(core: JobCore, dispatcher: Dispatcher, database_url: str) -> None:
    tenants = [make_tenant(database_url, max_running=0) for _ in range(3)]
    for tenant in tenants:
        await waiting(core, tenant, 10)
    give_room(database_url, *tenants)
    dispatcher._window = 12
    assert (12, 0) == (await dispatcher.dispatch("chat"), await dispatcher.dispatch("chat"))


async def test_a_flood_of_files_leaves_slots_of_ingestion_to_others_and_says_what_it_waits_for(
    core: JobCore, dispatcher: Dispatcher, database_url: str
) -> None:
    flood, other = make_tenant(database_url), make_tenant(database_url)
    ingestion = KINDS["ingestion"]
    jobs = [(await submit_one(core, flood, kind=ingestion)).job_id for _ in range(10)]
    chats = [(await submit_one(core, flood)).job_id for _ in range(2)]
    await dispatcher.dispatch("ingestion")
    assert {*jobs[: ingestion.max_running_per_tenant], *chats} == set(dispatched(database_url))
    assert "dispatched" == job_row(database_url, (await submit_one(core, other, kind=ingestion)).job_id)["state"]
    async with tenant_tx(core.pool, flood.id) as db:
        waits = await list_jobs(db, flood.id, limit=20, kind="ingestion", states=["queued"])
    assert {"tenant_cap"} == {job.waiting_for for job in waits}
    assert 6 == len(waits)

    change(database_url, "UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = %s", jobs[0])
    assert 1 == await dispatcher.dispatch("ingestion")


async def test_a_doorbell_of_a_slow_queue_may_go_unanswered_for_longer(core: JobCore, database_url: str) -> None:
    tenant = make_tenant(database_url)
    slow = (await submit_one(core, tenant, kind=KINDS["ingestion"])).job_id
    usual = (await submit_one(core, tenant)).job_id
    change(database_url, "UPDATE jobs SET dispatched_at = now() - interval '30 s'")
    async with pool_for(database_url, "headrace_system", max_size=1) as pool, system_tx(pool) as db:
        assert 1 == await requeue_unanswered(db, after_s=10)
    assert ("dispatched", "queued") == tuple(job_row(database_url, job)["state"] for job in (slow, usual))
