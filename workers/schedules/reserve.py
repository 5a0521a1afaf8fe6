"""Reserves what a scheduled job may use from its tenant's limits, as the API does for requests."""

from uuid import UUID

import structlog

from schema.errors import LimitReached
from schema.identity.tenancy import TenantSnapshot
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.usage import get_spending
from workers.limits.limits import Verdict
from workers.limits.refusals import Wanted, find_too_large
from workers.limits.reservation import limit_policy
from workers.queue.budget_warnings import record_budget_warning
from workers.queue.job_core import JobCore
from workers.redis.client import RedisUnavailable
from workers.schedules.template import CompiledJob

log = structlog.get_logger()

RESERVED_OUTPUT_TOKENS = 1024
EXCEEDED = {"budget": "The tenant's budget was used up.", "rate": "The tenant's rate limit was reached."}


async def reserve(core: JobCore, tenant: TenantSnapshot, compiled: CompiledJob, job_id: UUID) -> Verdict | None:
    """Reserve; None if nothing is limited, or Redis is away and the budget is not used up. Raises LimitReached."""
    policy, pool = limit_policy(tenant), core.pool
    if policy.is_unlimited:
        return None
    write = compiled.max_tokens or RESERVED_OUTPUT_TOKENS
    nanos = await _cost_nanos(core, tenant, compiled, write)
    wanted = Wanted(compiled.input_tokens, write, nanos)
    try:
        verdict = await core.limits.reserve(tenant.id, job_id, policy, tokens=wanted.tokens, nanos=nanos)
    except RedisUnavailable:
        log.warning("limits_unchecked", tenant_id=str(tenant.id))
        async with tenant_tx(pool, tenant.id) as db:
            spent = await get_spending(db, tenant.id)
        for used, budget in zip(spent, (policy.budget_day_nanos, policy.budget_month_nanos), strict=True):
            if budget is not None and nanos > 0 and used + nanos > budget:
                raise LimitReached(EXCEEDED["budget"], code="budget_exceeded", retry_after_s=600) from None
        return None
    if verdict.warn:
        await record_budget_warning(core, tenant, verdict.warn)
    if not verdict.allowed:
        kind = "budget" if any(name.startswith("budget") for name in verdict.violated) else "rate"
        code = "budget_exceeded" if kind == "budget" else "rate_limit_exceeded"
        too_large = find_too_large(verdict, wanted)
        message = too_large.message if too_large else EXCEEDED[kind]
        raise LimitReached(message, code=code, retry_after_s=float(verdict.retry_after_s))
    return verdict


async def _cost_nanos(core: JobCore, tenant: TenantSnapshot, compiled: CompiledJob, write: int) -> int:
    if (tenant.budget_day_nanos, tenant.budget_month_nanos) == (None, None):
        return 0
    if compiled.model.partition("/")[0] in tenant.services:
        return 0
    price = (await core.catalogs.latest()).price(compiled.model)
    return 0 if price is None else price.most(compiled.input_tokens, write)
