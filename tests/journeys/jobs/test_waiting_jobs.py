"""Jobs that wait say what for, and don't wait for ever."""

import psycopg

from tests.conftest import make_tenant
from tests.journeys.client import Client, event_types
from tests.system import System
from tests.waiting import wait_for

LONG = "text-6000-at-60"


async def test_a_job_that_no_worker_takes_says_so_and_fails_at_its_deadline(
    system: System, client: Client, shared_url: str
):
    system.kill("chat")
    job_id = (await client.submit("text-5"))["job_id"]
    assert "worker" == (await client.job(job_id))["waiting_for"]
    with psycopg.connect(shared_url) as db:  # an hour later
        db.execute("UPDATE jobs SET deadline_at = now() WHERE id = %s", (job_id,))

    ended = await client.ended(job_id)

    assert ("failed", "deadline_passed", None) == (ended["state"], ended["error"]["code"], ended["waiting_for"])
    async with await client.follow(job_id) as stream:
        assert ["job.queued", "job.failed"] == event_types(await stream.rest())


async def test_a_job_over_its_tenants_cap_waits_for_it(system: System, shared_url: str):
    async with Client(system.url, make_tenant(shared_url, max_running=1).headers) as client:
        first, second = [await client.submit(LONG) for _ in range(2)]

        async def waiting_for() -> bool:
            return (await client.job(second["job_id"]))["waiting_for"] == "tenant_cap"

        await wait_for(waiting_for, "the second waits for the tenant's cap")
        await client.cancel(first["job_id"])
        await client.cancel(second["job_id"])


async def test_a_job_that_is_to_be_tried_again_waits_for_its_retry(client: Client):
    job_id = (await client.submit("overloaded-9"))["job_id"]

    async def is_retrying() -> bool:
        return (await client.job(job_id))["waiting_for"] == "retry"

    await wait_for(is_retrying, "it waits for another try")
    assert "cancelled" == await client.cancel(job_id)


async def test_a_tenant_with_a_full_queue_is_told_to_come_later(system: System, shared_url: str):
    tenant = make_tenant(shared_url, max_running=1, max_queued=2)
    async with Client(system.url, tenant.headers) as client:
        jobs = [await client.submit(LONG) for _ in range(3)]
        async with client.http.post("/api/chat", json={"message": "One more.", "model": "openai/text-5"}) as answer:
            assert (429, True) == (answer.status, int(answer.headers["Retry-After"]) > 0)
            assert "queue_full" == (await answer.json(content_type=None))["code"]
        for job in reversed(jobs):
            await client.cancel(job["job_id"])
