"""Submitting: what a 2xx promises, and when a job may start at once."""

import asyncio
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow

from api.local.stores.local_stores import Stores
from schema.errors import IdempotencyReused, NotFound, QueueFull, SessionBusy
from schema.events import read_frames
from schema.ids import new_id
from schema.queries.jobs.submissions import (
    DISPATCH_LOCK,
    DISPATCH_SLOTS,
    SLOT_LOCK,
    SLOTTED_CAP,
    TRY_DISPATCH_LOCK,
    Idempotency,
)
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import change, claim, job_row, rows, submission, submit_one, turn
from workers.queue.cancel import cancel
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core
from workers.queue.submit import submit


async def test_an_accepted_job_is_a_row_and_starts_at_once(
    core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    done = await submit_one(core, tenant)
    row = job_row(database_url, done.job_id)
    assert ("dispatched", 1, 0) == (row["state"], row["dispatch_seq"], row["attempt"])
    (frame,) = read_frames(done.queued)
    assert (1, "job.queued") == (frame.seq, frame.type)


async def test_a_tenant_at_its_cap_waits_in_postgres(core: JobCore, database_url: str) -> None:
    tenant = make_tenant(database_url, max_running=2)
    jobs = [await submit_one(core, tenant) for _ in range(4)]
    states = [job_row(database_url, job.job_id)["state"] for job in jobs]
    assert ["dispatched", "dispatched", "queued", "queued"] == states


@pytest.mark.parametrize("cap", [5, 70])
async def test_many_submits_at_once_never_pass_the_cap(core: JobCore, database_url: str, cap: int) -> None:
    tenant = make_tenant(database_url, max_running=cap)
    await asyncio.gather(*(submit_one(core, tenant) for _ in range(40 + cap)))
    in_flight = rows(database_url, "SELECT 1 FROM jobs WHERE tenant_id = %s AND state = 'dispatched'", tenant.id)
    assert len(in_flight) <= cap


async def test_submits_beside_others_that_are_not_committed_leave_room_for_each_of_them(
    core: JobCore, database_url: str
) -> None:
    """A submit can't see what is not committed. Here others have begun, one in every slot but one, and the cap has room for
    fewer: it must not start its job."""
    tenant = make_tenant(database_url, max_running=SLOTTED_CAP)
    first = await submit_one(core, tenant)
    change(
        database_url,
        """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, max_tries, deadline_at)
        SELECT tenant_id, gen_random_uuid(), kind, queue, 'running', priority, payload, max_tries, deadline_at
        FROM jobs, generate_series(1, %s) WHERE id = %s""",
        SLOTTED_CAP - DISPATCH_SLOTS - 1,
        first.job_id,
    )
    last, too_many = await submit_one(core, tenant), await submit_one(core, tenant)
    states = [job_row(database_url, job.job_id)["state"] for job in (first, last, too_many)]
    assert ["dispatched", "dispatched", "queued"] == states


async def test_submits_of_a_tenant_with_a_large_cap_do_not_wait_for_one_another(
    core: JobCore, database_url: str
) -> None:
    tenant = make_tenant(database_url, max_running=100)
    with psycopg.connect(database_url) as db:
        values = {"tenant_id": tenant.id, "lock": DISPATCH_LOCK, "slot_lock": SLOT_LOCK, "slot": 3}
        db.execute(TRY_DISPATCH_LOCK, values | {"max_running_per_tenant": None})  # a submit that is not committed yet
        jobs = [await submit_one(core, tenant, job_id=UUID(int=new_id().int // 16 * 16 + 3)) for _ in range(3)]
    assert ["dispatched"] * 3 == [job_row(database_url, job.job_id)["state"] for job in jobs]


@pytest.mark.parametrize("cap", [1, SLOTTED_CAP])
async def test_while_a_dispatcher_has_a_tenant_its_new_jobs_are_left_to_it(
    core: JobCore, database_url: str, cap: int
) -> None:
    """Neither sees what the other hasn't committed, so both together would run more than the cap."""
    tenant = make_tenant(database_url, max_running=cap)
    with psycopg.connect(database_url) as db:
        lock = (
            "SELECT pg_advisory_xact_lock(%s, hashtext(id::text)) FROM tenants WHERE id = %s"  # as `lock_tenants.sql`
        )
        db.execute(lock, (DISPATCH_LOCK, tenant.id))
        meanwhile = await submit_one(core, tenant)
    assert "queued" == job_row(database_url, meanwhile.job_id)["state"]


async def test_a_younger_job_does_not_overtake_a_waiting_one(core: JobCore, database_url: str) -> None:
    tenant = make_tenant(database_url, max_running=1)
    first, second = await submit_one(core, tenant), await submit_one(core, tenant)
    await cancel(core, tenant.id, first.job_id)
    third = await submit_one(core, tenant)
    assert ["queued", "queued"] == [job_row(database_url, job.job_id)["state"] for job in (second, third)]


async def test_a_full_queue_takes_no_more(core: JobCore, database_url: str) -> None:
    tenant = make_tenant(database_url, max_running=1, max_queued=2)
    for _ in range(3):
        await submit_one(core, tenant)
    with pytest.raises(QueueFull):
        await submit_one(core, tenant)
    assert 3 == len(rows(database_url, "SELECT 1 FROM jobs WHERE tenant_id = %s", tenant.id))


async def test_fifty_posts_with_one_key_make_one_job(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    key = Idempotency("POST /api/chat", "k1", "same")
    done = await asyncio.gather(*(submit_one(core, tenant, idempotency=key) for _ in range(50)))
    assert 1 == len({job.job_id for job in done})
    assert 49 == sum(job.replayed for job in done)
    assert 1 == len(rows(database_url, "SELECT 1 FROM jobs WHERE tenant_id = %s", tenant.id))
    assert 1 == len({job.queued for job in done})


async def test_a_key_with_another_body_is_refused(core: JobCore, tenant: TestTenant) -> None:
    await submit_one(core, tenant, idempotency=Idempotency("r", "k2", "one"))
    with pytest.raises(IdempotencyReused):
        await submit_one(core, tenant, idempotency=Idempotency("r", "k2", "two"))


async def test_tenants_and_routes_have_keys_of_their_own(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    other = make_tenant(database_url)
    first = await submit_one(core, tenant, idempotency=Idempotency("r", "k3", "x"))
    second = await submit_one(core, other, idempotency=Idempotency("r", "k3", "x"))
    third = await submit_one(core, tenant, idempotency=Idempotency("r2", "k3", "x"))
    assert 3 == len({first.job_id, second.job_id, third.job_id})


async def test_a_session_takes_its_turns_one_by_one(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    first = await submit(core, turn(tenant))
    second = await submit(core, turn(tenant, first.session_id))
    third = await submit(core, turn(tenant, first.session_id))
    facts = [_place(job_row(database_url, job.job_id)) for job in (first, second, third)]
    assert [("dispatched", False, 1), ("queued", True, 2), ("queued", True, 3)] == facts


def _place(row: DictRow) -> tuple[str, bool, int]:
    return row["state"], row["parked"], row["turn"]


async def test_the_end_of_a_turn_lets_the_next_one_go(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    first = await submit(core, turn(tenant))
    second = await submit(core, turn(tenant, first.session_id))
    third = await submit(core, turn(tenant, first.session_id))
    await cancel(core, tenant.id, first.job_id)
    assert [False, True] == [job_row(database_url, job.job_id)["parked"] for job in (second, third)]


async def test_parallel_turns_of_one_session_never_run_together(
    core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    first = await submit(core, turn(tenant))
    await asyncio.gather(*(submit(core, turn(tenant, first.session_id)) for _ in range(20)))
    live = rows(database_url, "SELECT turn FROM jobs WHERE session_id = %s AND NOT parked", first.session_id)
    turns = rows(database_url, "SELECT turn FROM jobs WHERE session_id = %s ORDER BY turn", first.session_id)
    assert [1] == [row["turn"] for row in live]
    assert list(range(1, 22)) == [row["turn"] for row in turns]


async def test_reject_says_that_the_session_is_busy(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    first = await submit(core, turn(tenant))
    with pytest.raises(SessionBusy):
        await submit(core, turn(tenant, first.session_id, on_busy="reject"))
    messages = rows(database_url, "SELECT 1 FROM messages WHERE session_id = %s", first.session_id)
    assert 1 == len(messages)


async def test_interrupt_ends_the_waiting_turn_and_keeps_what_was_said(
    core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    first = await submit(core, turn(tenant))
    second = await submit(core, turn(tenant, first.session_id, on_busy="interrupt"))
    assert "cancelled" == job_row(database_url, first.job_id)["state"]
    assert not job_row(database_url, second.job_id)["parked"]
    assert 2 == len(rows(database_url, "SELECT 1 FROM messages WHERE session_id = %s", first.session_id))


async def test_rollback_forgets_the_turn(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    first = await submit(core, turn(tenant))
    second = await submit(core, turn(tenant, first.session_id, on_busy="rollback"))
    left = rows(database_url, "SELECT job_id FROM messages WHERE session_id = %s", first.session_id)
    assert [second.job_id] == [row["job_id"] for row in left]


async def test_interrupt_asks_a_running_turn_to_stop(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    first = await submit(core, turn(tenant))
    await claim(core, database_url, first.job_id)
    await submit(core, turn(tenant, first.session_id, on_busy="interrupt"))
    assert "keep" == job_row(database_url, first.job_id)["cancel_requested"]


async def test_a_session_of_another_tenant_is_not_there(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    theirs = await submit(core, turn(make_tenant(database_url)))
    for session_id in (theirs.session_id, new_id()):
        with pytest.raises(NotFound):
            await submit(core, turn(tenant, session_id))
    assert [] == rows(database_url, "SELECT 1 FROM jobs WHERE tenant_id = %s", tenant.id)


async def test_a_job_is_accepted_while_redis_is_down(
    database_url: str, tenant: TestTenant, stores: Stores, unused_tcp_port: int
) -> None:
    nowhere = f"redis://127.0.0.1:{unused_tcp_port}/0"
    async with open_job_core(JobCoreSettings(database_url, nowhere)) as core:
        done = await submit(core, submission(tenant))
    row = job_row(database_url, done.job_id)
    assert ("queued", None) == (row["state"], row["dispatched_at"])
