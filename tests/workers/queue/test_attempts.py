"""One try of a job: every way in which it can end, and that an old one changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from unittest.mock import AsyncMock

import pytest

from graphs.providers.errors import ProviderRateLimited, ProviderRejectedKey
from schema import events
from schema.errors import Unavailable
from schema.events.base import ModelUsage
from tests.conftest import TestTenant
from tests.waiting import PATIENCE_S
from tests.workers.jobs import (
    Script,
    change,
    job_row,
    read_all,
    rows,
    saying,
    stored_frames,
    submit_one,
    turn,
    worker_context,
)
from workers.context import WorkerContext
from workers.queue.attempts import attempt_job
from workers.queue.cancel import cancel
from workers.queue.errors import spends_no_try
from workers.queue.job_core import JobCore
from workers.queue.submit import Submitted, submit


@pytest.fixture
async def worker(database_url: str, redis_url: str) -> AsyncIterator[WorkerContext]:
    async with worker_context(database_url, redis_url) as opened:
        yield opened


def begin(
    worker: WorkerContext, script: Script, tenant: TestTenant, job: Submitted, seq: int = 1
) -> asyncio.Task[None]:
    return asyncio.create_task(attempt_job(worker.queue, script, tenant.id, job.job_id, seq))


async def test_an_answer_is_stored_once_and_the_stream_tells_it(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit(core, turn(tenant))
    await begin(worker, Script(*saying("good day")), tenant, job)
    row = job_row(database_url, job.job_id)
    answers = rows(database_url, "SELECT * FROM messages WHERE job_id = %s AND role = 'assistant'", job.job_id)
    frames = await read_all(await core.hub.join(tenant.id, job.job_id))
    assert ("succeeded", "good day") == (row["state"], row["result"]["text"])
    assert [[{"type": "text", "text": "good day"}]] == [answer["parts"] for answer in answers]
    assert str(answers[0]["id"]) == row["result"]["message_id"]
    assert [
        "job.queued",
        "job.started",
        "message.delta",
        "message.completed",
        "usage.recorded",
        "job.succeeded",
    ] == [frame.type for frame in frames]
    assert [1, 2, 3, 4, 5, 6] == [frame.seq for frame in frames]


async def test_the_log_in_postgres_is_the_stream(core: JobCore, worker: WorkerContext, tenant: TestTenant) -> None:
    job = await submit_one(core, tenant)
    await begin(worker, Script(*saying()), tenant, job)
    assert await read_all(await core.hub.join(tenant.id, job.job_id)) == await stored_frames(core, tenant, job.job_id)


async def test_a_doubled_doorbell_runs_nothing(core: JobCore, worker: WorkerContext, tenant: TestTenant) -> None:
    job = await submit_one(core, tenant)
    script = Script(*saying())
    await asyncio.gather(*(begin(worker, script, tenant, job) for _ in range(20)))
    await begin(worker, script, tenant, job, seq=0)
    assert 1 == script.begun


async def test_a_doorbell_of_another_tenant_runs_nothing(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    from tests.conftest import make_tenant

    job, script = await submit_one(core, tenant), Script(*saying())
    await begin(worker, script, make_tenant(database_url), job)
    assert (0, "dispatched") == (script.begun, job_row(database_url, job.job_id)["state"])


async def test_a_failure_that_may_pass_is_tried_again_later(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await begin(worker, Script(ProviderRateLimited("slow down", retry_after_s=120)), tenant, job)
    row = job_row(database_url, job.job_id)
    (wait,) = rows(database_url, "SELECT run_at > now() + interval '110 s' AS late FROM jobs WHERE id = %s", job.job_id)
    assert ("queued", 1, "provider_rate_limited") == (row["state"], row["tries"], row["error"]["code"])
    assert wait["late"], "the vendor's Retry-After is not waited for"


async def test_a_failure_that_cannot_pass_ends_the_job(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await begin(worker, Script(ProviderRejectedKey("The key was rejected.")), tenant, job)
    last = (await read_all(await core.hub.join(tenant.id, job.job_id)))[-1]
    told = events.decode_event(last)
    assert events.JobFailed(error=events.Reason("provider_rejected_key", "The key was rejected.")) == told
    assert "failed" == job_row(database_url, job.job_id)["state"]


async def test_a_failed_or_cancelled_job_says_which_agent_was_chosen(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    routed = events.AgentRouted(agent="AgentInventory", graph="react")
    failed = await submit_one(core, tenant)
    await begin(worker, Script(routed, ProviderRejectedKey("The key was rejected.")), tenant, failed)
    assert "AgentInventory" == job_row(database_url, failed.job_id)["error"]["agent"]

    cancelled = await submit(core, turn(tenant))
    script = Script(routed, events.MessageDelta(text="so far"), asyncio.Event())
    running = begin(worker, script, tenant, cancelled)
    await script.at_work.wait()
    await cancel(core, tenant.id, cancelled.job_id)
    await asyncio.wait_for(running, PATIENCE_S)
    assert "AgentInventory" == job_row(database_url, cancelled.job_id)["result"]["agent"]


async def test_an_outage_of_ours_spends_no_try(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    change(database_url, "UPDATE jobs SET tries = max_tries - 1 WHERE id = %s", job.job_id)
    await begin(worker, Script(Unavailable("The database is unavailable.")), tenant, job)
    row = job_row(database_url, job.job_id)
    assert ("queued", row["max_tries"] - 1, "unavailable") == (row["state"], row["tries"], row["error"]["code"])


def test_a_job_that_a_store_cannot_stand_spends_its_tries_in_the_end() -> None:
    free = [spends_no_try(Unavailable("away"), attempt=attempt, tries=1) for attempt in (1, 10, 11, 50)]
    assert [True, True, False, False] == free
    assert not spends_no_try(ProviderRateLimited("later"), attempt=1, tries=1)


async def test_a_job_goes_back_when_postgres_is_back(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit_one(core, tenant)
    outage = AsyncMock(side_effect=[Unavailable("away"), Unavailable("away"), True])
    monkeypatch.setattr("workers.queue.finish.attempt.requeue_job", outage)
    await begin(worker, Script(Unavailable("away")), tenant, job)
    assert 3 == outage.await_count


async def test_a_job_out_of_tries_is_failed_with_its_reason(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    change(database_url, "UPDATE jobs SET tries = max_tries - 1 WHERE id = %s", job.job_id)
    await begin(worker, Script(ProviderRateLimited("slow down")), tenant, job)
    row = job_row(database_url, job.job_id)
    assert ("failed", "provider_rate_limited") == (row["state"], row["error"]["code"])


async def test_a_result_that_can_not_be_stored_ends_the_job_at_once_and_is_charged(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit(core, turn(tenant))
    unstorable = events.MessageCompleted(text="good day", agent="a\0b")
    usage = events.UsageRecorded(model="offline/extractive", input_tokens=3, output_tokens=2)
    await begin(worker, Script(unstorable, usage), tenant, job)
    row = job_row(database_url, job.job_id)
    assert ("failed", "internal", 1) == (row["state"], row["error"]["code"], row["attempt"])
    used = rows(database_url, "SELECT input_tokens, output_tokens FROM usage_records WHERE tenant_id = %s", tenant.id)
    assert [{"input_tokens": 3, "output_tokens": 2}] == used
    assert "job.failed" == (await read_all(await core.hub.join(tenant.id, job.job_id)))[-1].type


async def test_text_and_data_that_postgres_refuses_are_stored_without_it(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit(core, turn(tenant))
    data = {"k\0ey": ["v\0", "half \ud800", float("nan"), 2**70, r"\u0000"]}
    completed = events.MessageCompleted(text="good\0 day", data=data)
    await begin(worker, Script(completed), tenant, job)
    row = job_row(database_url, job.job_id)
    assert ("succeeded", "good day") == (row["state"], row["result"]["text"])
    assert {"key": ["v", "half \ufffd", None, 2**70, r"\u0000"]} == row["result"]["data"]


@pytest.mark.parametrize(("read", "written"), [(-(10**9), -(10**9)), (2**62, 2**62), (2**63, 1)])
async def test_no_usage_gives_money_back(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, read: int, written: int
) -> None:
    change(database_url, "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/priced', 1, 2)")
    try:
        job = await submit_one(core, tenant, model="offline/priced")
        usage = events.UsageRecorded(model="offline/priced", input_tokens=read, output_tokens=written)
        await begin(worker, Script(events.MessageCompleted(text="hi"), usage), tenant, job)
    finally:
        change(database_url, "DELETE FROM models WHERE name = 'offline/priced'")
    assert job_row(database_url, job.job_id)["state"] in ("succeeded", "failed")
    spent = rows(database_url, "SELECT * FROM usage_records WHERE tenant_id = %s", tenant.id)
    assert [] == [row for row in spent if min(row["cost_nanos"], row["input_tokens"], row["output_tokens"]) < 0]


async def test_usage_of_a_tenants_own_key_costs_nothing_and_is_counted_apart(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    change(database_url, "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/own', 1, 2)")
    try:
        for own in (0, 400, 1000):
            job = await submit_one(core, tenant, model="offline/own")
            usage = events.UsageRecorded(
                model="offline/own", input_tokens=1000, output_tokens=0, own_key_input_tokens=own
            )
            await begin(worker, Script(events.MessageCompleted(text="hi"), usage), tenant, job)
    finally:
        change(database_url, "DELETE FROM models WHERE name = 'offline/own'")
    spent = rows(database_url, "SELECT * FROM usage_records WHERE tenant_id = %s", tenant.id)
    found = sorted((row["own_key_input_tokens"], row["cost_nanos"]) for row in spent)
    assert [(0, 1_000_000), (400, 600_000), (1000, 0)] == found


@pytest.fixture
def prices(database_url: str) -> Iterator[None]:
    """Two models with prices."""
    change(
        database_url,
        "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/a', 1, 2), ('offline/b', 10, 20)",
    )
    yield
    change(database_url, "DELETE FROM models WHERE name IN ('offline/a', 'offline/b')")


async def test_an_answer_of_another_model_has_that_models_price(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, prices: None
) -> None:
    job = await submit_one(core, tenant, model="offline/a")
    usage = events.UsageRecorded(model="offline/b", input_tokens=1000, output_tokens=100)
    await begin(worker, Script(events.MessageCompleted(text="hi"), usage), tenant, job)
    (spent,) = rows(database_url, "SELECT * FROM usage_records WHERE tenant_id = %s", tenant.id)
    assert ("offline/b", 1, 12_000_000) == (spent["model"], spent["jobs"], spent["cost_nanos"])


async def test_of_several_models_each_has_its_row_and_its_price(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, prices: None
) -> None:
    job = await submit_one(core, tenant, model="offline/a")
    used = [
        ModelUsage(model="offline/a", input_tokens=1000, output_tokens=0),
        ModelUsage(model="offline/b", input_tokens=1000, output_tokens=500, own_key_input_tokens=400),
        ModelUsage(model="offline/none", input_tokens=7, output_tokens=-(10**9)),
    ]
    usage = events.UsageRecorded(model="offline/b", input_tokens=2007, output_tokens=500, models=used)
    await begin(worker, Script(events.MessageCompleted(text="hi"), usage), tenant, job)
    spent = rows(database_url, "SELECT * FROM usage_records WHERE tenant_id = %s", tenant.id)
    found = {row["model"]: (row["jobs"], row["input_tokens"], row["output_tokens"], row["cost_nanos"]) for row in spent}
    assert {
        "offline/b": (1, 1000, 500, 6_000_000 + 10_000_000),
        "offline/a": (0, 1000, 0, 1_000_000),
        "offline/none": (0, 7, 0, 0),
    } == found


async def test_an_error_of_ours_tells_no_secret(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await begin(worker, Script(RuntimeError("password=canary")), tenant, job)
    row = job_row(database_url, job.job_id)
    assert ("failed", "internal") == (row["state"], row["error"]["code"])
    assert "canary" not in str(row["error"])


async def test_a_cancelled_attempt_keeps_what_was_said(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit(core, turn(tenant))
    script = Script(events.MessageDelta(text="so far"), asyncio.Event())
    running = begin(worker, script, tenant, job)
    await script.at_work.wait()
    assert "running" == await cancel(core, tenant.id, job.job_id)
    await asyncio.wait_for(running, PATIENCE_S)
    (answer,) = rows(database_url, "SELECT * FROM messages WHERE job_id = %s AND role = 'assistant'", job.job_id)
    assert ("cancelled", True) == (job_row(database_url, job.job_id)["state"], script.closed)
    assert ("interrupted", "so far") == (answer["status"], answer["parts"][0]["text"])


async def test_a_forgotten_attempt_leaves_no_message(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit(core, turn(tenant))
    script = Script(events.MessageDelta(text="so far"), asyncio.Event())
    running = begin(worker, script, tenant, job)
    await script.at_work.wait()
    await cancel(core, tenant.id, job.job_id, mode="forget")
    await asyncio.wait_for(running, PATIENCE_S)
    assert [] == rows(database_url, "SELECT 1 FROM messages WHERE job_id = %s", job.job_id)


async def test_a_hand_back_spends_no_try_and_the_next_attempt_goes_on_in_the_same_stream(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    script = Script(events.MessageDelta(text="half"), asyncio.Event())
    running = begin(worker, script, tenant, job)
    await script.at_work.wait()
    worker.queue.running.hand_back()
    await asyncio.wait_for(running, PATIENCE_S)
    row = job_row(database_url, job.job_id)
    assert ("queued", 0, 1) == (row["state"], row["tries"], row["attempt"])

    worker.queue.running.draining = False
    await worker.queue.dispatcher.dispatch("chat")
    await begin(worker, Script(*saying("whole")), tenant, job, seq=job_row(database_url, job.job_id)["dispatch_seq"])
    frames = await read_all(await core.hub.join(tenant.id, job.job_id))
    restarted = next(frame for frame in frames if frame.type == "job.restarted")
    assert events.JobRestarted(attempt=2, reason="worker_stopped", discard_after=2, worker="chat@test") == (
        events.decode_event(restarted)
    )
    assert list(range(1, len(frames) + 1)) == [frame.seq for frame in frames]
    assert "job.succeeded" == frames[-1].type


async def test_an_attempt_that_lost_its_job_writes_nothing(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    """The zombie: it slept past its lease, another attempt took the job and ended it, then the first wakes up."""
    job = await submit(core, turn(tenant))
    wake = asyncio.Event()
    old = Script(events.MessageDelta(text="old "), wake, *saying("old answer"))
    zombie = begin(worker, old, tenant, job)
    await old.at_work.wait()
    change(
        database_url,
        "UPDATE jobs SET state = 'dispatched', dispatch_seq = 2, lease_owner = NULL WHERE id = %s",
        job.job_id,
    )
    async with worker_context(database_url, worker.settings.redis_url) as second:
        await begin(second, Script(*saying("new answer")), tenant, job, seq=2)
    wake.set()
    await asyncio.wait_for(zombie, PATIENCE_S)
    frames = await read_all(await core.hub.join(tenant.id, job.job_id))
    answers = rows(database_url, "SELECT parts FROM messages WHERE job_id = %s AND role = 'assistant'", job.job_id)
    assert [[{"type": "text", "text": "new answer"}]] == [answer["parts"] for answer in answers]
    assert "new answer" == job_row(database_url, job.job_id)["result"]["text"]
    assert b"old answer" not in b"".join(frame.data for frame in frames)
    assert list(range(1, len(frames) + 1)) == [frame.seq for frame in frames]


async def test_an_attempt_whose_lease_is_gone_stops_at_the_next_beat(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    script = Script(asyncio.Event())
    running = begin(worker, script, tenant, job)
    await script.at_work.wait()
    held = worker.queue.running.list_attempts()
    worker.queue.running.on_heartbeat(held, {})
    await asyncio.wait_for(running, PATIENCE_S)
    assert ("running", True) == (job_row(database_url, job.job_id)["state"], script.closed)


async def test_a_job_past_its_deadline_fails_and_stops_its_work(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant, deadline_s=0.3)
    script = Script(asyncio.Event())
    await asyncio.wait_for(begin(worker, script, tenant, job), PATIENCE_S)
    row = job_row(database_url, job.job_id)
    assert ("failed", "deadline_passed", True) == (row["state"], row["error"]["code"], script.closed)


async def test_the_end_of_one_turn_starts_the_next(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    first = await submit(core, turn(tenant))
    second = await submit(core, turn(tenant, first.session_id))
    await begin(worker, Script(*saying("one")), tenant, first)
    async with asyncio.timeout(PATIENCE_S):
        while job_row(database_url, second.job_id)["state"] != "dispatched":
            await asyncio.sleep(0.01)
    script = Script(*saying("two"))
    await begin(worker, script, tenant, second, seq=1)
    assert ["hello", "one", "hello"] == [message.parts[0]["text"] for message in script.messages]


async def test_a_log_line_of_each_attempt_is_kept(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    await begin(worker, Script(ProviderRateLimited("slow down")), tenant, job)
    change(database_url, "UPDATE jobs SET run_at = now() WHERE id = %s", job.job_id)
    await worker.queue.dispatcher.dispatch("chat")
    await begin(worker, Script(*saying()), tenant, job, seq=2)
    kept = rows(database_url, "SELECT attempt, outcome FROM attempts WHERE job_id = %s ORDER BY attempt", job.job_id)
    assert [(1, "failed"), (2, "succeeded")] == [(row["attempt"], row["outcome"]) for row in kept]
