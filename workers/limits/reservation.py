"""The reservation of a running answer: made by its submit, and extended in steps as the answer grows.

Only jobs of tenants with limits have one. An answer that is about to outgrow its reservation asks for more ahead of time; if
the limit is exhausted, the answer ends there, with `finish_reason` `length`. However many answers run at once, a limit is
exceeded by no more than what they produce while the last request for more is pending.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import structlog

from graphs.providers.tokens import estimate_tokens
from schema.identity.budgets import CallerBudget, read_budgets
from schema.identity.tenancy import TenantSnapshot
from schema.model_catalog.prices import FREE, Price
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.tenants.tenants import Tenant
from workers.limits.limits import LimitPolicy, Limits, Verdict
from workers.redis.client import RedisUnavailable

log = structlog.get_logger()

BUDGETS_FIELD = "budgets"
"""The field of a job's payload with the budgets of its caller, as they were when it was submitted."""

EXTEND_TOKENS = 256  # how much a growing answer reserves at a time
EXTEND_AHEAD_TOKENS = 64  # how many tokens before the end it does so


def limit_policy(tenant: TenantSnapshot | Tenant, callers: tuple[CallerBudget, ...] = ()) -> LimitPolicy:
    """Return the limits of a tenant, with the budgets of whoever calls."""
    return LimitPolicy(
        requests_per_minute=tenant.requests_per_minute,
        tokens_per_minute=tenant.tokens_per_minute,
        budget_day_nanos=tenant.budget_day_nanos,
        budget_month_nanos=tenant.budget_month_nanos,
        warn_percent=tenant.budget_warn_percent,
        callers=callers,
    )


def reserved_payload(verdict: Verdict | None, callers: tuple[CallerBudget, ...]) -> dict[str, Any]:
    """Return what a job's payload says of its reservation; nothing if it has none."""
    if verdict is None:
        return {}
    budgets = {BUDGETS_FIELD: msgspec.to_builtins(callers)} if callers else {}
    return {"reserved": verdict.tokens, **budgets}


async def settle_reservation(
    limits: Limits, tenant_id: UUID, job_id: UUID, *, tokens: int, nanos: int, refund_request: bool = False
) -> None:
    """Charge what a job used and release the rest of its reservation. If Redis is unavailable, the sweeper does it later."""
    try:
        await limits.settle(tenant_id, job_id, tokens=tokens, nanos=nanos, refund_request=refund_request)
    except RedisUnavailable:
        log.warning("settlement_postponed", job_id=str(job_id))


class Reservation:
    """What one attempt may use. `on_exhausted` is called once, when there is no more."""

    def __init__(
        self,
        limits: Limits,
        job: ClaimedJob,
        tenant: TenantSnapshot,
        *,
        price: Price | None,
        input_tokens: int,
        on_exhausted: Callable[[], None],
    ) -> None:
        self._limits, self._on_exhausted = limits, on_exhausted
        self._tenant_id: UUID = job.tenant_id
        self._job_id: UUID = job.id
        self._policy = limit_policy(tenant, read_budgets(job.payload.get(BUDGETS_FIELD)))
        self._price = FREE if job.credential or price is None else price
        self._granted: int = job.payload["reserved"] - input_tokens
        self._chars = 0
        self._extending: asyncio.Task[None] | None = None
        self._closed = False

    def count(self, chars: int) -> None:
        """Count characters of output. Never waits."""
        self._chars += chars
        if (
            self._extending is None
            and not self._closed
            and estimate_tokens(self._chars) > self._granted - EXTEND_AHEAD_TOKENS
        ):
            self._extending = asyncio.get_running_loop().create_task(self._extend(), name="reservation-extend")

    async def _extend(self) -> None:
        try:
            tokens = max(EXTEND_TOKENS, estimate_tokens(self._chars) - self._granted + EXTEND_AHEAD_TOKENS)
            nanos = self._price.most(0, tokens)
            granted = await self._limits.extend(self._tenant_id, self._job_id, self._policy, tokens=tokens, nanos=nanos)
        except RedisUnavailable:
            granted, tokens = True, EXTEND_TOKENS  # fails open: usage is charged in Postgres all the same
        finally:
            self._extending = None
        if granted:
            self._granted += tokens
        elif estimate_tokens(self._chars) >= self._granted:
            self._closed = True
            self._on_exhausted()

    def close(self) -> None:
        """Stop extending."""
        self._closed = True
        if self._extending is not None:
            self._extending.cancel()
