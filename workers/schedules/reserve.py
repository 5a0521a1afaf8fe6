"""Reserves what a scheduled job may use from its tenant's limits, as the API does for requests."""

from uuid import UUID

import structlog

from schema.errors import LimitReached
from schema.identity.tenancy import TenantSnapshot
from workers.limits.limits import BUDGETS, LimitPolicy, Verdict
from workers.limits.refusals import RequestedUsage, budget_used_up, find_too_large, longest
from workers.limits.reservation import limit_policy
from workers.limits.spending import find_overspent
from workers.queue.budget_warnings import record_budget_warning
from workers.queue.job_core import JobCore
from workers.redis.client import RedisUnavailable
from workers.schedules.owners import Permission
from workers.schedules.template import CompiledJob

log = structlog.get_logger()

RESERVED_OUTPUT_TOKENS = 1024
RATE_EXCEEDED = "The tenant's rate limit was reached."


async def reserve(core: JobCore, permission: Permission, compiled: CompiledJob, job_id: UUID) -> Verdict | None:
    """Reserve; None if nothing is limited, or Redis is away and no budget is used up. Raises LimitReached."""
    tenant, policy = permission.tenant, limit_policy(permission.tenant, permission.budgets)
    if policy.is_unlimited:
        return None
    write = compiled.max_tokens or RESERVED_OUTPUT_TOKENS
    wanted = RequestedUsage(compiled.input_tokens, write, await _cost_nanos(core, tenant, policy, compiled, write))
    try:
        verdict = await core.limits.reserve(tenant.id, job_id, policy, tokens=wanted.tokens, nanos=wanted.nanos)
    except RedisUnavailable:
        log.warning("limits_unchecked", tenant_id=str(tenant.id))
        if overspent := await find_overspent(core.pool, tenant.id, policy, wanted):
            message = budget_used_up(overspent[0])
            raise LimitReached(message, code="budget_exceeded", retry_after_s=600) from None
        return None
    if verdict.warn:
        await record_budget_warning(core, tenant, policy, verdict.warn)
    if not verdict.allowed:
        budgets = [quota for quota in verdict.quotas if quota.name in verdict.violated and quota.name in BUDGETS]
        code = "budget_exceeded" if budgets else "rate_limit_exceeded"
        too_large = find_too_large(verdict, wanted)
        message = too_large.message if too_large else budget_used_up(longest(budgets)) if budgets else RATE_EXCEEDED
        raise LimitReached(message, code=code, retry_after_s=float(verdict.retry_after_s))
    return verdict


async def _cost_nanos(
    core: JobCore, tenant: TenantSnapshot, policy: LimitPolicy, compiled: CompiledJob, write: int
) -> int:
    if not policy.limits_money or compiled.model.partition("/")[0] in tenant.services:
        return 0
    price = (await core.catalogs.latest()).price(compiled.model)
    return 0 if price is None else price.most(compiled.input_tokens, write)
