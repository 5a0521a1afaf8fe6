"""What a running answer may still use: the reservation that its submit made, and more in steps while it grows (X5).

Only jobs of tenants with limits have one. An answer that outgrows its reservation asks for the next step before it needs it;
when the limit has no room, it is ended where it is, with `finish_reason` `length`. So however many answers run at once, a
limit is passed by no more than what was said while the last question was asked.
"""

import asyncio
import math
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from graphs.providers.tokens import estimate_tokens
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.tenants.tenants import Tenant
from schema.tenancy import TenantSnapshot
from workers.limits.limits import LimitPolicy, Limits
from workers.redis.client import RedisUnavailable

STEP = 256  # tokens that a growing answer takes at a time
AHEAD = 64  # tokens before the end at which it asks


def policy_of(tenant: TenantSnapshot | Tenant) -> LimitPolicy:
    """Return the limits of a tenant."""
    return LimitPolicy(
        requests_per_minute=tenant.requests_per_minute,
        tokens_per_minute=tenant.tokens_per_minute,
        budget_day_nanos=tenant.budget_day_nanos,
        budget_month_nanos=tenant.budget_month_nanos,
        warn_percent=tenant.budget_warn_percent,
    )


def cost_nanos(input_tokens: int, output_tokens: int, input_usd: Decimal, output_usd: Decimal) -> int:
    """Return what tokens cost in nano-USD, rounded up; prices are in US dollars per million tokens."""
    return math.ceil(1000 * (input_tokens * input_usd + output_tokens * output_usd))


class Reservation:
    """What one attempt may use. `refused` is called once when there is no more."""

    def __init__(
        self, limits: Limits, job: ClaimedJob, tenant: TenantSnapshot, *, input_tokens: int, refused: Callable[[], None]
    ) -> None:
        self._limits, self._refused = limits, refused
        self._tenant_id: UUID = job.tenant_id
        self._job_id: UUID = job.id
        self._policy = policy_of(tenant)
        self._price = job.output_usd or Decimal(0)
        self._granted: int = job.payload["reserved"] - input_tokens
        self._chars = 0
        self._asking: asyncio.Task[None] | None = None
        self._over = False

    def note(self, chars: int) -> None:
        """Count what was just said. Never waits."""
        self._chars += chars
        if self._asking is None and not self._over and estimate_tokens(self._chars) > self._granted - AHEAD:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name="allowance")

    async def _ask(self) -> None:
        try:
            tokens = max(STEP, estimate_tokens(self._chars) - self._granted + AHEAD)
            nanos = cost_nanos(0, tokens, Decimal(0), self._price)
            more = await self._limits.extend(self._tenant_id, self._job_id, self._policy, tokens=tokens, nanos=nanos)
        except RedisUnavailable:
            more, tokens = True, STEP  # fails open: what was used is charged in Postgres all the same
        finally:
            self._asking = None
        if more:
            self._granted += tokens
        elif estimate_tokens(self._chars) >= self._granted:
            self._over = True
            self._refused()

    def close(self) -> None:
        """Stop asking."""
        self._over = True
        if self._asking is not None:
            self._asking.cancel()
