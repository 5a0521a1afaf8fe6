"""What was used and what it cost (X6): of a tenant for admins, of one's own tenant, of oneself."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import UNSET, UnsetType
from psycopg.rows import DictRow

from api.admin.concerned import TenantName, reading
from api.admin.money import usd_of
from api.errors import problems
from api.principals import MayManageTenants, MayReadUsage, SignedIn
from api.resources import Opened
from schema.db import Db
from schema.errors import Forbidden, InputError
from schema.queries.knowledge import get_stored_bytes
from schema.queries.tenants import find_tenant
from schema.queries.usage import GroupBy, get_spent, list_usage

TAGS = ["usage"]
MOST_DAYS = 400
USUAL_DAYS = 30
MOST_ROWS = 5000

By = Literal["day", "user", "agent", "model"]
COLUMNS: dict[By, GroupBy] = {"day": "day", "user": "user_id", "agent": "agent", "model": "model"}

From = Annotated[date | None, QueryParameter(name="from", description="The first day (UTC); 29 days before `to`.")]
To = Annotated[date | None, QueryParameter(name="to", description="The last day (UTC), included; today.")]
Groups = Annotated[
    list[By] | None,
    QueryParameter(
        name="by", max_items=8, description="One row for each combination of these; `day` if none is given."
    ),
]


class UsedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was used together, and what it cost."""

    jobs: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class UsageRowOut(UsedOut, frozen=True, kw_only=True):
    """The same of one day, user, agent, model: those that `by` names. A `user` of null is nobody in particular, an `agent`
    of "" none."""

    day: date | UnsetType = UNSET
    user: UUID | UnsetType | None = UNSET
    agent: str | UnsetType = UNSET
    model: str | UnsetType = UNSET


class BudgetOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far a budget is used; without a limit there is no percentage and no warning."""

    limit_usd: float | None
    spent_usd: float
    percent: float | None
    warning: bool


class BudgetsOut(msgspec.Struct, frozen=True):
    """The budgets of this UTC day and month."""

    day: BudgetOut
    month: BudgetOut


class OwnUsageOut(msgspec.Struct, frozen=True, kw_only=True):
    """Usage from one day to another, both included. `more` says that rows are missing: ask for fewer days or groups."""

    first: date = msgspec.field(name="from")
    last: date = msgspec.field(name="to")
    by: list[By]
    rows: list[UsageRowOut]
    more: bool
    total: UsedOut


class TenantUsageOut(OwnUsageOut, frozen=True, kw_only=True):
    """The same with the tenant's budgets, and the bytes that its documents take now."""

    budgets: BudgetsOut
    stored_bytes: int
    max_storage_bytes: int | None


@get("/admin/tenants/{tenant:str}/usage", responses=problems("not_found"), summary="A tenant's usage", tags=TAGS)
async def get_tenant_usage(
    tenant: TenantName,
    principal: MayManageTenants,
    resources: Opened,
    first: From = None,
    last: To = None,
    by: Groups = None,
) -> TenantUsageOut:
    span = _span(first, last)
    async with reading(resources.ports.pool, tenant) as (db, found):
        return await _of_tenant(db, found, span, by)


@get("/usage", summary="Your tenant's usage", tags=TAGS)
async def get_usage(
    principal: MayReadUsage, resources: Opened, first: From = None, last: To = None, by: Groups = None
) -> TenantUsageOut:
    span = _span(first, last)
    async with principal.tx(resources.ports.pool) as db:
        found = await find_tenant(db, principal.tenant_id)
        assert found is not None
        return await _of_tenant(db, found, span, by)


@get("/usage/me", summary="Your own usage", tags=TAGS)
async def get_my_usage(
    principal: SignedIn, resources: Opened, first: From = None, last: To = None, by: Groups = None
) -> OwnUsageOut:
    """What was used in your name."""
    if principal.user_id is None:
        raise Forbidden("This key stands for its tenant, not for a person. GET /api/usage tells what the tenant used.")
    span = _span(first, last)
    async with principal.tx(resources.ports.pool) as db:
        return OwnUsageOut(**await _used(db, principal.tenant_id, span, by, user_id=principal.user_id))


def _span(first: date | None, last: date | None) -> tuple[date, date]:
    """Return the days that are asked for. Raises InputError for too many, or none."""
    last = last or datetime.now(UTC).date()
    first = first or date.fromordinal(max(1, last.toordinal() - USUAL_DAYS + 1))
    if first > last:
        raise InputError(f"from is {first}, which is after to ({last}).", field="from")
    if (last - first).days >= MOST_DAYS:
        raise InputError(f"from and to must be at most {MOST_DAYS} days apart.", field="from")
    return first, last


async def _of_tenant(db: Db, tenant: DictRow, span: tuple[date, date], by: list[By] | None) -> TenantUsageOut:
    used = await _used(db, tenant["id"], span, by)
    day, month = await get_spent(db, tenant["id"])
    warn = tenant["budget_warn_percent"]
    budgets = BudgetsOut(
        _budget(tenant["budget_day_nanos"], day, warn), _budget(tenant["budget_month_nanos"], month, warn)
    )
    stored = await get_stored_bytes(db, tenant["id"])
    return TenantUsageOut(**used, budgets=budgets, stored_bytes=stored, max_storage_bytes=tenant["max_storage_bytes"])


async def _used(
    db: Db, tenant_id: UUID, span: tuple[date, date], by: list[By] | None, *, user_id: UUID | None = None
) -> dict[str, Any]:
    """Return the fields of OwnUsageOut."""
    first, last = span
    usual: list[By] = ["day"]
    groups = list(dict.fromkeys(by or usual))
    columns: list[GroupBy] = [COLUMNS[group] for group in groups]
    asked: dict[str, Any] = {"first": first, "last": last, "user_id": user_id}
    rows = await list_usage(db, tenant_id, by=columns, limit=MOST_ROWS + 1, **asked)
    total = await list_usage(db, tenant_id, by=(), limit=1, **asked)
    return {
        **{"first": first, "last": last, "by": groups},
        "rows": [
            UsageRowOut(**_sums(row), **{group: row[COLUMNS[group]] for group in groups}) for row in rows[:MOST_ROWS]
        ],
        "more": len(rows) > MOST_ROWS,
        "total": UsedOut(**_sums(total[0] if total else None)),
    }


def _sums(row: DictRow | None) -> dict[str, Any]:
    if row is None:
        return {"jobs": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    counts = {name: row[name] for name in ("jobs", "input_tokens", "output_tokens")}
    return counts | {"cost_usd": usd_of(row["cost_nanos"])}


def _budget(limit: int | None, spent: int, warn_percent: int) -> BudgetOut:
    if limit is None:
        return BudgetOut(limit_usd=None, spent_usd=usd_of(spent), percent=None, warning=False)
    percent = round(100 * spent / limit, 1) if limit else 100.0
    warning = 100 * spent >= warn_percent * limit
    return BudgetOut(limit_usd=usd_of(limit), spent_usd=usd_of(spent), percent=percent, warning=warning)


routes = Router("/", route_handlers=[get_tenant_usage, get_usage, get_my_usage])
