"""The end of a job leaves how long it took and what it used, and the scheduler counts it."""

from schema.events import JobCancelled
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.performance import get_summary
from schema.states import WAITING
from tests.conftest import TestTenant
from tests.workers.jobs import Script, job_row, rows, saying, submit_one, turn, worker_context
from tests.workers.retained_rows import sweeping
from workers.queue.attempts import attempt_job
from workers.queue.finish.waiting_job import end_job
from workers.queue.job_core import JobCore
from workers.queue.submit import submit

SAMPLES = "SELECT * FROM job_samples WHERE tenant_id = %s"


async def test_a_chat_that_ended_is_counted_with_its_times_and_tokens(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    submitted = await submit(core, turn(tenant))
    async with worker_context(database_url, redis_url) as worker:
        seq = job_row(database_url, submitted.job_id)["dispatch_seq"]
        await attempt_job(worker.queue, Script(*saying()), tenant.id, submitted.job_id, seq)
    (sample,) = rows(database_url, SAMPLES, tenant.id)
    job = job_row(database_url, submitted.job_id)
    assert ("chat", "succeeded", 1, 1, 0) == (
        *(sample["kind"], sample["state"], sample["input_tokens"], sample["output_tokens"], sample["cost_nanos"]),
    )
    assert abs(sample["wait_s"] - (job["started_at"] - job["created_at"]).total_seconds()) < 1e-6
    assert abs(sample["run_s"] - (job["finished_at"] - job["started_at"]).total_seconds()) < 1e-6
    assert sample["first_token_s"] > 0
    async with sweeping(core, database_url, core.limits) as scheduler:
        await scheduler.count_samples()
    assert [] == rows(database_url, SAMPLES, tenant.id)
    async with tenant_tx(core.pool, tenant.id) as db:
        _, summary = await get_summary(db, tenant.id)
    found = summary["5m", "chat", True]
    assert {"succeeded": 1, "input_tokens": 1, "output_tokens": 1} == dict(found.counts)
    assert {"wait": 1, "run": 1, "first_token": 1} == {name: sum(times.values()) for name, times in found.times.items()}


async def test_a_job_that_never_ran_has_no_times(core: JobCore, database_url: str, tenant: TestTenant) -> None:
    job_id = (await submit_one(core, tenant)).job_id
    event = JobCancelled(kept="keep")
    await end_job(core.pool, core.relay, core.limits, tenant.id, job_id, attempt=0, event=event, from_states=WAITING)
    (sample,) = rows(database_url, SAMPLES, tenant.id)
    assert ("cancelled", None, None, None) == (
        *(sample["state"], sample["wait_s"], sample["run_s"], sample["first_token_s"]),
    )
