"""Cases in which a model, a client or an API process misbehaves, or there are too many of them."""

import asyncio
import time
from uuid import UUID

import psycopg

from tests.chaos.table import case, load_of
from tests.chaos.world import Load, World
from tests.journeys.client import Client
from tests.journeys.clients.test_late_joins import count_differences
from tests.journeys.clients.test_slow_clients import open_unread_streams
from tests.waiting import PATIENCE_S, wait_for
from workers.queue.doorbell import Doorbell


@case(11, "model refuses for a while", quick=True)
async def model_refuses(world: World, load: Load, scale: float) -> None:
    world.faults += int(60 * scale)
    await asyncio.gather(
        world.submit(load, int(30 * scale), "rate-limit-1"),
        world.submit(load, int(30 * scale), "overloaded-1"),
        world.read(load, 4, "rate-limit-2"),
        world.read(load, 4, "overloaded-2"),
    )


@case(12, "model stalls", states=("failed",))
async def model_stalls(world: World, load: Load, scale: float) -> None:
    world.faults += 20
    await asyncio.gather(world.read(load, 10, "stall-first"), world.read(load, 10, "stall-after-5"))


@case(13, "model breaks off", states=("failed",))
async def model_breaks_off(world: World, load: Load, scale: float) -> None:
    models = ("cut-after-5", "short-after-5", "garbage-after-5", "error-after-5")
    world.faults += 20
    await asyncio.gather(*(world.read(load, 5, model) for model in models))


@case(14, "API killed", quick=True)
async def api_killed(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 400 * scale, 40 * scale):
        for n in range(max(2, int(5 * scale))):
            world.kill(("api", "api2")[n % 2])
            await world.back(("api", "api2")[n % 2])
            await world.pause(0.3, 0.8)


@case(15, "clients that read nothing or vanish", quick=True)
async def deaf_clients(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 200 * scale, 20 * scale):
        big = Load(load.tenant)
        await world.submit(big, 1, "text-100000")
        load.keys |= big.keys
        (job_id,) = big.keys.values()
        deaf = [open_unread_streams(world.system, "api", load.tenant, str(job_id)) for _ in range(20)]
        world.faults += len(deaf)
        await world.pause(1, 2)
        for sock in deaf:
            sock.close()


@case(19, "doorbells doubled", quick=True)
async def doorbells_doubled(world: World, load: Load, scale: float) -> list[str]:
    async with load_of(world, load, 200 * scale, 20 * scale):
        await wait_for(lambda: len(load.keys) >= 5, "the first jobs were accepted")
        for _ in range(int(10 * scale) + 1):
            for job_id in world.rng.sample(sorted(load.keys.values()), min(5, len(load.keys))):
                await world.ring(forged(world, load, job_id))
                world.faults += 100
            await world.pause(0.1, 0.2)
    # An attempt has the number of its dispatch: one that was dispatched twice, as no worker had time, ran once all the same.
    twice = "SELECT job_id FROM attempts WHERE tenant_id = %s GROUP BY job_id HAVING count(*) > 1"
    sql = f"SELECT count(*) FROM ({twice}) AS twice"
    async with await psycopg.AsyncConnection.connect(world.stores.database_url) as db:
        row = await (await db.execute(sql, (load.tenant.id,))).fetchone()
    return [f"{row[0]} jobs ran twice"] if row and row[0] else []


def forged(world: World, load: Load, job_id: UUID) -> list[Doorbell]:
    """A hundred doorbells for one job, of the past and the present."""
    return [Doorbell(load.tenant.id, job_id, "chat", world.rng.choice((0, 1, 1)), None) for _ in range(100)]


@case(20, "flood")
async def flood(world: World, load: Load, scale: float) -> list[str]:
    world.faults += 1
    other = world.begin()
    flooding = asyncio.ensure_future(world.submit(load, int(5000 * scale), "text-3"))
    await world.pause(1, 2)
    await asyncio.wait_for(world.read(other, 30, "text-5"), PATIENCE_S)
    behind = len(load.keys) < int(5000 * scale)
    await flooding
    return [] if behind else ["the flood was accepted before the other tenant was served"]


@case(25, "late joins")
async def late_joins(world: World, load: Load, scale: float) -> list[str]:
    clients = [world.client(load) for _ in range(2)]
    async with clients[0], clients[1]:
        different = sum([await count_differences(tuple(clients), int(250 * scale), world.rng) for _ in range(4)])
        items = (await clients[0].get("/api/jobs?limit=100"))["items"]
    load.keys |= {item["id"]: UUID(item["id"]) for item in items}
    return [f"{different} late joins differ from the original"] if different else []


@case(27, "rejoin storm")
async def rejoin_storm(world: World, load: Load, scale: float) -> list[str]:
    """All clients lose their connections at once, and come back at once, twice."""
    talking = asyncio.ensure_future(world.read(load, 20, "text-600-at-25"))
    await world.pause(3, 4)
    jobs, clients, refused = sorted(map(str, load.keys.values())), int(2000 * scale), 0
    for _ in range(2):
        world.faults += 1
        began = time.monotonic()
        refused += await _join_at_once(world, load, jobs, clients)
        world.notes.append(
            f"{clients} clients were back after {time.monotonic() - began:.1f} s, {refused} were refused"
        )
    await talking
    return [f"{refused} clients were refused when all came back at once"] if refused else []


async def _join_at_once(world: World, load: Load, jobs: list[str], clients: int) -> int:
    """Follow jobs from many connections at the same time, and leave; return how many were refused."""

    async def join(client: Client, n: int) -> bool:
        try:
            await client.follow(jobs[n % len(jobs)], last_event_id=1)
        except AssertionError:
            return False
        return True

    async with world.client(load) as one, world.client(load) as two:
        joined = await asyncio.gather(*(join((one, two)[n % 2], n) for n in range(clients)))
    return joined.count(False)
