"""A worker that was frozen past its lease comes back and finds that the world went on without it."""

import asyncio
import re
import signal

from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.system import System
from tests.waiting import wait_for


async def test_a_worker_that_comes_back_after_its_lease_changes_nothing(system: System, client: Client):
    streams = [await client.ask("text-120-at-60") for _ in range(3)]
    for stream in streams:
        await stream.until("message.delta", 10)
    frozen, before = system.processes["chat"], len(system.log("chat"))
    frozen.send_signal(signal.SIGSTOP)
    try:
        system.start("chat2")
        told = await asyncio.gather(*(stream.rest() for stream in streams))
    finally:
        frozen.send_signal(signal.SIGCONT)
    # Its leases are lost, and its model seems to have stalled meanwhile: which it notices first is chance.
    await wait_for(
        lambda: re.search("attempt_(fenced|failed)", system.log("chat")[before:]), "the old worker has given up"
    )

    assert [text(120)] * 3 == [assert_complete(events) for events in told]
    for stream in streams:
        job = await client.job(stream.job_id)
        assert ("succeeded", True) == (job["state"], job["attempt"] > 1)  # numbers have gaps
        assert ["lost", "succeeded"] == [attempt["outcome"] for attempt in job["attempts"]]
        assert 2 == len(await client.said(stream.events[0].data["session_id"]))
        again = await client.follow(stream.job_id)
        assert [event.raw for event in stream.events] == [event.raw for event in await again.rest()]
