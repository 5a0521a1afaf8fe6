"""Whoever joins whenever and from wherever sees what everybody else saw: byte for byte, each event once, in order."""

import asyncio
import os
import random

from tests.conftest import TestTenant
from tests.journeys.client import Client, Stream, assert_complete
from tests.system import System

JOINS = int(os.environ.get("HEADRACE_LATE_JOINS", "100"))  # 1,000 in `python -m tests.chaos`
JOBS = 10


async def test_late_joins_differ_from_the_original_in_nothing(system: System, client: Client, tenant: TestTenant):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    system.start("api2")
    await system.ready("api2")
    async with Client(system.url_of("api2"), tenant.headers) as other:
        assert 0 == await count_differences((client, other), JOINS, random.Random(seed))


async def count_differences(clients: tuple[Client, ...], joins: int, rng: random.Random) -> int:
    """Follow jobs from their start, and others of them late; return how many of the late ones saw something else."""
    originals = [await clients[0].ask(f"text-150-at-{rng.randint(40, 80)}") for _ in range(JOBS)]
    reading = [asyncio.ensure_future(stream.rest()) for stream in originals]
    late = [asyncio.ensure_future(_join(rng.choice(clients), rng, originals[n % JOBS])) for n in range(joins)]
    whole = [[event.raw for event in events] for events in await asyncio.gather(*reading)]
    for stream in originals:
        assert_complete(stream.events)
    seen = await asyncio.gather(*late)
    return sum(raw != whole[n % JOBS][after:] for n, (after, raw) in enumerate(seen))


async def _join(client: Client, rng: random.Random, original: Stream) -> tuple[int, list[bytes]]:
    await asyncio.sleep(rng.uniform(0, 4.5))  # a late client comes when it comes
    # Never from behind the last event: once the job has ended, nothing is left to be followed there (204).
    after = rng.choice((0, 0, rng.randint(0, max(original.last_seq - 1, 0))))
    async with await client.follow(original.job_id, after=after) as stream:
        return after, [event.raw for event in await stream.rest()]


async def test_many_readers_of_one_job_see_the_same_bytes(client: Client):
    first = await client.ask("text-90-at-60")
    others = [await client.follow(first.job_id) for _ in range(30)]

    told = await asyncio.gather(*(stream.rest() for stream in (first, *others)))

    assert_complete(told[0])
    assert [[event.raw for event in told[0]]] * 31 == [[event.raw for event in events] for events in told]


async def test_a_client_that_is_cut_off_again_and_again_misses_nothing(client: Client):
    job = await client.submit("text-150-at-60")
    events = []
    while not events or events[-1].type != "job.succeeded":
        async with await client.follow(job["job_id"], last_event_id=events[-1].seq if events else None) as stream:
            async for event in stream:
                events.append(event)
                if len(stream.events) == 7:
                    break

    assert_complete(events)


async def test_a_client_that_has_read_all_is_told_not_to_come_again(client: Client):
    job = await client.submit("text-5")
    async with await client.follow(job["job_id"]) as stream:
        last = (await stream.rest())[-1].seq

    headers = {"Last-Event-ID": str(last)}
    async with client.http.get(f"/api/jobs/{job['job_id']}/events", headers=headers) as answer:
        assert (204, b"") == (answer.status, await answer.read())


async def test_a_client_that_has_seen_only_that_its_job_waits_does_not_see_it_twice(system: System, client: Client):
    system.kill("chat")
    job = await client.submit("text-5")
    async with await client.follow(job["job_id"]) as stream:
        assert 1 == (await stream.until("job.queued")).seq
    async with await client.follow(job["job_id"], last_event_id=1) as rest:
        system.start("chat")
        events = stream.events + await rest.rest()

    assert_complete(events)
