"""The submit throttle: the submits of a flooding tenant run one at a time, and those of others are not delayed."""

import asyncio
from uuid import UUID

import pytest

from schema.errors import QueueFull
from schema.ids import new_id
from schema.queries.jobs import submissions
from tests.conftest import TestTenant, make_tenant
from tests.waiting import PATIENCE_S
from tests.workers.jobs import job_row, submit_one
from workers.queue import submit_throttle
from workers.queue.job_core import JobCore
from workers.queue.submit_throttle import MAX_WAITING, SubmitThrottle

TENANT = new_id()


class Submits:
    """Counts how many of a tenant's submits are under way at once."""

    def __init__(self, throttle: SubmitThrottle) -> None:
        self.throttle, self.now, self.most = throttle, 0, 0

    async def one(self, tenant_id: UUID = TENANT) -> None:
        async with self.throttle.admit(tenant_id):
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1


async def test_a_tenant_below_its_cap_submits_many_jobs_at_once() -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.record(TENANT, at_cap=False)
    await asyncio.gather(*(submits.one() for _ in range(10)))
    assert 10 == submits.most


async def test_a_throttled_tenant_submits_one_job_at_a_time_and_others_are_not_delayed() -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.record(TENANT, at_cap=True)
    others = Submits(submits.throttle)
    await asyncio.gather(*(submits.one() for _ in range(10)), *(others.one(new_id()) for _ in range(10)))
    assert (1, 10) == (submits.most, others.most)


async def test_a_pause_follows_each_throttled_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.record(TENANT, at_cap=True)
    pauses: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(delay: float, *args: object) -> object:
        if getattr(args[0], "__name__", "") == "_release":
            pauses.append(delay)
        return call_later(delay, *args)

    monkeypatch.setattr(loop, "call_later", noted)
    for _ in range(3):
        await submits.one()
    assert 3 == len(pauses)
    assert all(0 < pause <= submit_throttle.MAX_PAUSE_S for pause in pauses)


async def test_the_throttle_ends_when_jobs_no_longer_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_throttle, "THROTTLED_S", 0.0)
    submits = Submits(SubmitThrottle())
    submits.throttle.record(TENANT, at_cap=True)
    await asyncio.gather(*(submits.one() for _ in range(3)))
    while submits.throttle._throttled:
        await asyncio.sleep(0.001)
    await asyncio.gather(*(submits.one() for _ in range(3)))
    assert 3 == submits.most


async def test_too_many_waiting_submits_are_refused_and_cancelled_ones_are_skipped() -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.record(TENANT, at_cap=True)
    async with submits.throttle.admit(TENANT):
        waiting = [asyncio.create_task(submits.one()) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="Retry in a moment"):
            await submits.one()
        for task in waiting[1:]:
            task.cancel()
        await asyncio.wait(waiting[1:])
    await waiting[0]
    await submits.one()


async def test_a_flood_beyond_the_cap_is_accepted_one_job_at_a_time(
    core: JobCore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooding, other = make_tenant(database_url, max_running=1), make_tenant(database_url)
    for _ in range(2):
        await submit_one(core, flooding)
    add_job, now, most = submissions.add_job, dict[TestTenant, int](), dict[TestTenant, int]()
    two_at_once = asyncio.Event()

    async def counted(*args: object, **options: object) -> object:
        tenant = flooding if args[1].tenant_id == flooding.id else other
        now[tenant] = now.get(tenant, 0) + 1
        most[tenant] = max(most.get(tenant, 0), now[tenant])
        try:
            if most.get(other, 0) > 1:
                two_at_once.set()
            if tenant is other:  # or each might be done before the next begins
                await asyncio.wait_for(two_at_once.wait(), PATIENCE_S)
            return await add_job(*args, **options)
        finally:
            now[tenant] -= 1

    monkeypatch.setattr(submissions, "add_job", counted)
    jobs = await asyncio.gather(*(submit_one(core, tenant) for tenant in (flooding, other) for _ in range(8)))
    assert 1 == most[flooding] < most[other]
    assert {"queued"} == {job_row(database_url, job.job_id)["state"] for job in jobs[:8]}
