"""One of the jobs that were lost with a worker may have killed it: it is found, and the others come through."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from schema.postgres.connections import tenant_tx
from schema.queries.jobs.attempts import Ending, clear_suspect, finish_job
from schema.queries.jobs.jobs import compress_frames
from schema.queries.jobs.sweeper import LostJob, RequeuedJob
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.waiting import wait_for
from tests.workers.jobs import Script, change, claim, job_row, rows, submit_one, worker_context
from workers.queue.attempts import attempt_job
from workers.queue.dispatch import BATCHES, Dispatcher
from workers.queue.job_core import JobCore
from workers.queue.leases import host_name, owner_name
from workers.queue.suspects import FIRST_PROBATION_S, MAX_PROBATION_S, assess_losses
from workers.scheduler import Scheduler
from workers.settings import WorkerSettings

ALIVE, ELSEWHERE = owner_name("chat"), "chat@elsewhere-00000000/1/1"


@pytest.fixture
async def scheduler(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scheduler]:
    """It dispatches only when told: `change` would block the loop on the rows that a dispatch has locked."""
    monkeypatch.setattr(Dispatcher, "kick_later", lambda *_: None)
    change(database_url, "TRUNCATE jobs CASCADE")
    async with Scheduler(WorkerSettings(database_url, redis_url, vault=VAULT)) as scheduler:
        yield scheduler


def lost(owner: str = "a", *, losses: int = 0, suspect: bool = False, lived_s: float = 0.1, tries: int = 1) -> LostJob:
    return LostJob(
        tenant_id=uuid4(), id=uuid4(), attempt=1, queue="chat", tries=tries, max_tries=4, cancel_requested=None,
        lease_owner=owner, losses=losses, suspect=suspect, lived_s=lived_s,
    )  # fmt: skip


def verdicts(returns: list[RequeuedJob]) -> list[tuple[int, bool]]:
    return [(back.losses, back.refund) for back in returns]


def gone(number: int) -> str:
    return f"chat@{host_name()}/{2**22 + number}/1"


def test_a_job_that_is_lost_alone_spends_a_try_and_several_that_are_lost_together_spend_none():
    assert [(1, False)] == verdicts(assess_losses([lost()]))
    assert [(1, True)] * 3 == verdicts(assess_losses([lost(), lost(), lost()]))
    assert [(1, False), (1, False)] == verdicts(assess_losses([lost("a"), lost("b")]))


def test_the_only_suspect_of_a_lost_worker_is_blamed_and_its_neighbours_start_over():
    returns = assess_losses([lost(), lost(losses=2, suspect=True), lost(losses=3)])
    assert [(1, True), (3, False), (1, True)] == verdicts(returns)


def test_of_several_suspects_each_is_lost_once_more_and_none_spends_a_try():
    returns = assess_losses([lost(losses=1, suspect=True), lost(losses=1, suspect=True), lost()])
    assert [(2, True), (2, True), (1, True)] == verdicts(returns)


def test_cleared_jobs_that_are_lost_together_again_are_tried_for_longer_than_they_ran():
    first, again, long = assess_losses([lost(), lost(losses=1, lived_s=8.0), lost(losses=1, lived_s=900.0)])
    assert [1, 2, 2] == [back.losses for back in (first, again, long)]
    assert [FIRST_PROBATION_S, 12.0, MAX_PROBATION_S] == [back.probation_s for back in (first, again, long)]


async def test_a_job_that_kills_every_worker_fails_and_its_sixty_neighbours_come_through(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    """The worker that takes the poison dies with it and with half of what was claimed at that time."""
    neighbours = {(await submit_one(core, tenant)).job_id for _ in range(60)}
    poison = (await submit_one(core, tenant)).job_id
    for death in range(20):
        await _answer_doorbells(core, database_url, tenant, poison, owner=gone(death))
        await scheduler.sweep()
        change(database_url, "UPDATE jobs SET run_at = now() WHERE state = 'queued'")
        await scheduler.dispatch()

    states = {
        row["id"]: (row["state"], row["tries"]) for row in rows(database_url, "SELECT id, state, tries FROM jobs")
    }
    assert ("failed", 4) == states.pop(poison)
    assert dict.fromkeys(neighbours, ("succeeded", 1)) == states
    assert "worker_lost" == job_row(database_url, poison)["error"]["code"]


async def _answer_doorbells(core: JobCore, database_url: str, tenant: TestTenant, poison: UUID, *, owner: str) -> None:
    dispatched = [row["id"] for row in rows(database_url, "SELECT id FROM jobs WHERE state = 'dispatched' ORDER BY id")]
    doomed = set(dispatched[1::2]) | {poison} if poison in dispatched else set[UUID]()
    for job_id in dispatched:
        job = await claim(core, database_url, job_id, worker=owner if job_id in doomed else ALIVE)
        assert job is not None
        if job_id not in doomed:
            ending = Ending("succeeded", 0, compress_frames([]))
            await finish_job(core.pool, tenant.id, job_id, job.attempt, ending, session_id=None, worker=ALIVE)


async def test_suspects_are_dispatched_in_batches_and_other_jobs_beside_them(
    core: JobCore, scheduler: Scheduler, database_url: str
) -> None:
    tenant, other = make_tenant(database_url, max_running=500), make_tenant(database_url, max_running=0)
    suspects = [(await submit_one(core, tenant)).job_id for _ in range(20)]
    await submit_one(core, other)
    change(
        database_url,
        "UPDATE jobs SET state = 'queued', suspect = true, losses = CASE WHEN id = ANY(%s) THEN 2 ELSE 1 END"
        " WHERE tenant_id = %s",
        suspects[2:],
        tenant.id,
    )
    change(database_url, "UPDATE tenants SET max_running = 100 WHERE id = %s", other.id)
    await scheduler.dispatch()
    batch = [row["id"] for row in rows(database_url, "SELECT id FROM jobs WHERE state = 'dispatched' ORDER BY id")]
    assert BATCHES[1] + 1 == len(batch)
    assert not set(suspects[:2]) & set(batch)

    claimed = [await claim(core, database_url, job_id, worker=ALIVE) for job_id in batch]
    await scheduler.dispatch()
    assert [] == rows(database_url, "SELECT id FROM jobs WHERE state = 'dispatched'")

    for job in claimed:
        assert job is not None
        async with tenant_tx(core.pool, job.tenant_id) as db:
            await clear_suspect(db, job.tenant_id, job.id, job.attempt, worker=ALIVE)
    await scheduler.dispatch()
    assert 2 == len(rows(database_url, "SELECT id FROM jobs WHERE state = 'dispatched' AND losses = 2"))


async def test_a_suspect_that_runs_for_its_probation_is_cleared(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    change(database_url, "UPDATE jobs SET suspect = true, losses = 1, probation_s = 0.05 WHERE id = %s", job.job_id)
    async with worker_context(database_url, redis_url) as worker:
        go_on = asyncio.Event()
        running = asyncio.create_task(attempt_job(worker.queue, Script(go_on), tenant.id, job.job_id, 1))
        await wait_for(lambda: not job_row(database_url, job.job_id)["suspect"], "the suspect was cleared")
        assert "running" == job_row(database_url, job.job_id)["state"]
        go_on.set()
        await running


async def test_jobs_of_a_worker_elsewhere_are_lost_together_when_it_renews_none_of_them(
    core: JobCore, scheduler: Scheduler, database_url: str, tenant: TestTenant
) -> None:
    jobs = [await submit_one(core, tenant) for _ in range(3)]
    for job in jobs:
        await claim(core, database_url, job.job_id, worker=ELSEWHERE)
    expired = "UPDATE jobs SET lease_until = now() - interval '1 s' WHERE id = %s"
    change(database_url, expired, jobs[0].job_id)
    await scheduler.sweep()
    assert [("queued", 1), ("running", 1), ("running", 1)] == [_state(database_url, job.job_id) for job in jobs]

    change(database_url, expired, jobs[1].job_id)
    change(database_url, "UPDATE jobs SET lease_until = now() + interval '5 s' WHERE id = %s", jobs[2].job_id)
    await scheduler.sweep()
    assert [("queued", 0), ("queued", 0)] == [_state(database_url, job.job_id) for job in jobs[1:]]


def _state(database_url: str, job_id: UUID) -> tuple[str, int]:
    row = job_row(database_url, job_id)
    return row["state"], row["tries"]
