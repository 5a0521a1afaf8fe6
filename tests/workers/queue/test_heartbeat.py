"""The heartbeat: leases are renewed from a thread, and what it learns reaches the attempts."""

import asyncio
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import psycopg
import pytest

import workers.queue.heartbeat as heartbeat_module
from schema import events
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.vault import PLATFORM
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S
from tests.workers.jobs import Script, change, job_row, rows, submit_one, worker_context
from workers.context import WorkerContext
from workers.queue.attempts import Attempt, attempt_job
from workers.queue.heartbeat import BLOCKED_S, Heartbeat
from workers.queue.job_core import JobCore
from workers.storage.settings import StorageSettings

ATTEMPT = {"tenant_id": UUID(int=1), "attempt": 1}


def heartbeat_of(worker: WorkerContext) -> Heartbeat:
    settings = worker.settings
    return Heartbeat(worker.queue, database_url=settings.database_url, grace_s=settings.grace_s)


async def test_a_busy_loop_keeps_its_leases(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    script = Script(asyncio.Event())
    async with worker_context(database_url, redis_url, lease_s=4) as worker:
        running = asyncio.create_task(attempt_job(worker.queue, script, tenant.id, job.job_id, 1))
        await script.at_work.wait()
        heartbeat = heartbeat_of(worker)
        heartbeat.start()
        time.sleep(5)  # noqa: ASYNC251 -- the loop is blocked for longer than the lease on purpose
        (lease,) = rows(database_url, "SELECT lease_until > now() AS held FROM jobs WHERE id = %s", job.job_id)
        heartbeat.stop()
        worker.queue.running.hand_back()
        await running
    assert lease["held"]


async def test_a_cancel_whose_order_got_lost_arrives_with_the_beat(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    script = Script(events.MessageDelta(text="a"), asyncio.Event())
    async with worker_context(database_url, redis_url, lease_s=0.6) as worker:
        running = asyncio.create_task(attempt_job(worker.queue, script, tenant.id, job.job_id, 1))
        await script.at_work.wait()
        heartbeat = heartbeat_of(worker)
        heartbeat.start()
        change(database_url, "UPDATE jobs SET cancel_requested = 'keep' WHERE id = %s", job.job_id)
        await asyncio.wait_for(running, PATIENCE_S)
        heartbeat.stop()
    assert "cancelled" == job_row(database_url, job.job_id)["state"]


async def test_an_attempt_that_another_has_taken_over_is_stopped_by_the_beat(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    script = Script(asyncio.Event())
    async with worker_context(database_url, redis_url, lease_s=0.6) as worker:
        running = asyncio.create_task(attempt_job(worker.queue, script, tenant.id, job.job_id, 1))
        await script.at_work.wait()
        heartbeat = heartbeat_of(worker)
        heartbeat.start()
        change(database_url, "UPDATE jobs SET attempt = 2 WHERE id = %s", job.job_id)
        await asyncio.wait_for(running, PATIENCE_S)
        heartbeat.stop()
    row = job_row(database_url, job.job_id)
    assert ("running", 2) == (row["state"], row["attempt"])


async def test_memory_is_given_back_once_a_minute_while_nothing_runs(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(heartbeat_module, "return_free_memory", lambda: given_back.append(1))
    async with worker_context(database_url, redis_url) as worker:
        heartbeat = heartbeat_of(worker)
        heartbeat._beat()
        heartbeat._memory_returned_at -= 61
        for _ in range(3):
            heartbeat._beat()
        assert 1 == len(given_back)
        job = await submit_one(core, tenant)
        script = Script(asyncio.Event())
        running = asyncio.create_task(attempt_job(worker.queue, script, tenant.id, job.job_id, 1))
        await script.at_work.wait()
        heartbeat._memory_returned_at -= 61
        heartbeat._beat()
        heartbeat._disconnect()
        worker.queue.running.hand_back()
        await running
    assert 1 == len(given_back)


async def test_a_worker_whose_slots_are_all_busy_is_not_deaf(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant, tmp_path: Path
) -> None:
    """Ingestion has few slots, and keeps them for minutes: doorbells that ring in vain are for others then."""
    job = await submit_one(core, tenant, kind=KINDS["ingestion"])
    change(database_url, "UPDATE jobs SET dispatch_seq = 5 WHERE id = %s", job.job_id)
    storage = StorageSettings(folder=tmp_path)
    async with worker_context(database_url, redis_url, "ingestion", storage=storage, ingestion_concurrency=2) as worker:
        worker.queue.running.last_message_at -= 60
        heartbeat = heartbeat_of(worker)
        with psycopg.connect(database_url) as db:
            assert heartbeat._is_stalled(db)
            for _ in range(2):
                worker.queue.running.register(
                    Attempt(worker.queue, SimpleNamespace(**ATTEMPT, id=new_id(), kind="chat"), ())
                )
            assert not heartbeat._is_stalled(db)


async def test_a_worker_whose_loop_stays_blocked_ends_itself_once_its_jobs_run_elsewhere(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(heartbeat_module.os, "kill", lambda pid, number: ended.append(number))
    monkeypatch.setattr(heartbeat_module.os, "_exit", ended.append)
    async with worker_context(database_url, redis_url, lease_s=4) as worker:
        heartbeat = heartbeat_of(worker)
        heartbeat._stopping.set()  # nobody waits for the grace
        heartbeat._loop_turned_at -= BLOCKED_S + 1
        heartbeat._beat()
        assert [] == ended, "its leases may still be taken for alive"
        heartbeat._loop_turned_at -= 2 * worker.queue.lease_s
        heartbeat._beat()
        heartbeat._disconnect()
    assert [signal.SIGTERM, 70] == ended
    (entry,) = rows(database_url, "SELECT action, target, detail FROM audit_log WHERE tenant_id = %s", PLATFORM)
    assert ("worker.restarted", {"reason": "event_loop_blocked"}) == (entry["action"], entry["detail"])
    assert entry["target"].startswith("worker:chat@")
