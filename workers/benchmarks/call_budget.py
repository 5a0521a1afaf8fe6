"""Keeps a benchmark's calls within its tenant's limits: before each call the most that it may use is reserved, and what
it did not use serves the next one. All of it is held under the job's own reservation, which is settled when the job ends.

Where tokens per minute are used up, a call waits: that is not part of what is measured. Where a budget is used up, the
benchmark ends, with what it has measured.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from schema.errors import LimitReached
from schema.identity.budgets import read_budgets
from schema.postgres.connections import Pool
from schema.queries.jobs.attempts import ClaimedJob
from workers.limits.limits import BUDGETS, LimitPolicy, Limits
from workers.limits.refusals import RequestedUsage, budget_used_up
from workers.limits.reservation import BUDGETS_FIELD, limit_policy
from workers.limits.spending import find_overspent
from workers.redis.client import RedisUnavailable

log = structlog.get_logger()

MAX_PAUSE_S = 5.0
ENDED = "{} The benchmark ends here and keeps what it has measured; it goes on when the job is retried after that."


class CallBudget:
    """What the calls of one attempt may use. `tokens` and `nanos` are what was reserved with the submit."""

    def __init__(
        self,
        limits: Limits,
        pool: Pool,
        job: ClaimedJob,
        *,
        tokens: int,
        nanos: int,
        on_wait: Callable[[], None],
    ) -> None:
        self._limits, self._pool, self._on_wait = limits, pool, on_wait
        self._tenant_id: UUID = job.tenant_id
        self._job_id: UUID = job.id
        callers = read_budgets(job.payload.get(BUDGETS_FIELD))
        self._policy = limit_policy(job.tenant, callers) if job.tenant is not None else LimitPolicy()
        self._tokens, self._nanos = tokens, nanos
        self._lock = asyncio.Lock()
        self._under_way = 0

    async def open(self) -> None:
        """Make sure that the job holds a reservation, which a job that is driven again has lost. Raises LimitReached."""
        if self._policy.is_unlimited:
            return
        try:
            verdict = await self._limits.reserve(self._tenant_id, self._job_id, self._policy, tokens=1, nanos=0)
        except RedisUnavailable:
            return
        if not verdict.allowed:
            message = "This tenant's rate limit is reached. Retry the job later."
            raise LimitReached(message, code="rate_limit_exceeded", retry_after_s=float(verdict.retry_after_s))

    async def acquire(self, tokens: int, nanos: int) -> None:
        """Reserve what a call may use, once that is allowed. Raises LimitReached if a budget is used up."""
        if self._policy.is_unlimited:
            return
        if self._policy.tokens_per_minute is not None:
            tokens = min(tokens, self._policy.tokens_per_minute)
        async with self._lock:
            while not await self._take(tokens, nanos):
                self._on_wait()
                await asyncio.sleep(await self._pause_s(tokens, nanos))
        self._under_way += 1

    def release(self, tokens: int, nanos: int, *, used_tokens: int, used_nanos: int) -> None:
        """Return what a call did not use of its reservation."""
        if not self._policy.is_unlimited:
            self._under_way -= 1
            self._tokens += tokens - used_tokens
            self._nanos += nanos - used_nanos

    async def _take(self, tokens: int, nanos: int) -> bool:
        more_tokens, more_nanos = max(0, tokens - self._tokens), max(0, nanos - self._nanos)
        if more_tokens or more_nanos:
            try:
                extended = await self._limits.extend(
                    self._tenant_id, self._job_id, self._policy, tokens=more_tokens, nanos=more_nanos
                )
            except RedisUnavailable:
                await self._check_spending(tokens, nanos)  # rates are not limited then, budgets by Postgres
                extended = True
            if not extended:
                return False
        self._tokens += more_tokens - tokens
        self._nanos += more_nanos - nanos
        return True

    async def _pause_s(self, tokens: int, nanos: int) -> float:
        """Return how long to wait for a rate. Raises LimitReached if it is a budget that is used up: other calls that are under
        way may give some of it back."""
        quotas = await self._limits.get_quotas(self._tenant_id, self._policy)
        wanted = RequestedUsage(max(0, tokens - self._tokens), 0, max(0, nanos - self._nanos))
        short = [quota for quota in quotas if quota.name in BUDGETS and quota.remaining < wanted.amount(quota)]
        if short and not self._under_way:
            raise LimitReached(
                ENDED.format(budget_used_up(short[0])), code="budget_exceeded", retry_after_s=float(short[0].reset_s)
            )
        rates = [max(1.0, quota.reset_s) for quota in quotas if quota.name not in BUDGETS]
        return 0.2 if short else min([MAX_PAUSE_S, *rates])

    async def _check_spending(self, tokens: int, nanos: int) -> None:
        overspent = await find_overspent(self._pool, self._tenant_id, self._policy, RequestedUsage(tokens, 0, nanos))
        if overspent:
            message = ENDED.format(budget_used_up(overspent[0]))
            raise LimitReached(message, code="budget_exceeded", retry_after_s=600)
