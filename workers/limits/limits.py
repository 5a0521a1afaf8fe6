"""A tenant's limits: requests and tokens per minute, money per day and month. They are kept in Redis, and so are the budgets of
its keys and users: money per day and month, tokens per day.

    reserve ──► (extend …) ──► settle        one Lua call each: all limits or none, by the clock of Redis

Before it runs, a job reserves the most that it is expected to use; afterwards it settles with what it used. Requests and
tokens count in a sliding window of 60 s: no 60 s ever exceed the limit, and a count may stay up to a second longer. Money
counts by UTC day and month, in nano-USD. Redis holds copies of the sums in Postgres and refreshes them every hour, which
corrects for what was spent while Redis was unavailable.

When Redis is unavailable, every call raises RedisUnavailable and the caller decides: in the API, rate limits fail open, and
budgets are checked in Postgres. When Redis has lost its data, windows start empty and budgets are read from Postgres.

Not here: estimating a call (`tokens` and `nanos` are the caller's), and settling abandoned reservations
(`workers/retention.py`).
"""

import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from schema import redis_names
from schema.identity.budgets import CallerBudget
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import ReplyError


class Spent(NamedTuple):
    """What was spent this UTC day and this UTC month, in nano-USD, and the tokens of the day."""

    day_nanos: int
    month_nanos: int
    day_tokens: int = 0


ReadSpent = Callable[[UUID, CallerBudget | None], Awaitable[tuple[int, int] | Spent]]
"""Returns what a tenant, or one of its keys or users, has spent, from Postgres."""

LUA = Path(__file__).parent / "lua"
SPENT_TTL_MS = 3600 * 1000  # how long Redis' copy of what was spent is valid
MAX_SEED_ATTEMPTS = 3

GRANTED = 1
UNSEEDED = -1


@dataclass(frozen=True)
class Window:
    """A rate limit. No `seconds` ever exceed it; a busy tenant's window takes a field in Redis for each. `unit` is what it
    counts, `limit` the field of LimitPolicy and the tenant's column."""

    name: str
    unit: Literal["requests", "tokens"]
    seconds: int
    limit: str


WINDOWS = (
    Window("requests", unit="requests", seconds=60, limit="requests_per_minute"),
    Window("tokens", unit="tokens", seconds=60, limit="tokens_per_minute"),
)


@dataclass(frozen=True)
class Budget:
    """What a tenant, a key or a user may spend in a period: money (`nanos`), or `tokens`. `limit` is the field of LimitPolicy
    or CallerBudget."""

    name: str
    of: Literal["tenant", "key", "user"]
    period: Literal["day", "month"]
    unit: Literal["nanos", "tokens"]
    limit: str


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("budget_day", "tenant", "day", "nanos", "budget_day_nanos"),
        Budget("budget_month", "tenant", "month", "nanos", "budget_month_nanos"),
        Budget("key_budget_day", "key", "day", "nanos", "budget_day_nanos"),
        Budget("key_budget_month", "key", "month", "nanos", "budget_month_nanos"),
        Budget("key_tokens_day", "key", "day", "tokens", "tokens_per_day"),
        Budget("user_budget_day", "user", "day", "nanos", "budget_day_nanos"),
        Budget("user_budget_month", "user", "month", "nanos", "budget_month_nanos"),
        Budget("user_tokens_day", "user", "day", "tokens", "tokens_per_day"),
    )
}
"""All budgets by name; their sentences and headers take it from here."""


def describe_windows(windows: tuple[Window, ...]) -> bytes:
    """Return the windows as the scripts' last argument."""
    return msgspec.json.encode([{"name": w.name, "unit": w.unit, "seconds": w.seconds} for w in windows])


WINDOWS_JSON = describe_windows(WINDOWS)


