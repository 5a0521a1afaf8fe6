"""All clients of a process that was restarted come back at once: they wait for one another, and none is refused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest

from schema.errors import NotFound
from schema.ids import new_id
from tests.conftest import TestTenant, make_tenant
from tests.waiting import wait_for
from tests.workers.jobs import claim, read_all, submit_one
from workers.queue.cancel import cancel
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core
from workers.redis.address import Command
from workers.stream import hub
from workers.stream.follow import Follower

CLIENTS = 300


@pytest.fixture
async def small_core(database_url: str, redis_url: str) -> AsyncIterator[JobCore]:
    """With two connections to Postgres."""
    async with open_job_core(JobCoreSettings(database_url, redis_url, pool_size=2)) as opened:
        yield opened


def requests(core: JobCore) -> int:
    """How many connections were asked for so far."""
    return core.pool.get_stats().get("requests_num", 0)


async def test_all_clients_that_come_back_at_once_are_served_by_a_few_look_ups(
    small_core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    other = make_tenant(database_url)
    mine, theirs = await submit_one(small_core, tenant), await submit_one(small_core, other)
    before = requests(small_core)
    joins = [small_core.hub.join(owner.id, job.job_id) for owner, job in ((tenant, mine), (other, theirs)) * CLIENTS]
    followers = await asyncio.gather(*joins)
    assert 2 * CLIENTS == small_core.hub.open_streams
    assert requests(small_core) - before < 20
    for follower in followers:
        follower.close()


async def test_those_who_wait_for_a_connection_are_served_when_there_is_one(
    small_core: JobCore, tenant: TestTenant
) -> None:
    job = await submit_one(small_core, tenant)
    async with small_core.pool.connection(), small_core.pool.connection():
        joins = [asyncio.create_task(small_core.hub.join(tenant.id, job.job_id)) for _ in range(CLIENTS)]
        await asyncio.sleep(0)
    followers: list[Follower] = await asyncio.gather(*joins)
    for follower in followers:
        follower.close()


async def test_each_joins_only_what_it_may_see_whoever_else_is_looked_up_with_it(
    small_core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    other, user_id = make_tenant(database_url), new_id()
    mine, theirs = await submit_one(small_core, tenant), await submit_one(small_core, other)
    joins = [
        small_core.hub.join(tenant.id, mine.job_id),
        small_core.hub.join(tenant.id, theirs.job_id),
        small_core.hub.join(other.id, mine.job_id),
        small_core.hub.join(other.id, theirs.job_id),
        small_core.hub.join(tenant.id, mine.job_id, visible_user_id=user_id),
        small_core.hub.join(tenant.id, new_id()),
    ]
    results = await asyncio.gather(*joins, return_exceptions=True)
    expected = [Follower, NotFound, NotFound, Follower, NotFound, NotFound]
    assert expected == [type(result) for result in results]
    for result in results:
        if isinstance(result, Follower):
            result.close()


async def test_those_whose_jobs_ended_meanwhile_read_the_log_together(
    small_core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(small_core, tenant)
    await claim(small_core, database_url, job.job_id)
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE jobs SET state = 'queued', lease_owner = NULL WHERE id = %s", (job.job_id,))
    await cancel(small_core, tenant.id, job.job_id, mode="forget")
    await small_core.redis.call("FLUSHDB")
    before = requests(small_core)
    followers = await asyncio.gather(*(small_core.hub.join(tenant.id, job.job_id) for _ in range(CLIENTS)))
    readings = await asyncio.gather(*(read_all(follower) for follower in followers))
    assert {"job.cancelled"} == {frames[-1].type for frames in readings}
    assert requests(small_core) - before < 20


async def test_those_who_come_back_to_one_job_read_its_stream_once(
    small_core: JobCore, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit_one(small_core, tenant)
    sent: list[str] = []
    send = small_core.redis.send

    async def counted(commands: Sequence[Command]) -> list[Any]:
        sent.extend(str(command[0]) for command in commands)
        return await send(commands)

    monkeypatch.setattr(small_core.redis, "send", counted)
    followers = await asyncio.gather(*(small_core.hub.join(tenant.id, job.job_id, after=1) for _ in range(CLIENTS)))
    await asyncio.gather(*(small_core.hub.read_stream(tenant.id, job.job_id, after=1) for _ in followers))
    assert {"HGET", "XRANGE"} <= set(sent)
    assert len(sent) < 20
    for follower in followers:
        follower.close()


async def test_a_silent_stream_is_asked_for_its_last_event_and_not_read(
    small_core: JobCore, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand clients that wait for a slow model would have ten thousand streams read every few seconds."""
    job, sent = await submit_one(small_core, tenant), list[str]()
    follower = await small_core.hub.join(tenant.id, job.job_id, after=1)
    waiting = asyncio.create_task(read_all(follower))
    await wait_for(lambda: follower._wakeup, "the stream was read up to its end")
    send = small_core.redis.send

    async def noted(commands: Sequence[Command]) -> list[Any]:
        sent.extend(str(command[0]) for command in commands)
        return await send(commands)

    monkeypatch.setattr(small_core.redis, "send", noted)
    monkeypatch.setattr(hub, "CHECK_AFTER_S", 0.05)
    await wait_for(lambda: sent.count("HGET") >= 3, "the silent follower was checked three times")
    assert "XRANGE" not in sent
    await cancel(small_core, tenant.id, job.job_id)
    assert "job.cancelled" == (await waiting)[-1].type
