"""The rates of what is no job: reads (GET) and searches, per tenant and minute. They protect other tenants' share of a process.

A read must not cost a call to Redis. So each process counts by itself, and every second tells Redis what it has let through
and hears what all have: alone it keeps a limit exactly, and several together let through at most what comes in a second more.
Nobody waits for Redis; while it is unavailable, or does not answer, nothing is limited (fails open).

    count ──► within the limit: + 1 ──────────► every second: lua/share.lua, one call for each tenant that read, all at once
         └──► else refused, and shared at once

Not here: what jobs use (`limits.py`), whose windows and scripts these are.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import structlog

from schema import redis_names
from workers.limits.limits import Quota, Script, Verdict, Window, describe_windows
from workers.redis.address import Command
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()

READS = Window("reads", unit="requests", seconds=60, limit="reads_per_minute")
SEARCHES = Window("searches", unit="requests", seconds=60, limit="searches_per_minute")
RATES = (READS, SEARCHES)

SHARE_EVERY_S = 1.0
MAX_WAIT_S = 10.0
"""How long a few counts wait until they are shared; more than a thousandth of the limit are shared every second."""

FRESH_S = 3.0
"""How long the last answer of Redis may be a reason to refuse."""

MAX_TOGETHER = 200
"""Tenants in one message to Redis."""

SHARE = Script("share")
WINDOWS_JSON = describe_windows(RATES)


@dataclass
class Count:
    """What a tenant has used of a rate: `shared` as Redis said at `heard_at`, `telling` on the way to it, `new` since, the
    first at `first_at`. At `free_at` something may be let through again, at `reset_at` the window's oldest part expires."""

    limit: int
    shared: int = 0
    telling: int = 0
    new: int = 0
    refused: bool = False
    heard_at: float = 0.0
    first_at: float = 0.0
    free_at: float = 0.0
    reset_at: float = 0.0

    @property
    def used(self) -> int:
        return self.shared + self.telling + self.new

    def is_due(self, now: float) -> bool:
        """Whether Redis should be told, or asked."""
        return self.refused or self.new > self.limit / 1000 or (self.new > 0 and now - self.first_at >= MAX_WAIT_S)


class Rates:
    """The counts of this process. `clock` and `now_ms` replace the process' clock and that of Redis in tests."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._redis, self._clock, self._now_ms = redis, clock, now_ms
        self._counts: dict[tuple[UUID, str], Count] = {}
        self._sharing: asyncio.Task[None] | None = None
        self._hurry, self._lock = asyncio.Event(), asyncio.Lock()

    def count(self, tenant_id: UUID, rate: Window, limit: int | None) -> Verdict | None:
        """Count one, and return None; or return why it is refused, then it is not counted. Never waits."""
        if limit is None:
            return None
        now = self._clock()
        count = self._counts.get((tenant_id, rate.name))
        if count is None:
            count = self._counts[tenant_id, rate.name] = Count(limit, heard_at=now)
        count.limit = limit
        if self._sharing is None or self._sharing.done():
            self._sharing = asyncio.get_running_loop().create_task(self._share_while_used(), name="share-rates")
        if count.used < limit or (now - count.heard_at > FRESH_S and count.new < limit):
            count.new += 1
            if count.new == 1:
                count.first_at = now
            return None
        if not count.refused:
            count.refused = True
            self._hurry.set()
        return _refusal(rate, count, now)

    async def share(self) -> None:
        """Tell Redis what is new, and hear what all processes have let through."""
        async with self._lock:
            await self._share()

    async def _share(self) -> None:
        now = self._clock()
        due: dict[UUID, dict[str, Count]] = {}
        for (tenant_id, name), count in self._counts.items():
            if count.is_due(now):
                due.setdefault(tenant_id, {})[name] = count
        tenants = list(due.items())
        for start in range(0, len(tenants), MAX_TOGETHER):
            await self._share_some(dict(tenants[start : start + MAX_TOGETHER]))
        idle = [key for key, count in self._counts.items() if not count.new and now - count.heard_at > READS.seconds]
        for key in idle:
            del self._counts[key]

    async def close(self) -> None:
        """Stop sharing."""
        if self._sharing is not None:
            self._sharing.cancel()
            await asyncio.wait([self._sharing])

    async def _share_while_used(self) -> None:
        while self._counts:
            self._hurry.clear()
            try:
                async with asyncio.timeout(SHARE_EVERY_S):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            await self.share()
            if self._hurry.is_set():  # refused while it was shared, and so known; no second call at once
                await asyncio.sleep(SHARE_EVERY_S / 10)

    async def _share_some(self, due: dict[UUID, dict[str, Count]]) -> None:
        for counts in due.values():
            for count in counts.values():
                count.telling, count.new, count.refused = count.new, 0, False
        try:
            replies = await self._send(due)
        except (RedisUnavailable, ReplyError):
            log.warning("rates_unchecked", tenants=len(due))
            for counts in due.values():
                for count in counts.values():
                    count.shared = count.telling = 0
            return
        now = self._clock()
        for counts, reply in zip(due.values(), replies, strict=True):
            for name, _, used, reset_ms, retry_ms, _ in reply[3:]:
                count = counts[name.decode()]
                count.shared, count.telling, count.heard_at = used, 0, now
                count.reset_at, count.free_at = now + reset_ms / 1000, now + retry_ms / 1000

    async def _send(self, due: dict[UUID, dict[str, Count]]) -> list[Any]:
        now_ms = self._now_ms() if self._now_ms else ""
        tails = [_arguments(tenant_id, counts, now_ms) for tenant_id, counts in due.items()]
        replies = await self._redis.send([("EVALSHA", SHARE.sha, *tail) for tail in tails])
        if any(isinstance(reply, ReplyError) for reply in replies):  # this Redis doesn't know the script yet
            replies = await self._redis.send([("EVAL", SHARE.text, *tail) for tail in tails])
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies


def _arguments(tenant_id: UUID, counts: dict[str, Count], now_ms: int | str) -> Command:
    windows = (redis_names.limit_window(tenant_id, rate.name) for rate in RATES)
    keys = (*redis_names.limits(tenant_id), redis_names.RESERVATIONS, *windows)
    limits = msgspec.json.encode({name: count.limit for name, count in counts.items()})
    news = msgspec.json.encode({name: count.telling for name, count in counts.items()})
    return (len(keys), *keys, now_ms, limits, news, WINDOWS_JSON)


def _refusal(rate: Window, count: Count, now: float) -> Verdict:
    """Before Redis has said when something is free again, at worst a whole window must pass."""
    reset_s = math.ceil(count.reset_at - now) if count.reset_at > now else rate.seconds
    retry_s = math.ceil(count.free_at - now) if count.free_at > now else reset_s
    quota = Quota(rate.name, count.limit, count.limit, max(1, reset_s))
    return Verdict(allowed=False, violated=(rate.name,), retry_after_s=max(1, retry_s), quotas=(quota,))
