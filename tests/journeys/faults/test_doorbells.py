"""Doorbells change nothing: doubled, late or forged ones run no job twice."""

import json
from uuid import UUID

from api.local.stores.local_stores import Stores
from tests.conftest import TestTenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.sentinels import connect
from tests.system import ModelProcess, System
from workers.queue.doorbell import Doorbell, envelope


def ring(stores: Stores, tenant: TestTenant, job_id: str, seqs: list[int]) -> None:
    """Put doorbells for a job into the workers' queue."""
    bells = [envelope(Doorbell(tenant.id, UUID(job_id), "chat", seq, None)) for seq in seqs]
    with connect(stores.redis_url) as db:
        db.lpush("chat", *bells)


async def test_a_hundred_doorbells_for_one_job_run_it_once(
    stores: Stores, system: System, client: Client, tenant: TestTenant, provider: ModelProcess
):
    stream = await client.ask("text-60-at-60", f"Once for {tenant.slug}.")
    await stream.until("message.delta", 3)
    ring(stores, tenant, stream.job_id, [1] * 100)
    during = await stream.rest()
    ring(stores, tenant, stream.job_id, [0, 1, 1, 2] * 25)
    after = await client.ask("text-5")
    await after.rest()  # the queue is first in, first out: what was rung before has been heard

    assert text(60) == assert_complete(during)
    job = await client.job(stream.job_id)
    assert ("succeeded", 1) == (job["state"], len(job["attempts"]))
    assert 1 == len(await provider.records(f"Once for {tenant.slug}."))
    assert None is system.processes["chat"].poll()


async def test_messages_that_are_no_doorbells_do_not_stop_the_worker(stores: Stores, system: System, client: Client):
    with connect(stores.redis_url) as db:
        forged = json.loads(envelope(Doorbell(UUID(int=1), UUID(int=2), "chat", 1, None)))
        forged["headers"]["task"] = "nobody.knows"
        db.lpush("chat", json.dumps(forged))
        db.lpush("chat", envelope(Doorbell(UUID(int=1), UUID(int=2), "chat", 1, None)))

    job = await client.ended((await client.submit("text-5"))["job_id"])

    assert ("succeeded", None) == (job["state"], system.processes["chat"].poll())
