"""Cases in which a store fails over to another server: nothing that was accepted is lost, and no process is started again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg

from tests.chaos.accounts import open_reservations
from tests.chaos.proxy import Proxy
from tests.chaos.table import case, load_of, restarted_with
from tests.chaos.world import RETRY_S, ROLES, Load, World
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.rabbitmq import INSTALLED, MISSING, RabbitMQ
from tests.s3_server import s3_server
from tests.schema.postgres.poolers import TOO_OLD, TRACKS_STATEMENTS, pgbouncer
from tests.sentinels import WatchedValkey, watched_valkey
from tests.system import free_port


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


@case(43, "PgBouncer restarts")
async def pgbouncer_restarts(world: World, load: Load, scale: float) -> list[str]:
    """All processes reach Postgres through it, in transaction mode; what it had under way breaks off."""
    if not TRACKS_STATEMENTS:
        world.notes.append(TOO_OLD)
        return []
    folder = world.system.folder / "pgbouncer"
    folder.mkdir(exist_ok=True)
    with pgbouncer(world.stores.database_url, folder, mode="transaction", prepared=200) as pooler:
        async with restarted_with(world, **pooler.role_urls(world.stores.database_url)):
            pids = {name: world.system.processes[name].pid for name in ROLES}
            async with load_of(world, load, 600 * scale, 40 * scale, over_s=4, long="text-150-at-25"):
                for down_s in (0.0, 1.0, 4.0)[: max(1, int(3 * scale))]:
                    await world.pause(1, 3)
                    world.faults += 1
                    pooler.kill()
                    await asyncio.sleep(down_s)
                    await asyncio.to_thread(pooler.start)
            return _ended(world, pids)


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


@case(44, "storage away")
async def storage_away(world: World, load: Load, scale: float) -> list[str]:
    """The bucket can't be reached, three times in the middle of uploads and ingestion. moto forgets all when it is killed, so
    it is the way to it that dies."""
    port, folder = free_port(), world.system.folder / "s3"
    folder.mkdir(exist_ok=True)
    other, uploads = world.begin(), Uploads()
    with s3_server(folder, also_at=port) as bucket:
        async with Proxy(bucket.port, at=port) as way, restarted_with(world, **bucket.env(port)):
            await world.add("ingestion", **bucket.env(port))
            work = asyncio.gather(*(uploads.go_on(world, other, int(10 * scale)) for _ in range(4)))
            async with load_of(world, load, 200 * scale, 20 * scale):
                for down_s in (0.5, 4.0, 12.0)[: max(1, int(3 * scale))]:
                    await world.pause(1, 3)
                    world.faults += 1
                    way.go_away()
                    await asyncio.sleep(down_s)
                    await way.come_back()
                await work
            wrong = await uploads.judge(world, other)
            await world.remove("ingestion")
    world.notes.append(f"{len(uploads.accepted)} uploads were accepted, {uploads.refused} refused with 503")
    return wrong


class Uploads:
    """Documents that were uploaded, by their names, and how often one was refused."""

    def __init__(self) -> None:
        self.accepted: dict[str, str] = {}
        self.refused = 0

    async def go_on(self, world: World, load: Load, count: int) -> None:
        """Upload so many documents, each again until it is accepted."""
        async with world.client(load) as client:
            for _ in range(count):
                name = f"{uuid4().hex}.txt"
                while name not in self.accepted:
                    form = aiohttp.FormData()
                    form.add_field("file", f"Letter {name}. ".encode() * 50, filename=name)
                    async with client.http.post("/api/documents", data=form) as answer:
                        said = await answer.json(content_type=None)
                    if answer.status == 202:
                        self.accepted[name] = said["job_id"]
                    else:
                        assert answer.status == 503, f"an upload was answered with {answer.status}"
                        self.refused += 1
                        await asyncio.sleep(RETRY_S)

    async def judge(self, world: World, load: Load) -> list[str]:
        """Wait for all jobs, and say which document is missing, there twice, or not ready."""
        async with world.client(load) as client:
            for job_id in self.accepted.values():
                await client.ended(job_id)
        sql = """SELECT d.name, v.state, count(*) OVER (PARTITION BY d.name) FROM documents d
          JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id WHERE d.tenant_id = %s"""
        async with await psycopg.AsyncConnection.connect(world.stores.database_url) as db:
            rows = await (await db.execute(sql, (load.tenant.id,))).fetchall()
        found = {name: (state, times) for name, state, times in rows}
        wrong = [
            f"{name} was accepted and is {found.get(name)}" for name in self.accepted if found.get(name) != ("ready", 1)
        ]
        return wrong + [f"{name} is there and was never accepted" for name in found if name not in self.accepted]


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
