"""The cases, by number and name. Each breaks one thing under load; the oracle judges."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import redis

from tests.chaos.proxy import Proxy, one_in
from tests.chaos.world import Load, World
from tests.journeys.clients.test_late_joins import count_differences
from tests.journeys.clients.test_slow_clients import open_unread_streams
from tests.waiting import PATIENCE_S, wait_for
from workers.queue.doorbell import Doorbell, envelope

Play = Callable[[World, Load, float], Awaitable[list[str] | None]]


@dataclass(frozen=True)
class Case:
    """One fault. `play` gets the world, a load to fill, and a scale; what it returns are findings of its own."""

    number: int
    name: str
    play: Play
    quick: bool
    states: tuple[str, ...] = ("succeeded",)
    spends: bool = False


CASES: list[Case] = []


def case(
    number: int, name: str, *, quick: bool = False, states: tuple[str, ...] = ("succeeded",), spends: bool = False
) -> Callable[[Play], Play]:
    """Enter a case into the table."""

    def enter(play: Play) -> Play:
        CASES.append(Case(number, name, play, quick, states, spends))
        return play

    return enter


@contextlib.asynccontextmanager
async def load_of(
    world: World, load: Load, jobs: float, readers: float, *, over_s: float = 0.0, long: str = "text-40-at-50"
) -> AsyncIterator[None]:
    """Submit short jobs, and follow longer ones that begin within `over_s`, while the body breaks things; at the end wait
    for both."""
    work = asyncio.gather(world.submit(load, int(jobs)), world.read(load, int(readers), long, over_s=over_s))
    await world.pause(0.3, 0.6)
    try:
        yield
    except BaseException:
        work.cancel()
        raise
    await work


@case(1, "worker killed", quick=True, spends=True)
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
    sql = "SELECT count(*) FROM jobs WHERE tenant_id = %s AND tries > 1"
    async with await psycopg.AsyncConnection.connect(world.stores.database_url) as db:
        row = await (await db.execute(sql, (load.tenant.id,))).fetchone()
    return [f"{row[0]} jobs spent a try in a deploy"] if row and row[0] else []


@case(3, "poison job", spends=True)
async def poison_job(world: World, load: Load, scale: float) -> list[str]:
    poison = Load(load.tenant)
    await world.submit(poison, 1, "text-6000-at-60")
    (job_id,) = poison.keys.values()
    load.keys |= poison.keys
    async with (
        load_of(world, load, 100 * scale, 5),
        await psycopg.AsyncConnection.connect(world.stores.database_url, autocommit=True) as db,
    ):
        while True:
            sql = "SELECT state, lease_owner, tries FROM jobs WHERE id = %s"
            state, owner, tries = await (await db.execute(sql, (job_id,))).fetchone()
            if state in ("failed", "succeeded", "cancelled"):
                break
            victim = next(
                (n for n, p in world.system.processes.items() if owner and f"/{p.pid}/" in owner), None
            )  # fmt: skip
            if victim:
                world.kill(victim)
            await asyncio.sleep(0.1)
    return [] if (state, tries) == ("failed", 4) else [f"the poison job {state} after {tries} tries"]


@case(4, "Redis killed", quick=True)
async def redis_killed(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 600 * scale, 40 * scale):
        for down_s in (0.2, 1.0, 4.0)[: max(1, int(3 * scale))]:
            world.faults += 1
            world.stores.valkey.kill()
            await asyncio.sleep(down_s)
            world.stores.valkey.start()
            await world.pause(1.0, 3.0)


@case(7, "Redis full")
async def redis_full(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 200 * scale, 10):
        with redis.Redis.from_url(world.stores.redis_url) as db:
            world.faults += 1
            db.config_set("maxmemory", "1mb")
            await world.pause(4, 6)
            db.config_set("maxmemory", "0")


@case(8, "Redis frozen")
async def redis_frozen(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 200 * scale, 20):
        world.faults += 1
        pid = world.stores.valkey.pid
        os.kill(pid, signal.SIGSTOP)
        await world.pause(8, 12)
        os.kill(pid, signal.SIGCONT)


@case(9, "Postgres restarts", quick=True)
async def postgres_restarts(world: World, load: Load, scale: float) -> None:
    async with load_of(world, load, 400 * scale, 30 * scale):
        for down_s in (0.1, 1.0, 3.0)[: max(1, int(3 * scale))]:
            world.faults += 1
            world.stores.postgres.kill()
            await asyncio.sleep(down_s)
            world.stores.postgres.start()
            await world.pause(1.0, 3.0)


@case(10, "commit unanswered")
async def commit_unanswered(world: World, load: Load, scale: float) -> None:
    async with proxied_worker(world) as proxy:
        proxy.cut_after = one_in(15, b"COMMIT", world.rng)
        async with load_of(world, load, 600 * scale, 20):
            await world.pause(4, 6)
        world.faults += proxy.cuts
        proxy.cut_after = lambda data: False


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


@case(16, "worker cut off from Postgres", quick=True)
async def worker_cut_off(world: World, load: Load, scale: float) -> None:
    """Its answers are whole and its commits hang when others take its jobs; it comes back while they are at it."""
    async with proxied_worker(world) as proxy, load_of(world, load, 100 * scale, 40, over_s=0.5, long="text-250-at-50"):
        await world.pause(0.5, 1.0)
        world.faults += 1
        proxy.swallow()
        await world.pause(8.5, 9.5)  # longer than the lease of 6 s
        proxy.let_through()


@contextlib.asynccontextmanager
async def proxied_worker(world: World) -> AsyncIterator[Proxy]:
    """A third worker, which reaches Postgres through a proxy."""
    url = urlsplit(world.stores.database_url)
    async with Proxy(url.port or 5432) as proxy:
        through = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{proxy.port}").geturl()
        await world.add("chat3", HEADRACE_DATABASE_URL=through)
        try:
            yield proxy
        finally:
            await world.remove("chat3")


@case(19, "doorbells doubled", quick=True)
async def doorbells_doubled(world: World, load: Load, scale: float) -> list[str]:
    async with load_of(world, load, 200 * scale, 20 * scale):
        with redis.Redis.from_url(world.stores.redis_url) as db:
            for _ in range(int(10 * scale) + 1):
                for job_id in world.rng.sample(sorted(load.keys.values()), min(5, len(load.keys))):
                    db.lpush("chat", *forged(world, load, job_id))
                    world.faults += 100
                await world.pause(0.1, 0.2)
    sql = "SELECT count(*) FROM jobs WHERE tenant_id = %s AND attempt > 1"
    async with await psycopg.AsyncConnection.connect(world.stores.database_url) as db:
        row = await (await db.execute(sql, (load.tenant.id,))).fetchone()
    return [f"{row[0]} jobs ran twice"] if row and row[0] else []


def forged(world: World, load: Load, job_id: UUID) -> list[str]:
    """A hundred doorbells for one job, of the past and the present."""
    return [envelope(Doorbell(load.tenant.id, job_id, "chat", world.rng.choice((0, 1, 1)), None)) for _ in range(100)]


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


@case(21, "schedulers killed", spends=True)
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
            with redis.Redis.from_url(world.stores.redis_url) as db:
                db.flushall()
        frozen.send_signal(signal.SIGCONT)
        await work


@case(24, "worker deaf")
async def worker_deaf(world: World, load: Load, scale: float) -> list[str]:
    """The only worker's consumer loses its connection without noticing; the watchdog must end the process."""
    url = urlsplit(world.stores.redis_url)
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


@case(25, "late joins")
async def late_joins(world: World, load: Load, scale: float) -> list[str]:
    clients = [world.client(load) for _ in range(2)]
    async with clients[0], clients[1]:
        different = sum([await count_differences(tuple(clients), int(250 * scale), world.rng) for _ in range(4)])
        items = (await clients[0].get("/api/jobs?limit=100"))["items"]
    load.keys |= {item["id"]: UUID(item["id"]) for item in items}
    return [f"{different} late joins differ from the original"] if different else []


@case(26, "everything at once", spends=True)
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
