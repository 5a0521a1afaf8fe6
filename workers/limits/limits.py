"""The limits of a tenant: requests and tokens a minute, money a day and a month. They are kept in Redis.

    reserve ──► (extend …) ──► settle        one Lua call each: all limits or none, by the clock of Redis

A job reserves what it will use at most, as far as one can tell, before it runs, and settles with what it really used.
Requests and tokens count in a sliding window of 60 s: in no 60 s is more accepted than the limit, and what is counted
stays for up to a second longer. Money counts by UTC day and month in nano-USD; Redis holds copies of what Postgres
knows, fetched anew every hour, or Redis would stay wrong by what was spent while it was away.

When Redis is away, every call here raises `WireDown`, and the callers decide: the API lets rate limits fail open and asks
Postgres for budgets. When Redis has forgotten everything, windows begin empty and budgets are fetched from Postgres.

Not here: what a call may cost (`tokens` and `nanos` are the caller's estimate), and who sweeps up old reservations.
"""

import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from schema import redis_names
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError

Spent = Callable[[UUID], Awaitable[tuple[int, int]]]
"""Returns what a tenant has spent this UTC day and this UTC month, in nano-USD, from Postgres."""

LUA = Path(__file__).parent / "lua"
WINDOW_S = 60  # of requests and tokens a minute; the scripts get it as their last argument
TRUSTED_MS = 3600 * 1000  # how long Redis' copy of what was spent is taken for true
SEED_TRIES = 3
AWAY = ("LOADING", "OOM", "READONLY", "MASTERDOWN", "MISCONF", "BUSY")  # Redis answers, but can't do its work

TAKEN = 1
UNSEEDED = -1


