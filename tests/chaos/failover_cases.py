"""Cases in which a store fails over to another server: nothing that was accepted is lost, and no process is started again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from tests.chaos.table import case, load_of, restarted_with
from tests.chaos.world import ROLES, Load, World
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.rabbitmq import INSTALLED, MISSING, RabbitMQ


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
