"""What a message says: ids, state, times, usage and links; and the result for those who want it."""

from typing import Any

import msgspec
import pytest

from schema import events
from schema.queries.jobs.submissions import Callback
from tests.conftest import TestTenant
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.workers.jobs import Script, change, claim, saying, submit_one, worker_context
from tests.workers.webhooks.hooks import deliverer, deliveries, have_endpoint, until_states
from workers.queue.attempts import attempt_job
from workers.queue.job_core import JobCore
from workers.webhooks.payload import MAX_RESULT_BYTES


async def answer_one(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str, text: str = "hello", **changes: Any
) -> str:
    """Have a job that a worker answers; return its id."""
    submitted = await submit_one(core, tenant, **changes)
    async with worker_context(database_url, redis_url) as worker:
        await attempt_job(worker.queue, Script(*saying(text)), tenant.id, submitted.job_id, 1)
    return str(submitted.job_id)


async def test_a_thin_message_has_no_word_of_what_was_said(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        await have_endpoint(core, tenant, receiver.url())
        job_id = await answer_one(core, tenant, database_url, redis_url, "canary-text", metadata={"ticket": "T-7"})
        (message,) = await receiver.until(1)
    said = message.json
    data = said["data"]
    assert b"canary" not in message.body
    assert len(message.body) < 20_000
    assert ("job.succeeded", "succeeded", job_id) == (said["type"], data["state"], data["job_id"])
    assert {"input_tokens": 1, "output_tokens": 1, "estimated": False, "cost_usd": 0} == data["usage"]
    assert {"ticket": "T-7"} == data["metadata"]
    assert said["timestamp"] == data["finished_at"]
    assert data["created_at"] <= data["started_at"] <= data["finished_at"]
    assert isinstance(data["sequence"], int)


@pytest.mark.parametrize(
    ("text", "cut"),
    [("short", False), ("x" * 300_000, True), ("\x01ñ✓" * 120_000, True)],
    ids=["short", "long", "wide"],
)
async def test_a_result_comes_with_it_up_to_256_kb(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str, text: str, cut: bool
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        await have_endpoint(core, tenant, receiver.url(), include=["result"])
        await answer_one(
            core, tenant, database_url, redis_url, text, callback=Callback(receiver.url("/cb"), include=("result",))
        )
        messages = await receiver.until(2)
    for message in messages:
        data = message.json["data"]
        assert cut == data["result_cut"]
        assert text.startswith(data["result"]["text"])
        size = len(msgspec.json.encode(data["result"]))
        assert size <= MAX_RESULT_BYTES
        assert (size > MAX_RESULT_BYTES * 0.99) == cut


async def test_a_result_that_is_gone_is_not_sent(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver:
        await have_endpoint(core, tenant, receiver.url(), include=["result"])
        await answer_one(core, tenant, database_url, redis_url, "canary-text")
        change(database_url, "DELETE FROM jobs WHERE tenant_id = %s", tenant.id)
        async with deliverer(database_url, redis_url):
            (message,) = await receiver.until(1)
    assert b"canary" not in message.body
    assert (None, True) == tuple(message.json["data"][name] for name in ("result", "result_gone"))


async def test_a_failure_says_its_code_and_with_the_result_its_sentence(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        await have_endpoint(core, tenant, receiver.url(), events=["job.failed"])
        await have_endpoint(core, tenant, receiver.url("/full"), events=["*"], include=["result"])
        submitted = await submit_one(core, tenant)
        async with worker_context(database_url, redis_url) as worker:
            await attempt_job(worker.queue, Script(ValueError("no")), tenant.id, submitted.job_id, 1)
        thin, full = sorted(await receiver.until(2), key=lambda message: message.path)
        await until_states(database_url, tenant, "delivered", "delivered")
    assert {"code": "internal"} == thin.json["data"]["error"]
    assert {"code", "message"} == full.json["data"]["error"].keys()
    assert thin.id == full.id


async def test_a_job_that_is_tried_again_sends_nothing_until_it_ends(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    await have_endpoint(core, tenant, "http://127.0.0.1:9/")
    submitted = await submit_one(core, tenant)
    assert await claim(core, database_url, submitted.job_id) is not None
    assert [] == deliveries(database_url, tenant)
    assert events.JobSucceeded.type == "job.succeeded"
