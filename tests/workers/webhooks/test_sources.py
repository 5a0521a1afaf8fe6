"""What is told of, in the transaction in which it happens: every way in which a job ends, documents, budgets."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from schema.ids import new_id
from schema.postgres.connections import pool_for, tenant_tx
from schema.queries.jobs.attempts import Ending, finish_job
from schema.queries.jobs.submissions import Callback
from schema.queries.tenants.retention import delete_expired, delete_old_content
from schema.queries.webhooks.outbox import announce
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.workers.ingested_files import make_collection, upload, work
from tests.workers.jobs import Script, change, claim, saying, submit_one, worker_context
from tests.workers.webhooks.hooks import deliveries, end_one, have_endpoint
from workers.queue.attempts import attempt_job
from workers.queue.cancel import cancel
from workers.queue.job_core import JobCore
from workers.scheduler import Scheduler
from workers.settings import WorkerSettings
from workers.storage.settings import StorageSettings

RECEIVER = "http://127.0.0.1:9/"
QUERIES = Path(__file__).parents[3] / "schema"


def told(database_url: str, tenant: TestTenant) -> list[tuple[str, UUID]]:
    return [(row["type"], row["job_id"]) for row in deliveries(database_url, tenant)]


async def test_a_job_that_succeeds_fails_or_is_stopped_while_it_runs_is_told(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    await have_endpoint(core, tenant, RECEIVER)
    good, bad, stopped = [(await submit_one(core, tenant)).job_id for _ in range(3)]
    async with worker_context(database_url, redis_url) as worker:
        await attempt_job(worker.queue, Script(*saying()), tenant.id, good, 1)
        await attempt_job(worker.queue, Script(ValueError("no")), tenant.id, bad, 1)
        script = Script(asyncio.Event())
        running = asyncio.ensure_future(attempt_job(worker.queue, script, tenant.id, stopped, 1))
        await script.at_work.wait()
        await cancel(core, tenant.id, stopped)
        await running
    assert [("job.succeeded", good), ("job.failed", bad), ("job.cancelled", stopped)] == told(database_url, tenant)


async def test_a_job_that_the_sweeper_ends_is_told(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    await have_endpoint(core, tenant, RECEIVER)
    overdue, lost = [(await submit_one(core, tenant)).job_id for _ in range(2)]
    change(database_url, "UPDATE jobs SET deadline_at = now() - interval '1 second' WHERE id = %s", overdue)
    assert await claim(core, database_url, lost) is not None
    gone = "UPDATE jobs SET lease_until = now() - interval '1 hour', tries = 99, suspect = true WHERE id = %s"
    change(database_url, gone, lost)
    async with Scheduler(WorkerSettings(database_url, redis_url, vault=VAULT)) as scheduler:
        await scheduler.sweep()
    assert {("job.failed", overdue), ("job.failed", lost)} == set(told(database_url, tenant))


async def test_a_job_that_is_driven_again_is_told_again_as_something_newer(
    core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    from workers.queue.cancel import retry

    await have_endpoint(core, tenant, RECEIVER)
    job_id = await end_one(core, tenant)
    assert await retry(core, tenant.id, job_id)
    assert 1 == len(deliveries(database_url, tenant))
    await cancel(core, tenant.id, job_id)
    first, second = deliveries(database_url, tenant)
    assert first["event_id"] != second["event_id"]
    assert first["sequence"] < second["sequence"]


async def test_an_end_that_is_rolled_back_or_comes_from_an_old_attempt_is_not_told(
    core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    await have_endpoint(core, tenant, RECEIVER)
    submitted = await submit_one(core, tenant)
    job = await claim(core, database_url, submitted.job_id)
    assert job is not None
    ending = Ending(state="succeeded", last_seq=1, frames=b"")
    await finish_job(core.pool, tenant.id, job.id, job.attempt + 1, ending, session_id=None, worker="w/1/1")
    bad = Ending(state="succeeded", last_seq=2**40, frames=b"")
    with pytest.raises(psycopg.Error):
        await finish_job(core.pool, tenant.id, job.id, job.attempt, bad, session_id=None, worker="w/1/1")
    assert [] == deliveries(database_url, tenant)
    await finish_job(core.pool, tenant.id, job.id, job.attempt, ending, session_id=None, worker="w/1/1")
    await finish_job(core.pool, tenant.id, job.id, job.attempt, ending, session_id=None, worker="w/1/1")
    assert [("job.succeeded", job.id)] == told(database_url, tenant)


def test_nothing_else_ends_jobs() -> None:
    """`finish_job.sql` is where a job ends, so that is where webhooks are written. Another statement would forget them."""
    ends = re.compile(r"UPDATE jobs\b[^;\"]*?SET[^;\"]*?state = '(succeeded|failed|cancelled)'", re.DOTALL)
    found = [
        path.name for path in QUERIES.rglob("*") if path.suffix in (".py", ".sql") and ends.search(path.read_text())
    ]
    assert [] == found


async def test_filters_are_about_jobs(core: JobCore, tenant: TestTenant, database_url: str) -> None:
    agent, _ = await have_endpoint(core, tenant, RECEIVER, agents=["AgentDebt"], events=["*"])
    kind, _ = await have_endpoint(core, tenant, RECEIVER, kinds=["chat"], events=["*"])
    await have_endpoint(core, tenant, RECEIVER, enabled=False)
    await end_one(core, tenant)
    await end_one(core, tenant, agent="AgentDebt")
    async with tenant_tx(core.pool, tenant.id) as db:
        assert 2 == await announce(db, tenant.id, "budget.reached", {"budget": "day", "percent": 80})
    found = [(row["type"], row["endpoint_id"]) for row in deliveries(database_url, tenant)]
    assert sorted([("job.cancelled", kind), ("job.cancelled", kind), ("job.cancelled", agent)]) == sorted(
        one for one in found if one[0] == "job.cancelled"
    )
    assert {agent, kind} == {endpoint for type_, endpoint in found if type_ == "budget.reached"}


async def test_documents_are_told_when_they_are_ready_and_when_they_fail(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    await have_endpoint(core, tenant, RECEIVER, events=["document.*"])
    async with worker_context(
        database_url, redis_url, "ingestion", storage=StorageSettings(folder=tmp_path / "files")
    ) as worker:
        assert worker.ingestion is not None
        collection = await make_collection(core, tenant)
        files = {"good.txt": b"The headrace carries water to the mill.", "bad.pdf": b"%PDF-1.4 broken"}
        job_id = await upload(core, worker.ingestion.storage, tenant, collection, files)
        await work(worker, database_url, job_id)
        other = await upload(core, worker.ingestion.storage, tenant, collection, {"late.txt": b"late"})
    await cancel(core, tenant.id, other)
    found = {row["type"]: row for row in deliveries(database_url, tenant)}
    assert {"document.ready", "document.failed"} == found.keys()
    assert 2 == len(deliveries(database_url, tenant))
    for row in found.values():
        assert (job_id, str(row["document_id"])) == (row["job_id"], row["data"]["document_id"])
        assert {"document_id", "version", "job_id", "state", "error"} == row["data"].keys()
    assert {"code"} == found["document.failed"]["data"]["error"].keys()


async def test_a_tenant_is_not_told_of_another(core: JobCore, tenant: TestTenant, database_url: str) -> None:
    other = make_tenant(database_url)
    await have_endpoint(core, other, RECEIVER)
    await end_one(core, tenant, callback=Callback(RECEIVER))
    assert ([], ["callback http://127.0.0.1:9"]) == (
        deliveries(database_url, other),
        [row["lane"] for row in deliveries(database_url, tenant)],
    )


async def test_old_deliveries_are_deleted_and_those_that_wait_stay(
    core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    await have_endpoint(core, tenant, RECEIVER)
    for _ in range(4):
        await end_one(core, tenant)
    old, older, waiting, young = [row["id"] for row in deliveries(database_url, tenant)]
    ended = "UPDATE webhook_deliveries SET state = 'delivered', ended_at = now() - %s WHERE id = %s"
    for delivery_id, days in ((old, 31), (older, 40), (young, 29)):
        change(database_url, ended, timedelta(days=days), delivery_id)
    pool = pool_for(database_url, "headrace_system", max_size=1)
    await pool.open()
    try:
        from schema.postgres.connections import system_tx

        async with system_tx(pool) as db:
            await delete_expired(db, delivery_days=30)
    finally:
        await pool.close()
    assert [waiting, young] == [row["id"] for row in deliveries(database_url, tenant)]
    async with tenant_tx(core.pool, tenant.id) as db:
        await delete_old_content(db, tenant.id, datetime.now(UTC) + timedelta(minutes=1))
    assert [waiting] == [row["id"] for row in deliveries(database_url, tenant)]


async def test_a_persons_deliveries_go_with_them(core: JobCore, tenant: TestTenant, database_url: str) -> None:
    from schema.queries.identity.privacy import PERSONAL_DATA, erase_rows, list_exported_rows
    from schema.queries.jobs.submissions import Submitter

    user_id = new_id()
    change(
        database_url,
        "INSERT INTO users (tenant_id, id, email, role) VALUES (%s, %s, %s, 'member')",
        tenant.id,
        user_id,
        f"{user_id}@example.com",
    )
    await have_endpoint(core, tenant, RECEIVER)
    await end_one(core, tenant)
    mine = await end_one(core, tenant, submitted_by=Submitter(user_id=user_id, visible_user_id=user_id))
    (erasure,) = PERSONAL_DATA["webhook_deliveries"].erasures
    async with tenant_tx(core.pool, tenant.id) as db:
        shown = await list_exported_rows(db, "webhook_deliveries", tenant.id, user_id, limit=10)
        await erase_rows(db, "webhook_deliveries", erasure, tenant.id, user_id, limit=10)
    assert [mine] == [row["job_id"] for row in shown]
    assert mine not in [row["job_id"] for row in deliveries(database_url, tenant)]
    assert 1 == len(deliveries(database_url, tenant))
