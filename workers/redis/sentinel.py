"""Connects to the Redis that takes writes: the one that is named, or the one that the sentinels call the master.

All sentinels are asked at each connect, and what most of them say counts: one that is cut off from the others may still name
a master that they have replaced. What is found must say itself that it is a master, since it may have been demoted a moment
ago. A connection to a master that is replaced while it runs on, cut off from its sentinels but not from us, is closed.

    find_master ──► RedisConnection.open ──► ROLE ──► every CHECK_EVERY_S: still the master?
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from workers.redis.address import RedisAddress
from workers.redis.connection import CONNECT_TIMEOUT_S, RedisConnection, ReplyError, pack

log = structlog.get_logger()

ASK_TIMEOUT_S = 1.5  # none of three that says nothing costs that: two are most of them
CHECK_EVERY_S = 10.0

Place = tuple[str, int]


class MasterUnknown(ConnectionError):
    """No sentinel that answers names a master, or what it names is none at the moment."""


async def open_master(
    address: RedisAddress, on_message: Callable[[Any], None] | None = None, *, blocks_s: float = 0.0
) -> RedisConnection:
    """Connect to the Redis at an address, or to the master that its sentinels name. Parameters are those of
    `RedisConnection.open`.

    Raises OSError (MasterUnknown is one), TimeoutError, or ReplyError if Redis rejects the password or the database.
    """
    if address.sentinels is None:
        return await RedisConnection.open(address, on_message, blocks_s=blocks_s)
    place = await find_master(address)
    connection = await RedisConnection.open(address.at(*place), on_message, blocks_s=blocks_s)
    try:
        await _check_role(connection)
    except BaseException:
        connection.abort()
        raise
    watching = _leave_when_replaced(connection, address, place)
    connection.watch = asyncio.get_running_loop().create_task(watching, name="redis master")
    return connection


async def find_master(address: RedisAddress) -> Place:
    """Return where the master is by what most sentinels say, as soon as most of them have said it; if fewer answer, by what
    most of these say. Raises MasterUnknown."""
    asked = address.of_sentinels()
    votes = Counter[Place]()
    tasks = [asyncio.ensure_future(ask_sentinel(each, address)) for each in asked]
    try:
        for answered in asyncio.as_completed(tasks):
            with suppress(OSError, ReplyError):
                place = await answered
                if place is not None:
                    votes[place] += 1
                    if votes[place] > len(asked) / 2:
                        return place
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if not votes:
        raise MasterUnknown("no sentinel names a master")
    return votes.most_common(1)[0][0]


async def ask_sentinel(sentinel: RedisAddress, address: RedisAddress) -> Place | None:
    """Return where one sentinel says that the master is, None if it watches none of that name. Raises OSError, ReplyError."""
    assert address.sentinels is not None
    (reply,) = await ask(sentinel, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.sentinels.master_name))
    return (reply[0].decode(), int(reply[1])) if reply else None


async def ask(server: RedisAddress, *commands: tuple[Any, ...]) -> list[Any]:
    """Send commands over a connection of their own, and return the replies. Raises OSError, ReplyError."""
    async with asyncio.timeout(ASK_TIMEOUT_S):
        connection = await RedisConnection.open(server)
        try:
            replies = await connection.request(pack(commands), len(commands))
        finally:
            await connection.close()
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    return replies


async def _check_role(connection: RedisConnection) -> None:
    """Raise MasterUnknown if the server is no master, and ReplyError if it does not say what it is."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        (role,) = await connection.request(pack([("ROLE",)]), 1)
    if isinstance(role, ReplyError):
        raise role
    if role[0] != b"master":
        raise MasterUnknown("the sentinels name a server that is no master")


async def _leave_when_replaced(connection: RedisConnection, address: RedisAddress, place: Place) -> None:
    while not await _is_closed_within(connection, CHECK_EVERY_S):
        with suppress(MasterUnknown):
            if await find_master(address) != place:
                log.warning("redis_master_replaced", host=place[0], port=place[1])
                connection.abort()
                return


async def _is_closed_within(connection: RedisConnection, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await connection.closed.wait()
    return connection.closed.is_set()