@dataclass(frozen=True)
class LimitPolicy:
    """A tenant's limits, and the budgets of whoever calls; None is unlimited. Money is in nano-USD."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_day_nanos: int | None = None
    budget_month_nanos: int | None = None
    warn_percent: int = 80
    callers: tuple[CallerBudget, ...] = ()

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited, so that Redis need not be called."""
        return not self.limits

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by the names that the scripts know them by."""
        limits: dict[str, int | None] = {window.name: getattr(self, window.limit) for window in WINDOWS}
        limits |= {budget.name: limit for budget, _, limit in self.budgets}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def budgets(self) -> list[tuple[Budget, CallerBudget | None, int]]:
        """The budgets that are set, whose they are (None is the tenant), and their limits."""
        owners: dict[str, CallerBudget | None] = {"tenant": None, **{caller.of: caller for caller in self.callers}}
        found = [
            (budget, owners[budget.of], getattr(owners[budget.of] or self, budget.limit))
            for budget in BUDGETS.values()
            if budget.of in owners
        ]
        return [one for one in found if one[2] is not None]

    @property
    def limits_money(self) -> bool:
        """Whether any budget counts money, so that a call's cost must be known."""
        return any(budget.unit == "nanos" for budget, _, _ in self.budgets)

    @property
    def argument(self) -> bytes:
        """The limits as the scripts' argument."""
        windows = {window.name: self.limits[window.name] for window in WINDOWS if window.name in self.limits}
        budgets = [
            {
                "name": budget.name,
                "owner": caller.owner if caller else "",
                "period": budget.period,
                "unit": budget.unit,
                "limit": limit,
            }
            for budget, caller, limit in self.budgets
        ]
        return msgspec.json.encode({**windows, "budgets": budgets})


@dataclass(frozen=True)
class Quota:
    """The usage of one limit: `requests`, `tokens`, or a budget by its name in BUDGETS.

    `used` includes reservations, and may exceed the limit when a job used more than it reserved. `reset_s` is the time until
    the oldest part of a window expires, or until the budget's period ends.
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
    """Whether a job may run, and the usage of the limits after that.

    `retry_after_s` is the shortest time after which the same call could succeed; 0 if it was allowed. `warn` names the
    budgets that have just reached their warning percentage, once per period. `tokens` and `nanos` are what the job holds.
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
    """The sums that a tenant's running jobs have reserved."""

    jobs: int
    tokens: int
    nanos: int


class Script:
    """A Lua script, preceded by the shared `lua/limits.lua`."""

    def __init__(self, name: str) -> None:
        self.text = (LUA / "limits.lua").read_text() + (LUA / f"{name}.lua").read_text()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


RESERVE, EXTEND, SETTLE, SEED, STATE = (Script(name) for name in ("reserve", "extend", "settle", "seed", "state"))


