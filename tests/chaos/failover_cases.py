"""Cases in which a store fails over to another server: nothing that was accepted is lost, and no process is started again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from tests.chaos.accounts import open_reservations
from tests.chaos.table import case, load_of, restarted_with
from tests.chaos.world import ROLES, Load, World
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.rabbitmq import INSTALLED, MISSING, RabbitMQ
from tests.sentinels import WatchedValkey, watched_valkey


@case(40, "Postgres failover")
async def postgres_failover(world: World, load: Load, scale: float) -> list[str]:
    """The primary is killed and its standby promoted, and back again. Commits wait for the standby, so all that was accepted
    is on it; claims don't, and some are forgotten."""
    took = list[float]()
    async with _pair(world) as pair:
        pids = {name: world.system.processes[name].pid for name in ROLES}
        async with load_of(world, load, 600 * scale, 60 * scale, over_s=4, long="text-150-at-25"):
            for _ in range(2):
                await world.pause(2, 3)
                world.faults += 1
                began = time.monotonic()
                pair.fail_over()
                mine = Load(load.tenant)
                await world.submit(mine, 1)
                took.append(time.monotonic() - began)
                load.keys |= mine.keys
                await world.pause(1, 2)
                pair.repair()
        ended = _ended(world, pids)
    world.notes.append(f"jobs were accepted again {', '.join(f'{s:.1f} s' for s in took)} after the primary was killed")
    return ended


@case(42, "RabbitMQ killed")
async def rabbitmq_killed(world: World, load: Load, scale: float) -> list[str]:
    """It carries the doorbells, and is killed, stopped, and killed again while they are on their way."""
    if not INSTALLED:
        world.notes.append(MISSING)
        return []
    with RabbitMQ(world.system.folder / "rabbitmq") as rabbit:
        async with restarted_with(world, HEADRACE_BROKER_URL=rabbit.url):
            pids = {name: world.system.processes[name].pid for name in ROLES}
            async with load_of(world, load, 600 * scale, 40 * scale, over_s=4, long="text-150-at-25"):
                for ends in (rabbit.kill, rabbit.stop, rabbit.kill)[: max(1, int(3 * scale))]:
                    world.faults += 1
                    await asyncio.to_thread(ends)
                    await world.pause(0.2, 3)
                    await asyncio.to_thread(rabbit.start)
                    await world.pause(2, 4)
            return _ended(world, pids)


def _ended(world: World, pids: dict[str, int]) -> list[str]:
    """Which processes are not those of before."""
    ended = [name for name in ROLES if world.system.processes[name].poll() is not None]
    again = [name for name in ROLES if world.system.processes[name].pid != pids[name]]
    return [f"{name} ended in the failover" for name in sorted({*ended, *again})]


@case(41, "Redis failover by sentinels")
async def redis_failover_by_sentinels(world: World, load: Load, scale: float) -> list[str]:
    """The master is killed and sentinels promote its replica, and back again. What had not been replicated is forgotten."""
    streams, answers = list[float](), list[float]()
    async with _watched(world) as servers:
        pids = {name: world.system.processes[name].pid for name in ROLES}
        async with load_of(world, load, 600 * scale, 60 * scale, over_s=4, long="text-150-at-25"):
            for _ in range(2):
                heard = asyncio.ensure_future(_arrivals(world, load, "text-400-at-25"))
                await world.pause(2, 3)
                world.faults += 1
                killed_at = time.monotonic()
                servers.kill()
                answers.append((await _arrivals(world, load, "text-20"))[-1] - killed_at)
                streams.append(_resumed_at(await heard) - killed_at)
                servers.start()
                await asyncio.to_thread(servers.wait_whole)
        ended = [name for name in ROLES if world.system.processes[name].poll() is not None]
        again = [name for name in ROLES if world.system.processes[name].pid != pids[name]]
        left = await open_reservations(servers.url, load.tenant.id)
    for what, took in (("streams went on", streams), ("a job that was submitted then was answered", answers)):
        world.notes.append(f"{what} {', '.join(f'{s:.1f} s' for s in took)} after the master was killed")
    wrong = [f"{name} ended in the failover" for name in sorted({*ended, *again})]
    return [*wrong, f"still reserved: {left}"] if left else wrong


async def _arrivals(world: World, load: Load, model: str) -> list[float]:
    """Submit a job, and return when each of its events came."""
    mine = Load(load.tenant)
    await world.submit(mine, 1, model)
    load.keys |= mine.keys
    (job_id,) = mine.keys.values()
    async with world.client(load) as client, await client.follow(str(job_id)) as stream:
        return [time.monotonic() async for _ in stream]


def _resumed_at(arrivals: list[float]) -> float:
    """When the longest silence between two events ended."""
    return max(pairwise(arrivals), key=lambda pair: pair[1] - pair[0])[1]


@contextlib.asynccontextmanager
async def _watched(world: World) -> AsyncIterator[WatchedValkey]:
    """A Redis with sentinels, which all processes know; it is there already where that is the world's variant."""
    single: Any = world.stores
    if isinstance(single.valkey, WatchedValkey):
        yield single.valkey
        return
    with watched_valkey(world.system.folder / "watched") as servers:
        both: Any = servers
        world.stores = replace(single, redis_url=servers.url, valkey=both)
        try:
            async with restarted_with(world, HEADRACE_REDIS_URL=servers.url):
                yield servers
        finally:
            world.stores = single


@contextlib.asynccontextmanager
async def _pair(world: World) -> AsyncIterator[PostgresPair]:
    """The world's Postgres with a standby, which all processes know; it has one already where that is its variant."""
    single: Any = world.stores
    if isinstance(single.postgres, PostgresPair):
        yield single.postgres
        return
    with postgres_pair(single.postgres, world.system.folder / "standby") as pair:
        both: Any = pair
        world.stores = replace(single, database_url=pair.url, postgres=both)
        try:
            async with restarted_with(world, HEADRACE_DATABASE_URL=pair.url):
                yield pair
                await asyncio.to_thread(pair.lone)
        finally:
            world.stores = single
