"""kill -9 of the worker while it speaks: nobody who listens notices more than a restart."""

import asyncio
import json

from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete, event_types
from tests.system import System

WORDS = 120


async def test_a_killed_worker_does_not_end_the_clients_stream(system: System, client: Client):
    async with await client.ask(f"text-{WORDS}-at-60") as stream:
        await stream.until("message.delta", 20)
        system.kill("chat")
        system.start("chat")
        events = await stream.rest()

    assert text(WORDS) == assert_complete(events)
    assert [
        "job.queued", "job.started", "message.delta", "job.restarted", "message.delta",
        "message.completed", "usage.recorded", "job.succeeded",
    ] == event_types(events)  # fmt: skip
    restarted = next(event for event in events if event.type == "job.restarted")
    # Numbers have gaps: a doorbell that rang while no worker was up yet is rung again.
    assert ("worker_lost", True) == (restarted.data["reason"], restarted.data["attempt"] > 1)
    session_id = events[0].data["session_id"]
    assert [("user", "Tell me."), ("assistant", text(WORDS))] == await client.said(session_id)
    job = await client.job(stream.job_id)
    assert [("lost"), ("succeeded")] == [attempt["outcome"] for attempt in job["attempts"]]
    assert text(WORDS) == job["result"]["text"]


async def test_another_worker_takes_over_from_a_killed_one(system: System, client: Client):
    system.start("chat2")
    await system.ready("chat2")
    streams = [await client.ask(f"text-{WORDS}-at-60") for _ in range(6)]
    for stream in streams:
        await stream.until("message.delta", 10)
    system.kill("chat2")

    told = await asyncio.gather(*(stream.rest() for stream in streams))

    assert [text(WORDS)] * 6 == [assert_complete(events) for events in told]
    reasons = [event.data["reason"] for events in told for event in events if event.type == "job.restarted"]
    assert {"worker_lost"} == set(reasons), reasons


async def test_a_killed_worker_does_not_end_an_openai_stream(system: System, client: Client):
    body = {
        "model": f"openai/text-{WORDS}-at-60",
        "messages": [{"role": "user", "content": "Tell me."}],
        "stream": True,
    }
    said, last, killed = "", b"", False
    async with client.http.post("/v1/chat/completions", json=body) as answer:
        assert 200 == answer.status
        async for line in answer.content:
            if line.startswith(b"data: {"):
                chunk = json.loads(line[6:])
                assert "error" not in chunk
                said += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])
            if len(said) > 100 and not killed:
                killed = True
                system.kill("chat")
                system.start("chat")
            last = line if line.strip() else last

    assert killed
    assert text(WORDS) == said
    assert b"data: [DONE]\n" == last
