"""Cases in which processes of headrace are killed, frozen or cut off."""

import asyncio
import contextlib
import signal
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

from tests.chaos.proxy import Proxy
from tests.chaos.table import case, load_of, proxied_worker, spent_tries
from tests.chaos.world import Load, World
from tests.sentinels import connect, master_url
from tests.waiting import wait_for


@case(1, "worker killed", quick=True)
async def worker_killed(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 2000 * scale, 100 * scale, over_s=25 * scale):
        for n in range(int(15 * scale)):
            world.kill(("chat", "chat2")[n % 2])
            await world.pause(0.8, 2.6)


@case(2, "deploys", quick=True)
async def deploys(world: World, load: Load, scale: float) -> list[str]:
    async with load_of(world, load, 400 * scale, 40 * scale):
        for n in range(int(4 * scale)):
            world.kill(("chat", "chat2")[n % 2], signal.SIGTERM)
            await world.pause(2.0, 4.0)
    await world.all_ready()
    return await spent_tries(world, load)


@case(3, "poison job among 60 neighbours")
async def poison_job(world: World, load: Load, scale: float) -> list[str]:
    """Whichever worker runs the poison dies; its neighbours are restarted with it, and come through."""
    neighbours = asyncio.ensure_future(world.read(load, int(60 * scale), "text-150-at-25"))
    await wait_for(lambda: len(load.keys) == int(60 * scale), "the neighbours were accepted")
    poison = Load(load.tenant)
    await world.submit(poison, 1, "text-6000-at-60")
    (job_id,) = poison.keys.values()
    load.keys |= poison.keys
    load.guilty.add(job_id)
    state, tries = await _kill_whoever_runs(world, job_id)
    await neighbours
    return [] if (state, tries) == ("failed", 4) else [f"the poison job {state} after {tries} tries"]


async def _kill_whoever_runs(world: World, job_id: UUID) -> tuple[str, int]:
    """Kill each worker that claims this job, until it has ended; return how it did, after how many tries."""
    sql = "SELECT state, lease_owner, tries FROM jobs WHERE id = %s"
    async with await psycopg.AsyncConnection.connect(world.stores.database_url, autocommit=True) as db:
        while True:
            row = await (await db.execute(sql, (job_id,))).fetchone()
            assert row is not None
            state, owner, tries = row
            if state in ("failed", "succeeded", "cancelled"):
                return state, tries
            running = world.system.processes.items()
            victim = next((n for n, p in running if owner and f"/{p.pid}/" in owner and p.poll() is None), None)
            if victim:
                world.kill(victim)
            await asyncio.sleep(0.03)


@case(16, "worker cut off from Postgres", quick=True)
async def worker_cut_off(world: World, load: Load, scale: float) -> None:
    """Its answers are whole and its commits hang when others take its jobs; it comes back while they are at it."""
    async with proxied_worker(world) as proxy, load_of(world, load, 100 * scale, 40, over_s=0.5, long="text-250-at-50"):
        await world.pause(0.5, 1.0)
        world.faults += 1
        proxy.swallow()
        await world.pause(8.5, 9.5)  # longer than the lease of 6 s
        proxy.let_through()


@case(21, "schedulers killed")
async def schedulers_killed(world: World, load: Load, scale: float) -> None:
    await world.add("scheduler2")
    async with load_of(world, load, 800 * scale, 30):
        for n in range(6):
            world.kill("scheduler")
            world.kill(("chat", "chat2")[n % 2])
            await world.pause(1, 2)
    await world.remove("scheduler2")


@case(22, "zombies", quick=True)
async def zombies(world: World, load: Load, scale: float) -> None:
    """Frozen past its lease, a worker comes back in the middle of the next attempt, with the rest of its answer ready to
    be read; the second time Redis has forgotten who may write, so that only the row can tell."""
    for name, wiped in (("chat", False), ("chat2", True)):
        work = asyncio.gather(world.submit(load, int(100 * scale)), world.read(load, int(24 * scale), "text-450-at-50"))
        await world.pause(1.0, 1.5)
        world.faults += 1
        frozen = world.system.processes[name]
        frozen.send_signal(signal.SIGSTOP)
        await asyncio.sleep(8.5)  # the lease is 6 s, and the next attempt has 9 s to go
        if wiped:
            with connect(world.stores.redis_url) as db:
                db.flushall()
        frozen.send_signal(signal.SIGCONT)
        await work


@case(24, "worker deaf")
async def worker_deaf(world: World, load: Load, scale: float) -> list[str]:
    """The only worker's consumer loses its connection without noticing; the watchdog must end the process."""
    url = urlsplit(master_url(world.stores.redis_url))
    for name in ("chat", "chat2"):
        await world.remove(name)
    async with Proxy(url.port or 6379) as proxy:
        through = url._replace(netloc=f":{url.password}@127.0.0.1:{proxy.port}").geturl()
        await world.add("chat3", HEADRACE_REDIS_URL=through)
        await world.submit(load, 5)
        proxy.deafen = lambda data: b"BRPOP" in data
        world.faults += 1
        await world.submit(load, 5)
        process = world.system.processes["chat3"]
        with contextlib.suppress(AssertionError):
            await wait_for(lambda: process.poll() is not None, "the deaf worker ended itself")
        wrong = [] if "consumer_stalled" in world.system.log("chat3") else ["the watchdog did not notice a deaf worker"]
        wrong += [] if process.poll() is not None else ["a deaf worker did not end itself"]
        await world.remove("chat3")
    for name in ("chat", "chat2"):
        await world.add(name)
        world.keep(name)
    return wrong


@case(26, "everything at once")
async def everything(world: World, load: Load, scale: float) -> list[str]:
    async with load_of(world, load, 1500 * scale, 60):
        for _ in range(int(12 * scale)):
            match world.rng.randrange(5):
                case 0:
                    world.stores.valkey.restart(clean=False)
                    world.faults += 1
                case 1:
                    world.kill("scheduler")
                case 2:
                    world.kill(world.rng.choice(("api", "api2")))
                case _:
                    world.kill(world.rng.choice(("chat", "chat2")))
            await world.pause(1.0, 3.0)
    await world.all_ready()
    return []