@dataclass(frozen=True)
class LimitPolicy:
    """What a tenant may use; None is no limit. Money is in nano-USD."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    warn_percent: int = 80

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited: then nobody needs to call Redis."""
        return not any(self.arguments)

    @property
    def arguments(self) -> tuple[int | str, ...]:
        """The limits as the scripts take them."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.budget_day_nanos, self.budget_month_nanos)
        return tuple("" if limit is None else str(limit) for limit in limits)


@dataclass(frozen=True)
class Quota:
    """How far one limit is used: `requests`, `tokens`, `budget_day` or `budget_month`.

    `used` includes what is reserved, and debt may lift it over the limit. `reset_s`: when a window gets the first of it back,
    or the budget's period ends.
    """

    name: str
    limit: int
    used: int
    reset_s: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class Verdict:
    """Whether a job may run, and how far the limits are used after that.

    `retry_after_s` is the earliest moment at which the same call could pass if nothing else came; 0 when it has passed.
    `warn` names the budgets that have now reached the percentage at which to warn, once in each period. `tokens` and
    `nanos` are what the job holds.
    """

    allowed: bool
    violated: tuple[str, ...] = ()
    retry_after_s: int = 0
    quotas: tuple[Quota, ...] = ()
    warn: tuple[str, ...] = ()
    tokens: int = 0
    nanos: int = 0


@dataclass(frozen=True)
class Reserved:
    """What the running jobs of a tenant hold."""

    jobs: int
    tokens: int
    nanos: int


class Script:
    """A Lua script; all of them begin with `lua/limits.lua`."""

    def __init__(self, name: str) -> None:
        self.text = (LUA / "limits.lua").read_text() + (LUA / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


RESERVE, EXTEND, SETTLE, SEED, STATE = (Script(name) for name in ("reserve", "extend", "settle", "seed", "state"))


class Limits:
    """The limits of all tenants. Every method raises WireDown when Redis is away; see the module's docstring.

    `now_ms` stands in for Redis' clock, for tests.
    """

    def __init__(self, redis: RedisClient, spent: Spent, *, now_ms: Callable[[], int] | None = None) -> None:
        self._wire, self._spent, self._now_ms = redis, spent, now_ms

    async def reserve(self, tenant_id: UUID, job_id: UUID, policy: LimitPolicy, *, tokens: int, nanos: int) -> Verdict:
        """Take one request, `tokens` and `nanos` from every limit, or nothing from any.

        A token reservation over the limit is cut down to it; one of 0 takes 1. `nanos=0` is a call that costs nothing, which
        an exhausted budget doesn't stop. A job that holds a reservation is allowed and takes no second one. After WireDown it
        may hold one all the same: settle it, or leave it to the sweeper.
        """
        if policy.is_unlimited:
            return Verdict(allowed=True, tokens=tokens, nanos=nanos)
        wanted = (str(job_id), tokens, nanos, _member(tenant_id, job_id), policy.warn_percent)
        return _verdict(await self._ask(RESERVE, tenant_id, *policy.arguments, *wanted))

    async def extend(self, tenant_id: UUID, job_id: UUID, policy: LimitPolicy, *, tokens: int, nanos: int) -> bool:
        """Take more for a running job, all of it or nothing; False if there isn't enough.

        True as well for a job without a reservation (Redis has forgotten it): fails open and takes nothing.
        """
        if policy.is_unlimited:
            return True
        (status,) = await self._ask(EXTEND, tenant_id, *policy.arguments, str(job_id), tokens, nanos)
        return status == TAKEN

    async def settle(
        self, tenant_id: UUID, job_id: UUID, *, tokens: int, nanos: int, refund_request: bool = False
    ) -> bool:
        """End the job's reservation with what was really used; False, and no change, if it holds none.

        Unused tokens go back to the seconds they were taken from; tokens beyond the reservation count now, as a debt if
        need be. Money counts in the period that now is. Call it after the usage is committed to Postgres: what is fetched
        from there may then hold a job twice for an hour, but never misses one. `refund_request` is for a submit that failed.
        """
        member, refund = _member(tenant_id, job_id), "1" if refund_request else ""
        return bool(await self._run(SETTLE, tenant_id, str(job_id), tokens, nanos, refund, member))

    async def state(self, tenant_id: UUID, policy: LimitPolicy) -> tuple[Quota, ...]:
        """Return how far each limit is used. Takes nothing."""
        if policy.is_unlimited:
            return ()
        return _verdict(await self._ask(STATE, tenant_id, *policy.arguments)).quotas

    async def reserved(self, tenant_id: UUID) -> Reserved:
        """Return what the tenant's running jobs hold."""
        _, _, jobs, reserved, *_ = redis_names.limits(tenant_id)
        count, sums = await self._call("HLEN", jobs), await self._call("HMGET", reserved, "tokens", "nanos")
        return Reserved(count, *(int(value or 0) for value in sums))

    async def list_old(self, older_than_s: float, limit: int = 500) -> list[tuple[UUID, UUID]]:
        """Return (tenant, job) of reservations that have been open for longer, the oldest first."""
        now_ms = await self._clock()
        until = now_ms - int(older_than_s * 1000)
        found = await self._call("ZRANGEBYSCORE", redis_names.RESERVATIONS, "-inf", f"({until}", "LIMIT", 0, limit)
        return [_parse_member(member) for member in found]

    async def seed(self, tenant_id: UUID, day_nanos: int, month_nanos: int) -> None:
        """Tell Redis what was spent this UTC day and month; changes nothing where it knows."""
        await self._run(SEED, tenant_id, day_nanos, month_nanos, TRUSTED_MS)

    async def _clock(self) -> int:
        if self._now_ms:
            return self._now_ms()
        seconds, micros = await self._call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def _ask(self, script: Script, tenant_id: UUID, *arguments: int | str) -> list[Any]:
        """Run a script, and tell Redis what was spent if it doesn't know."""
        for _ in range(SEED_TRIES):
            reply = await self._run(script, tenant_id, *arguments)
            if reply[0] != UNSEEDED:
                return reply
            await self.seed(tenant_id, *await self._spent(tenant_id))
        raise RedisUnavailable("Redis loses the counters of limits as soon as they are written")

    async def _run(self, script: Script, tenant_id: UUID, *arguments: int | str) -> Any:
        keys = (*redis_names.limits(tenant_id), redis_names.RESERVATIONS)
        now_ms = self._now_ms() if self._now_ms else ""
        command = (len(keys), *keys, now_ms, *arguments, WINDOW_S)
        try:
            return await self._call("EVALSHA", script.sha, *command)
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._call("EVAL", script.text, *command)

    async def _call(self, *command: Any) -> Any:
        try:
            return await self._wire.call(*command)
        except ReplyError as error:
            if str(error).startswith(AWAY):
                raise RedisUnavailable(f"Redis refused a command: {error}") from error
            raise


def _member(tenant_id: UUID, job_id: UUID) -> str:
    return f"{tenant_id}:{job_id}"


def _parse_member(member: bytes) -> tuple[UUID, UUID]:
    tenant_id, _, job_id = member.decode().partition(":")
    return UUID(tenant_id), UUID(job_id)


def _verdict(reply: list[Any]) -> Verdict:
    """Read an `answer` of lua/limits.lua."""
    status, tokens, nanos, *policies = reply
    quotas, violated, warn, retry_ms = [], [], [], 0
    for name, limit, used, reset_ms, policy_retry_ms, warns in policies:
        quotas.append(Quota(name.decode(), limit, used, math.ceil(reset_ms / 1000)))
        retry_ms = max(retry_ms, policy_retry_ms)
        if policy_retry_ms >= 0:
            violated.append(name.decode())
        if warns:
            warn.append(name.decode())
    return Verdict(
        allowed=status == TAKEN,
        violated=tuple(violated),
        retry_after_s=math.ceil(retry_ms / 1000),
        quotas=tuple(quotas),
        warn=tuple(warn),
        tokens=tokens,
        nanos=nanos,
    )
