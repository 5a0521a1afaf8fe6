"""Checks of the stores: each does what users do, and writes to Postgres, to Redis and to the storage. A store that only answers
may be full or read-only. Others are beside this file; all of them return a Finding, or raise what is wrong."""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from schema.errors import Unavailable
from schema.ids import new_id
from schema.postgres.batch import run_batch
from schema.postgres.connections import Pool
from schema.redis_names import CONTROL, HEALTH_CHECK, ROUTES_BY_WORDS
from schema.vault import PLATFORM
from workers.redis.address import Command
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.storage.contract import Storage

CHECK_TIMEOUT_S = 2.0
BLOCK = bytes(4096)

ADD_SESSION = "INSERT INTO sessions (tenant_id, id, title) VALUES (%(tenant_id)s, %(id)s, 'health')"
DELETE_SESSION = "DELETE FROM sessions WHERE tenant_id = %(tenant_id)s AND id = %(id)s"

REFUSED_BECAUSE = {
    "25006": "it is read-only",
    "53100": "its disk is full",
    "53200": "it is out of memory",
    "53300": "it has too many connections",
    "57P01": "it is shutting down",
    "57P03": "it is starting or shutting down",
}
"""Common states of Postgres that a write fails with."""
REDIS_CODE = re.compile(r"(?:READONLY|OOM|MISCONF|NOREPLICAS|LOADING|MASTERDOWN|NOAUTH|NOPERM|BUSY)\b")


@dataclass(frozen=True)
class Finding:
    """What a check found of a part that works: figures, and the `trouble` it has, in a sentence, if it is degraded. `lasted_s`:
    it has had that trouble for so long already."""

    detail: Mapping[str, float] = field(default_factory=dict[str, float])
    trouble: str | None = None
    lasted_s: float = 0.0


class NoData(Exception):
    """Nothing says whether the part works: it stays what it was."""

    def __init__(self, detail: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.detail = dict(detail or {})


class PartDown(Exception):
    """A part does not work, and has not for `lasted_s` already. People are told its sentence, or else the docstring of the
    class."""

    def __init__(self, sentence: str = "", *, lasted_s: float = 0.0, detail: Mapping[str, float] | None = None) -> None:
        super().__init__(sentence)
        self.lasted_s, self.detail = lasted_s, dict(detail or {})


class WritesRefused(PartDown):
    """Postgres refused a write a moment ago."""


class Frozen(PartDown):
    """Postgres accepts connections and does not answer."""


class NotSubscribed(PartDown):
    """This process does not receive what is published to it."""


class RoutingWithoutEmbedder(PartDown):
    """A worker finds agents by words alone, since its embedder can't be loaded; its log says why (routing_by_words)."""


class NoWorkers(PartDown):
    """No worker is running."""


class StorageCorrupt(PartDown):
    """What is read from it is not what was stored."""


async def check_postgres(pool: Pool) -> None:
    """Commit a write, as a request does."""
    row = {"tenant_id": PLATFORM, "id": new_id()}
    await run_batch(pool, PLATFORM, [(ADD_SESSION, row), (DELETE_SESSION, row)])


async def check_redis(redis: RedisClient, inbox: str) -> None:
    """Write a key, and publish to this process's own subscription. Raises NotSubscribed if that is lost."""
    commands: list[Command] = [("SET", HEALTH_CHECK, "up", "EX", "60"), ("PUBLISH", inbox, b"")]
    replies = await redis.send(commands)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    if not replies[-1]:
        raise NotSubscribed


async def check_storage(storage: Storage, name: str) -> None:
    """Store a file under this name, read it, and delete it. Raises StorageCorrupt."""
    async with storage.staging.temporary_folder() as folder:
        path = folder / "health"
        await asyncio.to_thread(path.write_bytes, BLOCK)
        await storage.put(name, path)
    stored = b"".join([chunk async for chunk in storage.read(name)])
    await storage.delete([name])
    if stored != BLOCK:
        raise StorageCorrupt


async def count_workers(redis: RedisClient) -> int:
    """Count the workers by the subscribers of the control channel. Raises NoWorkers if there are none."""
    _, listening = await redis.call("PUBSUB", "NUMSUB", CONTROL)
    if not listening:
        raise NoWorkers
    return listening


async def check_routing(redis: RedisClient) -> None:
    """Raises RoutingWithoutEmbedder if a worker lacks what it routes with."""
    _, listening = await redis.call("PUBSUB", "NUMSUB", ROUTES_BY_WORDS)
    if listening:
        raise RoutingWithoutEmbedder


def describe_failure(error: BaseException) -> str:
    """Return what is wrong, for people. Names no address and quotes no message: anybody may ask for health."""
    # The cause of a time-out is that the check was cancelled, which says nothing.
    match error if isinstance(error, TimeoutError) else error.__cause__ or error:
        case PartDown() as down:
            sentence = str(down) or str(down.__doc__)
        case TimeoutError():
            sentence = f"It did not answer within {CHECK_TIMEOUT_S:g} seconds."
        case psycopg.Error(sqlstate=str(state)) as refused:
            sentence = f"Postgres refused a write: {REFUSED_BECAUSE.get(state, type(refused).__name__)}."
        case ReplyError() as reply if code := REDIS_CODE.match(str(reply)):
            sentence = f"Redis refused a write ({code[0]})."
        case psycopg.OperationalError() | RedisUnavailable() | Unavailable() | ConnectionError():
            sentence = "It can't be reached."
        case OSError(errno=int(number)):
            sentence = f"It failed: {os.strerror(number)}."
        case other:
            sentence = f"It failed ({type(other).__name__})."
    return sentence