class Limits:
    """The limits of all tenants. Every method raises RedisUnavailable; see the module's docstring.

    `now_ms` replaces Redis' clock in tests.
    """

    def __init__(self, redis: RedisClient, read_spent: ReadSpent, *, now_ms: Callable[[], int] | None = None) -> None:
        self._redis, self._read_spent, self._now_ms = redis, read_spent, now_ms

    async def reserve(self, tenant_id: UUID, job_id: UUID, policy: LimitPolicy, *, tokens: int, nanos: int) -> Verdict:
        """Reserve one request, `tokens` and `nanos` from all limits, or nothing.

        Tokens are clamped to at least 1 and at most the limit. A call with `nanos=0` is free, and allowed even if a budget is
        exhausted. A job that already holds a reservation is allowed and reserves nothing more. After RedisUnavailable it may
        hold one all the same: settle it, or leave that to the scheduler.
        """
        if policy.is_unlimited:
            return Verdict(allowed=True, tokens=tokens, nanos=nanos)
        wanted = (str(job_id), tokens, nanos, _member(tenant_id, job_id), policy.warn_percent)
        return _read_verdict(await self._run_seeded(RESERVE, tenant_id, policy, *wanted))

    async def extend(self, tenant_id: UUID, job_id: UUID, policy: LimitPolicy, *, tokens: int, nanos: int) -> bool:
        """Reserve more for a running job, all of it or nothing; False if the limits don't allow it.

        A job without a reservation (Redis has lost it) fails open: True, and nothing is reserved.
        """
        if policy.is_unlimited:
            return True
        (status,) = await self._run_seeded(EXTEND, tenant_id, policy, str(job_id), tokens, nanos)
        return status == GRANTED

    async def settle(
        self, tenant_id: UUID, job_id: UUID, *, tokens: int, nanos: int, refund_request: bool = False
    ) -> bool:
        """Replace the job's reservation by what it used. False, without effect, if it holds none.

        Unused tokens are returned to the seconds they were reserved in; additional ones count now, even beyond the limit.
        Money counts in the current period. Call this after the usage is committed to Postgres: a sum read from there may then
        count a job twice for an hour, but never misses one. `refund_request` is for a submit that failed.
        """
        member, refund = _member(tenant_id, job_id), "1" if refund_request else ""
        return bool(await self._run_script(SETTLE, tenant_id, str(job_id), tokens, nanos, refund, member))

    async def get_quotas(self, tenant_id: UUID, policy: LimitPolicy) -> tuple[Quota, ...]:
        """Return the usage of each limit."""
        if policy.is_unlimited:
            return ()
        return _read_verdict(await self._run_seeded(STATE, tenant_id, policy)).quotas

    async def get_reserved(self, tenant_id: UUID) -> Reserved:
        """Return what the tenant's running jobs have reserved."""
        jobs, reserved, *_ = redis_names.limits(tenant_id)
        count, sums = await self._redis.call("HLEN", jobs), await self._redis.call("HMGET", reserved, "tokens", "nanos")
        return Reserved(count, *(int(value or 0) for value in sums))

    async def list_old_reservations(self, older_than_s: float, limit: int = 500) -> list[tuple[UUID, UUID]]:
        """Return (tenant, job) of reservations that are older, the oldest first."""
        now_ms = await self._read_clock_ms()
        until = now_ms - int(older_than_s * 1000)
        found = await self._redis.call(
            "ZRANGEBYSCORE", redis_names.RESERVATIONS, "-inf", f"({until}", "LIMIT", 0, limit
        )
        return [_parse_member(member) for member in found]

    async def seed(self, tenant_id: UUID, spent: Spent, caller: CallerBudget | None = None) -> None:
        """Store in Redis what the tenant, or a caller of it, has spent this UTC day and month, unless it has valid figures."""
        await self._run_script(SEED, tenant_id, caller.owner if caller else "", *spent, SPENT_TTL_MS)

    async def _read_clock_ms(self) -> int:
        if self._now_ms:
            return self._now_ms()
        seconds, micros = await self._redis.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def _run_seeded(
        self, script: Script, tenant_id: UUID, policy: LimitPolicy, *arguments: int | str | bytes
    ) -> list[Any]:
        """Run a script; if Redis doesn't know what was spent, store that and run it again."""
        for _ in range(MAX_SEED_ATTEMPTS):
            reply = await self._run_script(script, tenant_id, policy.argument, *arguments)
            if reply[0] != UNSEEDED:
                return reply
            for caller in dict.fromkeys(caller for _, caller, _ in policy.budgets):
                await self.seed(tenant_id, Spent(*await self._read_spent(tenant_id, caller)), caller)
        raise RedisUnavailable("Redis loses the limits' counters as soon as they are written")

    async def _run_script(self, script: Script, tenant_id: UUID, *arguments: int | str | bytes) -> Any:
        windows = (redis_names.limit_window(tenant_id, window.name) for window in WINDOWS)
        keys = (*redis_names.limits(tenant_id), redis_names.RESERVATIONS, *windows)
        now_ms = self._now_ms() if self._now_ms else ""
        command = (len(keys), *keys, now_ms, *arguments, WINDOWS_JSON)
        try:
            return await self._redis.call("EVALSHA", script.sha, *command)
        except ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self._redis.call("EVAL", script.text, *command)


def _member(tenant_id: UUID, job_id: UUID) -> str:
    return f"{tenant_id}:{job_id}"


def _parse_member(member: bytes) -> tuple[UUID, UUID]:
    tenant_id, _, job_id = member.decode().partition(":")
    return UUID(tenant_id), UUID(job_id)


def _read_verdict(reply: list[Any]) -> Verdict:
    """Return an `answer` of lua/limits.lua."""
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
        allowed=status == GRANTED,
        violated=tuple(violated),
        retry_after_s=math.ceil(retry_ms / 1000),
        quotas=tuple(quotas),
        warn=tuple(warn),
        tokens=tokens,
        nanos=nanos,
    )
