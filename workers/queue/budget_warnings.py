"""Records that a budget is nearly spent, and tells the tenant's webhooks: whoever made the reservation that reached it."""

from collections.abc import Sequence

import structlog

from schema.identity.tenancy import TenantSnapshot
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.audit import add_audit
from schema.queries.webhooks.outbox import announce
from workers.queue.dispatch import wake_deliverers
from workers.queue.job_core import JobCore

log = structlog.get_logger()


async def record_budget_warning(core: JobCore, tenant: TenantSnapshot, budgets: Sequence[str]) -> None:
    """Record it, for budgets by the names of their windows. A verdict has them once per period. Raises Unavailable."""
    deliveries, detail = 0, {"percent": tenant.budget_warn_percent}
    async with tenant_tx(core.pool, tenant.id) as db:
        for name in budgets:
            log.warning("budget_nearly_spent", tenant_id=str(tenant.id), budget=name)
            await add_audit(db, tenant.id, actor="system", action="budget.warned", target=name, detail=detail)
            about = {"budget": name.removeprefix("budget_"), **detail}
            deliveries += await announce(db, tenant.id, "budget.reached", about)
    if deliveries:
        await wake_deliverers(core.redis)
