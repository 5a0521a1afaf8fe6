"""The table of cases: each breaks one thing under load, and the oracle judges. `cases.py` names the modules that enter them."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import psycopg

from tests.chaos.proxy import Proxy
from tests.chaos.world import ROLES, Load, World

Where = Literal["machine", "cluster"]
"""One machine, or hosts that are network namespaces (`cluster/`)."""

Play = Callable[[World, Load, float], Awaitable[list[str] | None]]


@dataclass(frozen=True)
class Case:
    """One fault. `play` gets the world, a load to fill, and a scale; what it returns are findings of its own."""

    number: int
    name: str
    play: Play
    quick: bool
    states: tuple[str, ...] = ("succeeded",)
    where: Where = "machine"


CASES: list[Case] = []


def case(
    number: int,
    name: str,
    *,
    quick: bool = False,
    states: tuple[str, ...] = ("succeeded",),
    where: Where = "machine",
) -> Callable[[Play], Play]:
    """Enter a case into the table."""

    def enter(play: Play) -> Play:
        CASES.append(Case(number, name, play, quick, states, where))
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


async def spent_tries(world: World, load: Load) -> list[str]:
    """What is wrong where nothing may have cost a job one of its tries."""
    sql = "SELECT count(*) FROM jobs WHERE tenant_id = %s AND tries > 1"
    async with await psycopg.AsyncConnection.connect(world.stores.database_url) as db:
        row = await (await db.execute(sql, (load.tenant.id,))).fetchone()
    return [f"{row[0]} jobs spent a try"] if row and row[0] else []


@contextlib.asynccontextmanager
async def restarted_with(world: World, **env: str) -> AsyncIterator[None]:
    """All processes run with other settings."""
    await _restart_all(world, **env)
    try:
        yield
    finally:
        await _restart_all(world)
        for name in ROLES:
            world.keep(name)


async def _restart_all(world: World, **env: str) -> None:
    await asyncio.gather(*(world.remove(name) for name in ROLES))
    await asyncio.gather(*(world.add(name, **env) for name in ROLES))


@contextlib.asynccontextmanager
async def proxied_worker(world: World) -> AsyncIterator[Proxy]:
    """A third worker, which reaches Postgres, or what stands before it, through a proxy."""
    urls = {name: value for name, value in world.system.env.items() if name.endswith("DATABASE_URL")}
    with psycopg.connect(urls.get("HEADRACE_APP_DATABASE_URL") or world.stores.database_url) as db:
        port = db.info.port
    async with Proxy(port) as proxy:
        through = {name: re.sub("@[^/]+/", f"@127.0.0.1:{proxy.port}/", url) for name, url in urls.items()}
        await world.add("chat3", **through)
        try:
            yield proxy
        finally:
            await world.remove("chat3")
