"""Counts by the minute, of what has no tenant's window of its own: calls of a trigger, visitors of a widget."""

import time

from workers.redis.client import RedisClient
from workers.redis.connection import ReplyError

WINDOW_S = 60


def this_minute() -> tuple[int, float]:
    """Return the number of the minute, for a key, and how many seconds are left of it."""
    now = time.time()
    return int(now) // WINDOW_S, WINDOW_S - now % WINDOW_S


async def count(redis: RedisClient, key: str) -> int:
    """Count one more under a key, which names the minute and is gone after the next; return how many there are. Raises
    RedisUnavailable or ReplyError."""
    counted, expires = await redis.send([("INCR", key), ("EXPIRE", key, 2 * WINDOW_S)])
    for reply in (counted, expires):
        if isinstance(reply, ReplyError):
            raise reply
    return int(counted)
