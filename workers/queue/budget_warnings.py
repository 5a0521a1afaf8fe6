"""Records that a budget of a tenant, key or user is nearly spent, and tells the tenant's webhooks: whoever made the reservation
that reached it."""

from collections.abc import Sequence
from typing import Any

import structlog

from schema.identity.tenancy import TenantSnapshot
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.audit import add_audit
from schema.queries.webhooks.outbox import announce
from workers.limits.limits import LimitPolicy
from workers.queue.dispatch import wake_deliverers
from workers.queue.job_core import JobCore

log = structlog.get_logger()


async def record_budget_warning(
    core: JobCore, tenant: TenantSnapshot, policy: LimitPolicy, budgets: Sequence[str]
) -> None:
    """Record it, for budgets of a policy by their names. A verdict has them once per period. Raises Unavailable."""
    deliveries, owners = 0, {budget.name: (budget, caller) for budget, caller, _ in policy.budgets}
    async with tenant_tx(core.pool, tenant.id) as db:
        for name in budgets:
            log.warning("budget_nearly_spent", tenant_id=str(tenant.id), budget=name)
            budget, caller = owners[name]
            detail: dict[str, Any] = {"percent": tenant.budget_warn_percent}
            if caller is not None:
                detail |= {f"{caller.of}_id": str(caller.id)}
            await add_audit(db, tenant.id, actor="system", action="budget.warned", target=name, detail=detail)
            about = {"budget": "tokens" if budget.unit == "tokens" else budget.period, **detail}
            deliveries += await announce(db, tenant.id, "budget.reached", about)
    if deliveries:
        await wake_deliverers(core.redis)
