"""Pacing: who floods takes turns with itself, and nobody else waits."""

import asyncio
from uuid import UUID

import pytest

from schema.errors import QueueFull
from schema.ids import new_id
from schema.queries.jobs import submissions
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import job_row, submit_one
from workers.queue import submit_throttle
from workers.queue.job_core import JobCore
from workers.queue.submit_throttle import MOST_IN_LINE, SubmitThrottle

TENANT = new_id()


class Submits:
    """Counts how many of a tenant's submits are under way at once."""

    def __init__(self, throttle: SubmitThrottle) -> None:
        self.throttle, self.now, self.most = throttle, 0, 0

    async def one(self, tenant_id: UUID = TENANT) -> None:
        async with self.throttle.turn(tenant_id):
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0.001)
            self.now -= 1


async def test_whose_jobs_do_not_wait_submits_many_at_once() -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.note(TENANT, waits=False)
    await asyncio.gather(*(submits.one() for _ in range(10)))
    assert 10 == submits.most


async def test_whose_jobs_wait_submits_one_after_another_and_others_as_ever() -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.note(TENANT, waits=True)
    others = Submits(submits.throttle)
    await asyncio.gather(*(submits.one() for _ in range(10)), *(others.one(new_id()) for _ in range(10)))
    assert (1, 10) == (submits.most, others.most)


async def test_after_each_there_is_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.note(TENANT, waits=True)
    rests: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(delay: float, *args: object) -> object:
        if getattr(args[0], "__name__", "") == "_go_on":
            rests.append(delay)
        return call_later(delay, *args)

    monkeypatch.setattr(loop, "call_later", noted)
    for _ in range(3):
        await submits.one()
    assert 3 == len(rests)
    assert all(0 < rest <= submit_throttle.LONGEST_REST_S for rest in rests)


async def test_when_its_jobs_wait_no_longer_it_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_throttle, "KEPT_S", 0.0)
    submits = Submits(SubmitThrottle())
    submits.throttle.note(TENANT, waits=True)
    await asyncio.gather(*(submits.one() for _ in range(3)))
    while submits.throttle._lines:
        await asyncio.sleep(0.001)
    await asyncio.gather(*(submits.one() for _ in range(3)))
    assert 3 == submits.most


async def test_a_line_has_an_end_and_whoever_leaves_it_is_not_waited_for() -> None:
    submits = Submits(SubmitThrottle())
    submits.throttle.note(TENANT, waits=True)
    async with submits.throttle.turn(TENANT):
        waiting = [asyncio.create_task(submits.one()) for _ in range(MOST_IN_LINE)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="Send this one again"):
            await submits.one()
        for task in waiting[1:]:
            task.cancel()
        await asyncio.wait(waiting[1:])
    await waiting[0]
    await submits.one()


async def test_a_flood_beyond_the_cap_is_taken_in_one_by_one(
    core: JobCore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flooding, other = make_tenant(database_url, max_running=1), make_tenant(database_url)
    for _ in range(2):
        await submit_one(core, flooding)
    add_job, now, most = submissions.add_job, dict[TestTenant, int](), dict[TestTenant, int]()

    async def counted(*args: object, **options: object) -> object:
        tenant = flooding if args[1].tenant_id == flooding.id else other
        now[tenant] = now.get(tenant, 0) + 1
        most[tenant] = max(most.get(tenant, 0), now[tenant])
        try:
            return await add_job(*args, **options)
        finally:
            now[tenant] -= 1

    monkeypatch.setattr(submissions, "add_job", counted)
    jobs = await asyncio.gather(*(submit_one(core, tenant) for tenant in (flooding, other) for _ in range(8)))
    assert 1 == most[flooding] < most[other]
    assert {"queued"} == {job_row(database_url, job.job_id)["state"] for job in jobs[:8]}
