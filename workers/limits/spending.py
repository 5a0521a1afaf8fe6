"""What tenants, keys and users have spent, by Postgres: with this Redis' budgets begin, and it decides while Redis is away."""

from uuid import UUID

from schema.identity.budgets import CallerBudget
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.tenants.usage import get_callers_spending, get_spending
from workers.limits.limits import Budget, LimitPolicy, Quota, Spent
from workers.limits.refusals import RequestedUsage

ASK_AGAIN_S = 600


async def read_spent(pool: Pool, tenant_id: UUID, caller: CallerBudget | None) -> Spent:
    """Return what a tenant has spent, or a caller of it."""
    async with tenant_tx(pool, tenant_id) as db:
        if caller is None:
            return Spent(*await get_spending(db, tenant_id))
        return Spent(*await get_callers_spending(db, tenant_id, caller.of, caller.id))


async def find_overspent(pool: Pool, tenant_id: UUID, policy: LimitPolicy, wanted: RequestedUsage) -> list[Quota]:
    """Return the budgets that have no room for what is wanted. What running jobs have reserved is not counted."""
    spent = {
        caller: await read_spent(pool, tenant_id, caller) for caller in dict.fromkeys(c for _, c, _ in policy.budgets)
    }
    quotas = [
        Quota(budget.name, limit, _used(budget, spent[caller]), reset_s=ASK_AGAIN_S)
        for budget, caller, limit in policy.budgets
    ]
    return [quota for quota in quotas if 0 < wanted.amount(quota) > quota.limit - quota.used]


def _used(budget: Budget, spent: Spent) -> int:
    if budget.unit == "tokens":
        return spent.day_tokens
    return spent.day_nanos if budget.period == "day" else spent.month_nanos
