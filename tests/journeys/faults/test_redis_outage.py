"""Redis is only the wire: wiped, killed or away, no job is lost, and streams end as they would have."""

import asyncio
import os
import signal

import pytest

from api.local.stores.local_stores import Stores
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.redis_faults import FAULTS, Fault, refusing_writes
from tests.sentinels import connect
from tests.system import System
from tests.waiting import wait_for

Fragile = tuple[Stores, System]


@pytest.fixture(autouse=True)
def mended(fragile: Fragile):
    """Redis runs again after each test, whatever became of it."""
    yield
    valkey = fragile[0].valkey
    assert valkey is not None
    valkey.start()


async def test_streams_go_on_when_redis_is_wiped(fragile: Fragile, fragile_client: Client):
    streams = [await fragile_client.ask("text-120-at-60") for _ in range(4)]
    for stream in streams:
        await stream.until("message.delta", 20)
    with connect(fragile[0].redis_url) as db:
        db.flushall()
    late = await fragile_client.follow(streams[0].job_id)

    told = await asyncio.gather(*(stream.rest() for stream in (*streams, late)))

    assert [text(120)] * 5 == [assert_complete(events) for events in told]
    assert [event.raw for event in told[0]] == [event.raw for event in told[4]]


async def test_streams_go_on_when_redis_is_killed_and_comes_back_empty(fragile: Fragile, fragile_client: Client):
    stores, system = fragile
    streams = [await fragile_client.ask("text-120-at-60") for _ in range(4)]
    for stream in streams:
        await stream.until("message.delta", 20)
    stores.valkey.restart(clean=False)

    told = await asyncio.gather(*(stream.rest() for stream in streams))

    assert [text(120)] * 4 == [assert_complete(events) for events in told]
    again = await fragile_client.ended((await fragile_client.submit("text-5"))["job_id"])
    assert ("succeeded", None) == (again["state"], system.processes["chat"].poll())


async def test_a_stream_ends_as_it_would_have_when_redis_stays_away(fragile: Fragile, fragile_client: Client):
    stores, _ = fragile
    stream = await fragile_client.ask("text-60-at-60")
    await stream.until("message.delta", 10)
    stores.valkey.kill()

    events = await stream.rest()

    assert text(60) == assert_complete(events)


async def test_a_job_that_was_accepted_without_redis_runs_when_it_is_back(fragile: Fragile, fragile_client: Client):
    stores, _ = fragile
    stores.valkey.kill()
    job = await fragile_client.submit("text-10")
    assert "queued" == (await fragile_client.job(job["job_id"]))["state"]
    stores.valkey.start()

    ended = await fragile_client.ended(job["job_id"])

    assert ("succeeded", text(10)) == (ended["state"], ended["result"]["text"])


@pytest.mark.parametrize("fault", FAULTS)
async def test_workers_wait_out_a_redis_that_answers_with_errors(
    fragile: Fragile, fragile_client: Client, unused_tcp_port: int, fault: Fault
):
    stores, system = fragile
    running = await fragile_client.ask("text-120-at-60")
    await running.until("message.delta", 10)
    before, seen = {name: process.pid for name, process in system.processes.items()}, system.log("chat")
    async with refusing_writes(stores.redis_url, fault, primary=("127.0.0.1", unused_tcp_port)):
        job = await fragile_client.submit("text-10")
        await wait_for(lambda: "relay_write_failed" in system.log("chat")[len(seen) :], "the worker met the error")
        assert text(120) == assert_complete(await running.rest())

    ended = await fragile_client.ended(job["job_id"])

    assert ("succeeded", text(10)) == (ended["state"], ended["result"]["text"])
    assert before == {name: process.pid for name, process in system.processes.items()}
    assert [None] * len(before) == [process.poll() for process in system.processes.values()]


async def test_a_job_is_accepted_while_redis_is_frozen(fragile: Fragile, fragile_client: Client):
    stores, _ = fragile
    os.kill(stores.valkey.pid, signal.SIGSTOP)
    try:
        jobs = [await fragile_client.submit("text-10") for _ in range(10)]
    finally:
        os.kill(stores.valkey.pid, signal.SIGCONT)
    ended = [await fragile_client.ended(job["job_id"]) for job in jobs]
    assert ["succeeded"] * 10 == [job["state"] for job in ended]


async def test_a_queued_job_can_be_cancelled_without_redis(fragile: Fragile, fragile_client: Client):
    stores, _ = fragile
    stores.valkey.kill()
    job = await fragile_client.submit("text-10")

    assert "cancelled" == await fragile_client.cancel(job["job_id"])

    assert "cancelled" == (await fragile_client.job(job["job_id"]))["state"]


async def test_a_worker_notices_a_cancellation_without_redis(fragile: Fragile, fragile_client: Client):
    stores, _ = fragile
    stream = await fragile_client.ask("text-5000-at-50")
    await stream.until("message.delta", 5)
    stores.valkey.kill()
    await fragile_client.cancel(stream.job_id)

    async def is_cancelled() -> bool:
        return (await fragile_client.job(stream.job_id))["state"] == "cancelled"

    await wait_for(is_cancelled, "the heartbeat brought the order")
