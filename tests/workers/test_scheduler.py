"""The sweeper: whatever got lost is found, and ended or tried again exactly once."""

import asyncio
import os
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import psycopg
import pytest
from structlog.testing import capture_logs

from schema import events
from schema.errors import Unavailable
from schema.events import decode_event
from tests.conftest import TestTenant, make_tenant
from tests.schema.postgres.read_only import read_only
from tests.secret import VAULT
from tests.waiting import wait_for
from tests.workers.jobs import change, claim, job_row, read_all, rows, submit_one, turn
from workers.queue.job_core import JobCore
from workers.queue.leases import host_name, owner_name
from workers.queue.submit import submit
from workers.scheduler import Scheduler
from workers.settings import WorkerSettings

ELSEWHERE = "chat@elsewhere-00000000/1/1"
GONE = f"chat@{host_name()}/{2**22 + 1}/1"


@pytest.fixture
async def scheduler(database_url: str, redis_url: str) -> AsyncIterator[Scheduler]:
    async with Scheduler(WorkerSettings(database_url, redis_url, unanswered_s=5, vault=VAULT)) as scheduler:
        yield scheduler


async def test_a_doorbell_that_nobody_answered_is_rung_again(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    change(database_url, "UPDATE jobs SET dispatched_at = now() - interval '1 minute' WHERE id = %s", job.job_id)
    await scheduler.sweep()
    assert "queued" == job_row(database_url, job.job_id)["state"]
    await scheduler.dispatch()
    row = job_row(database_url, job.job_id)
    assert ("dispatched", 2) == (row["state"], row["dispatch_seq"])


async def test_a_lease_that_ran_out_gives_the_job_back(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await claim(core, database_url, job.job_id, worker=ELSEWHERE)
    await scheduler.sweep()
    assert "running" == job_row(database_url, job.job_id)["state"]
    change(database_url, "UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = %s", job.job_id)
    await scheduler.sweep()
    row = job_row(database_url, job.job_id)
    (attempt,) = rows(database_url, "SELECT outcome FROM attempts WHERE job_id = %s", job.job_id)
    assert ("queued", 1, "lost") == (row["state"], row["tries"], attempt["outcome"])


async def test_after_an_outage_live_workers_have_time_to_renew_their_leases(
    core: JobCore,
    database_url: str,
    redis_url: str,
    tenant: TestTenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone, silent = await submit_one(core, tenant), await submit_one(core, tenant)
    await claim(core, database_url, gone.job_id, worker=GONE)
    await claim(core, database_url, silent.job_id, worker=ELSEWHERE)
    change(database_url, "UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = %s", silent.job_id)
    async with Scheduler(WorkerSettings(database_url, redis_url, lease_s=4, vault=VAULT)) as scheduler:
        with monkeypatch.context() as outage:
            outage.setattr("workers.scheduler.queries.list_lease_owners", AsyncMock(side_effect=Unavailable("away")))
            with pytest.raises(Unavailable):
                await scheduler.sweep()
        await scheduler.sweep()
        states = [job_row(database_url, job.job_id)["state"] for job in (gone, silent)]
        assert ["queued", "running"] == states  # who is known to be dead needs no time

        async def is_swept() -> bool:
            await scheduler.sweep()
            return "queued" == job_row(database_url, silent.job_id)["state"]

        await wait_for(is_swept, "who has not renewed for half a lease after the outage is lost")


async def test_a_postgres_that_stood_still_without_an_error_was_an_outage(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    gone, silent = await submit_one(core, tenant), await submit_one(core, tenant)
    await claim(core, database_url, silent.job_id, worker=ELSEWHERE)
    change(database_url, "UPDATE jobs SET lease_until = now() + interval '1 minute' WHERE id = %s", silent.job_id)
    async with Scheduler(WorkerSettings(database_url, redis_url, lease_s=4, vault=VAULT)) as scheduler:
        await scheduler.sweep()
        await claim(core, database_url, gone.job_id, worker=GONE)
        with psycopg.connect(database_url) as frozen:
            frozen.execute("LOCK TABLE jobs")
            sweep = asyncio.create_task(scheduler.sweep())
            await asyncio.sleep(2.5)  # longer than half a lease
            frozen.execute("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = %s", (silent.job_id,))
        await sweep
        states = [job_row(database_url, job.job_id)["state"] for job in (gone, silent)]
        assert ["queued", "running"] == states

        async def is_swept() -> bool:
            await scheduler.sweep()
            return "queued" == job_row(database_url, silent.job_id)["state"]

        await wait_for(is_swept, "who has not renewed for half a lease after that is lost")


async def test_a_worker_of_this_host_that_is_gone_holds_no_lease(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    gone, alive = await submit_one(core, tenant), await submit_one(core, tenant)
    await claim(core, database_url, gone.job_id, worker=GONE)
    await claim(core, database_url, alive.job_id, worker=owner_name("chat"))
    await scheduler.sweep()
    states = [job_row(database_url, job.job_id)["state"] for job in (gone, alive)]
    assert ["queued", "running"] == states


async def test_a_job_that_kills_its_workers_is_failed_when_its_tries_are_spent(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await claim(core, database_url, job.job_id, worker=GONE)
    change(database_url, "UPDATE jobs SET tries = max_tries WHERE id = %s", job.job_id)
    await scheduler.sweep()
    frames = await read_all(await core.hub.join(tenant.id, job.job_id))
    failed = decode_event(frames[-1])
    assert isinstance(failed, events.JobFailed)
    assert ("worker_lost", "failed") == (failed.error.code, job_row(database_url, job.job_id)["state"])
    assert [1, 2] == [frame.seq for frame in frames]


async def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await claim(core, database_url, job.job_id, worker=GONE)
    change(database_url, "UPDATE jobs SET cancel_requested = 'keep' WHERE id = %s", job.job_id)
    await scheduler.sweep()
    assert "cancelled" == job_row(database_url, job.job_id)["state"]


async def test_a_job_that_waits_past_its_deadline_fails_with_that_reason(
    core: JobCore, scheduler: Scheduler, database_url: str
) -> None:
    tenant = make_tenant(database_url, max_running=0)
    job = await submit_one(core, tenant)
    change(database_url, "UPDATE jobs SET deadline_at = now() - interval '1 s' WHERE id = %s", job.job_id)
    await scheduler.sweep()
    row = job_row(database_url, job.job_id)
    assert ("failed", "deadline_passed") == (row["state"], row["error"]["code"])


async def test_a_turn_that_nobody_let_go_is_let_go(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    first = await submit(core, turn(tenant))
    second = await submit(core, turn(tenant, first.session_id))
    change(database_url, "UPDATE jobs SET state = 'succeeded' WHERE id = %s", first.job_id)
    await scheduler.sweep()
    assert not job_row(database_url, second.job_id)["parked"]


async def test_schedulers_at_the_same_time_sweep_once(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    jobs = [await submit_one(core, tenant) for _ in range(10)]
    for job in jobs:
        await claim(core, database_url, job.job_id, worker=GONE)
    settings = WorkerSettings(database_url, redis_url, vault=VAULT)
    async with Scheduler(settings) as one, Scheduler(settings) as two:
        await asyncio.gather(*(scheduler.sweep() for scheduler in (one, two) * 3))
    assert {(1, 0)} == {(r["losses"], r["tries"]) for r in (job_row(database_url, j.job_id) for j in jobs)}


def test_an_owner_tells_whether_it_lives() -> None:
    from workers.queue.leases import has_died

    mine = owner_name("chat")
    reused = mine.rsplit("/", 1)[0] + "/1"
    assert [False, False, True, True] == [has_died(owner) for owner in (mine, ELSEWHERE, GONE, reused)]
    assert str(os.getpid()) == mine.split("/")[1]


async def test_the_scheduler_goes_on_while_postgres_is_read_only(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    change(database_url, "UPDATE jobs SET dispatched_at = now() - interval '1 minute' WHERE id = %s", job.job_id)
    with read_only(database_url), capture_logs() as logs:
        task = asyncio.create_task(scheduler.run())
        await wait_for(lambda: any(line.get("what") == "sweep" for line in logs), "the sweep was postponed")
    assert {"maintenance_postponed"} == {line["event"] for line in logs if line.get("what")}
    await wait_for(lambda: job_row(database_url, job.job_id)["dispatch_seq"] > 1, "the same scheduler swept")
    assert not task.done()
    task.cancel()
    await asyncio.wait((task,))


async def test_one_kind_of_work_that_fails_does_not_stop_the_others(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = 0

    async def fail() -> None:
        raise RuntimeError("a defect")

    async def sweep() -> None:
        nonlocal sweeps
        sweeps += 1

    monkeypatch.setattr(scheduler, "dispatch", fail)
    monkeypatch.setattr(scheduler, "sweep", sweep)
    with capture_logs() as logs:
        task = asyncio.create_task(scheduler.run())
        await wait_for(lambda: sweeps > 1, "the scheduler went on sweeping")
    assert not task.done()
    assert "maintenance_failed" in {line["event"] for line in logs}
    task.cancel()
    await asyncio.wait((task,))
