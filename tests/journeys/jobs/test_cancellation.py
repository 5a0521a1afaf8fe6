"""Cancelling: the provider sees its connection close, the words already said are kept, and who leaves cancels only where
OpenAI's clients expect it."""

import asyncio
import time
from uuid import uuid4

from tests.counterparts.behaviours import text
from tests.journeys.client import Client, event_types
from tests.system import ModelProcess, System
from tests.waiting import wait_for

ENDLESS = "text-6000-at-60"


async def closed_ns(provider: ModelProcess, mark: str) -> int:
    """Wait until the provider saw the connection of a request close, and return when."""

    async def look() -> int:
        return max((record["client_closed_ns"] for record in await provider.records(mark)), default=0)

    return await wait_for(look, "the provider saw the connection close")


async def test_a_cancel_reaches_the_provider_and_keeps_what_was_said(
    client: Client, provider: ModelProcess, record_property
):
    mark = uuid4().hex
    stream = await client.ask(ENDLESS, mark)
    await stream.until("message.delta", 10)
    began_ns = time.monotonic_ns()
    await client.cancel(stream.job_id)
    events = await stream.rest()

    latency_ms = (await closed_ns(provider, mark) - began_ns) / 1e6
    record_property("cancel_ms", round(latency_ms, 1))
    print(f"the provider saw a cancel after {latency_ms:.1f} ms")
    assert "job.cancelled" == events[-1].type
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    said = "".join(event.data["text"] for event in events if event.type == "message.delta")
    assert said
    assert text(6000).startswith(said)
    assert [("user", mark), ("assistant", said)] == await client.said(events[0].data["session_id"])
    job = await client.job(stream.job_id)
    assert ("cancelled", said) == (job["state"], job["result"]["text"])


async def test_a_queued_job_is_cancelled_at_once(system: System, client: Client):
    system.kill("chat")
    job = await client.submit("text-5")

    assert "cancelled" == await client.cancel(job["job_id"])

    async with await client.follow(job["job_id"]) as stream:
        assert ["job.queued", "job.cancelled"] == event_types(await stream.rest())


async def test_a_cancelled_job_that_is_asked_for_again_says_so_and_blames_no_worker(client: Client):
    stream = await client.ask(ENDLESS, uuid4().hex)
    await stream.until("message.delta", 1)
    await client.cancel(stream.job_id)
    await stream.rest()

    assert 202 == (await client.post(f"/api/jobs/{stream.job_id}/retry"))[0]
    async with await client.follow(stream.job_id) as again:
        restarted = await again.until("job.restarted")
        await client.cancel(stream.job_id)
        await again.rest()
    assert "retried" == restarted.data["reason"]


async def test_an_ended_job_stays_as_it_is_when_cancelled(client: Client):
    job = await client.submit("text-5")
    await client.ended(job["job_id"])

    assert "succeeded" == await client.cancel(job["job_id"])


async def test_closing_a_streaming_openai_request_cancels_its_job(client: Client, provider: ModelProcess):
    mark = uuid4().hex
    body = {"model": f"openai/{ENDLESS}", "messages": [{"role": "user", "content": mark}], "stream": True}
    async with client.http.post("/v1/chat/completions", json=body) as answer:
        await answer.content.readline()
        answer.close()

    await closed_ns(provider, mark)
    job = await client.ended(answer.headers["X-Job-ID"])
    assert "cancelled" == job["state"]


async def test_closing_an_openai_request_that_waits_cancels_its_job(client: Client, provider: ModelProcess):
    mark = uuid4().hex
    body = {"model": f"openai/{ENDLESS}", "messages": [{"role": "user", "content": mark}]}
    asking = client.http.post("/v1/chat/completions", json=body)
    task = asyncio.ensure_future(asking)
    await wait_for(lambda: provider.records(mark), "the model was asked")
    task.cancel()

    await closed_ns(provider, mark)


async def test_leaving_a_native_stream_cancels_nothing(client: Client):
    async with await client.ask("text-60-at-60") as stream:
        await stream.until("message.delta", 5)

    job = await client.ended(stream.job_id)

    assert ("succeeded", text(60)) == (job["state"], job["result"]["text"])
