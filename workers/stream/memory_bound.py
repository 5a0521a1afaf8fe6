"""Keeps Redis below its bound: near `maxmemory`, it is emptied of what Postgres has as well.

Redis itself must not evict (`maxmemory-policy noeviction`): which keys it takes is chance, and that somebody tried to sign in
or used a login state must not be forgotten. Ended jobs are all that there is much of: their streams are only faster to read
than their logs in Postgres, and their fences only matter to workers that were suspended. Streams of running jobs stay. When
that is not enough, writes fail as if Redis were away (`workers/redis/client.py`), and nothing is lost either.
"""

import msgspec
import structlog

from schema import redis_names
from workers.redis.address import Command
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError
from workers.stream.relay import ENDED_FENCE_TTL_MS, ENDED_TTL_MS

log = structlog.get_logger()

FULL, ENOUGH = 0.75, 0.6
"""Of `maxmemory`: above the first, keys are removed until it is below the second."""
NO_EVICTION = "noeviction"
SCANNED = 1000
MIN_FENCE_AGE_MS = 10 * 60 * 1000
"""How long a fence outlives its job at least; without a bound it is an hour."""


class MemoryBound:
    """Looks after one Redis."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._told_policy = NO_EVICTION

    async def keep(self) -> int:
        """Remove streams of ended jobs, then old fences, if Redis is nearly full; return how many keys. Say so, once, if it
        evicts keys by itself."""
        try:
            memory = await read_memory(self._redis)
            if memory.policy != self._told_policy:
                log.warning("redis_evicts_keys", policy=memory.policy)
                self._told_policy = memory.policy
            if memory.fill < FULL:
                return 0
            removed = await _remove(self._redis, redis_names.JOB_EVENTS, within_ms=ENDED_TTL_MS)
            old_ms = ENDED_FENCE_TTL_MS - MIN_FENCE_AGE_MS
            removed += await _remove(self._redis, redis_names.JOB_FENCES, within_ms=old_ms)
            log.warning("redis_nearly_full", removed=removed, fill=round((await read_memory(self._redis)).fill, 2))
        except (RedisUnavailable, ReplyError):
            return 0
        return removed


class Memory(msgspec.Struct, frozen=True):
    """Which share of `maxmemory` is used, 0 where there is no bound; what Redis does when it is full; bytes in use; and how
    many keys it has ever taken by itself."""

    fill: float
    policy: str
    used: int = 0
    evicted_keys: int = 0


async def read_memory(redis: RedisClient) -> Memory:
    """Return how full Redis is. Raises RedisUnavailable."""
    lines = (await redis.call("INFO", "memory", "stats")).decode().splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    bound, used = int(told.get("maxmemory", 0)), int(told["used_memory"])
    policy, evicted = told.get("maxmemory_policy", NO_EVICTION), int(told.get("evicted_keys", 0))
    return Memory(used / bound if bound else 0.0, policy, used, evicted)


async def _remove(redis: RedisClient, pattern: str, *, within_ms: int) -> int:
    """Remove keys like this that expire within that time, until there is enough room."""
    cursor, removed = b"0", 0
    while (await read_memory(redis)).fill >= ENOUGH:
        cursor, names = await redis.call("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
        asked: list[Command] = [("PTTL", name) for name in names]
        left_ms = await redis.send(asked) if asked else []
        ended = [
            name for name, left in zip(names, left_ms, strict=True) if isinstance(left, int) and 0 <= left <= within_ms
        ]
        if ended:
            removed += await redis.call("UNLINK", *ended)
        if cursor == b"0":
            break
    return removed
