"""Routes of usage and cost: your tenant's, your own, and for admins any tenant's."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.auth.principals import MayManageTenants, MayReadUsage, SignedIn
from api.auth.tenant_scope import TenantName, reading_tenant
from api.http.csv import CSV, columns_of, csv_response, wants_csv
from api.http.errors import problems
from api.openapi.operations import TEXT, described
from api.resources import AppResources
from api.usage.money import to_usd
from schema.errors import Forbidden, InputError
from schema.postgres.connections import Db
from schema.queries.documents.document_stats import get_stored_bytes
from schema.queries.tenants.tenants import Tenant, find_tenant
from schema.queries.tenants.usage import GroupBy, UsageSum, get_spending, list_usage

TAGS = ["usage"]
MAX_DAYS = 400
DEFAULT_DAYS = 30
MAX_ROWS = 5000

Grouping = Literal["day", "user", "key", "agent", "model"]
COLUMNS: dict[Grouping, GroupBy] = {
    "day": "day",
    "user": "user_id",
    "key": "key_id",
    "agent": "agent",
    "model": "model",
}

From = Annotated[
    date | None,
    QueryParameter(name="from", description="First day (UTC, `YYYY-MM-DD`); 29 days before `to` by default."),
]
To = Annotated[date | None, QueryParameter(name="to", description="Last day (UTC, inclusive); today by default.")]
Groups = Annotated[
    list[Grouping] | None,
    QueryParameter(name="by", max_items=8, description="Group by these: one row per combination; `day` by default."),
]


class UsageTotalsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Usage and cost in total."""

    jobs: Annotated[int, Meta(description="Jobs.")]
    input_tokens: Annotated[int, Meta(description="Tokens sent to models.")]
    output_tokens: Annotated[int, Meta(description="Tokens that models generated.")]
    cost_usd: Annotated[float, Meta(description="Cost in US dollars.")]
    own_key_input_tokens: Annotated[
        int, Meta(description="Of `input_tokens`, those with your tenant's own provider keys. They cost nothing here.")
    ]
    own_key_output_tokens: Annotated[int, Meta(description="Of `output_tokens`, those with these keys.")]


class UsageRowOut(UsageTotalsOut, frozen=True, kw_only=True):
    """Usage of one group. It has a field for each grouping in `by`."""

    day: Annotated[date, Meta(description="The UTC day.")] | UnsetType = UNSET
    user: (
        Annotated[UUID, Meta(description="The user; null for keys of the tenant and erased users.")] | UnsetType | None
    ) = UNSET
    key: (
        Annotated[
            UUID,
            Meta(
                description="The API key (`GET /api/keys`); null for logins, for what headrace did by itself, for erased "
                "users, and for usage from before keys were recorded."
            ),
        ]
        | UnsetType
        | None
    ) = UNSET
    agent: Annotated[str, Meta(description="The agent; empty if none was involved.")] | UnsetType = UNSET
    model: Annotated[str, Meta(description="The model, as `provider/name`.")] | UnsetType = UNSET


class BudgetOut(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a budget is spent."""

    limit_usd: Annotated[float | None, Meta(description="The budget in US dollars; null is unlimited.")]
    spent_usd: Annotated[float, Meta(description="US dollars spent.")]
    percent: Annotated[float | None, Meta(description="Percentage spent; null if unlimited.")]
    warning: Annotated[bool, Meta(description="Whether the tenant's warning percentage is reached.")]


class BudgetsOut(msgspec.Struct, frozen=True):
    """The budgets of the current UTC day and month."""

    day: Annotated[BudgetOut, Meta(description="Budget of the day.")]
    month: Annotated[BudgetOut, Meta(description="Budget of the month.")]


class OwnUsageOut(msgspec.Struct, frozen=True, kw_only=True):
    """Usage over a range of days."""

    first: Annotated[date, Meta(description="First day (UTC).")] = msgspec.field(name="from")
    last: Annotated[date, Meta(description="Last day (UTC), inclusive.")] = msgspec.field(name="to")
    by: Annotated[list[Grouping], Meta(description="What the rows are grouped by.")]
    rows: Annotated[list[UsageRowOut], Meta(description="Usage by group, at most 5,000 rows.")]
    more: Annotated[bool, Meta(description="Whether rows are missing; ask for fewer days or groups.")]
    total: Annotated[UsageTotalsOut, Meta(description="Usage of all days and groups, missing rows included.")]


class TenantUsageOut(OwnUsageOut, frozen=True, kw_only=True):
    """Usage of a tenant over a range of days, with its budgets and storage."""

    budgets: Annotated[BudgetsOut, Meta(description="The current budgets.")]
    stored_bytes: Annotated[int, Meta(description="Bytes that the documents take now.")]
    max_storage_bytes: Annotated[int | None, Meta(description="Most bytes they may take; null is unlimited.")]


USED_EXAMPLE = {
    "jobs": 96,
    "input_tokens": 51_230,
    "output_tokens": 18_704,
    "cost_usd": 0.3152,
    "own_key_input_tokens": 2_048,
    "own_key_output_tokens": 512,
}
MY_USAGE_EXAMPLE = {
    "from": "2026-03-02",
    "to": "2026-03-02",
    "by": ["day", "model"],
    "rows": [USED_EXAMPLE | {"day": "2026-03-02", "model": "openai/gpt-4o-mini"}],
    "more": False,
    "total": USED_EXAMPLE,
}
USAGE_EXAMPLE = MY_USAGE_EXAMPLE | {
    "budgets": {
        "day": {"limit_usd": 5.0, "spent_usd": 0.3152, "percent": 6.3, "warning": False},
        "month": {"limit_usd": None, "spent_usd": 7.0412, "percent": None, "warning": False},
    },
    "stored_bytes": 48_318_208,
    "max_storage_bytes": None,
}


@get(
    "/admin/tenants/{tenant:str}/usage",
    opt=described(response=USAGE_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a tenant's usage",
    tags=TAGS,
)
async def get_tenant_usage(
    tenant: TenantName,
    principal: MayManageTenants,
    resources: AppResources,
    first: From = None,
    last: To = None,
    by: Groups = None,
) -> TenantUsageOut:
    """Returns usage and cost by day, user, key, agent or model, and how much of the budgets is spent."""
    date_range = _date_range(first, last)
    async with reading_tenant(resources.core.pool, tenant) as (db, found):
        return await _tenant_usage(db, found, date_range, by)


@get(
    "/usage",
    opt=described(response=USAGE_EXAMPLE, other_media_types={CSV: TEXT}),
    responses={200: ResponseSpec(TenantUsageOut, description="The usage.", generate_examples=False)},
    summary="Get your tenant's usage",
    tags=TAGS,
)
async def get_usage(
    principal: MayReadUsage,
    request: Request[Any, Any, Any],
    resources: AppResources,
    first: From = None,
    last: To = None,
    by: Groups = None,
) -> Response[Any]:
    """Returns usage and cost by day, user, key, agent or model, and how much of the budgets is spent. With `Accept: text/csv`
    you get the rows as a file."""
    date_range = _date_range(first, last)
    async with principal.tx(resources.core.pool) as db:
        found = await find_tenant(db, principal.tenant_id)
        assert found is not None
        usage = await _tenant_usage(db, found, date_range, by)
    if not wants_csv(request.headers):
        return Response(usage)
    if usage.more:
        raise InputError(f"These are more than {MAX_ROWS} rows. Ask for fewer days or groups.", field="by")
    return csv_response("usage", [*usage.by, *columns_of(UsageTotalsOut)], usage.rows)


@get("/usage/me", opt=described(response=MY_USAGE_EXAMPLE), summary="Get your own usage", tags=TAGS)
async def get_my_usage(
    principal: SignedIn, resources: AppResources, first: From = None, last: To = None, by: Groups = None
) -> OwnUsageOut:
    """Returns the usage of your own jobs. Keys of a tenant get 403, since they don't act for a user."""
    if principal.user_id is None:
        raise Forbidden("This key acts for its tenant, not for a user. GET /api/usage returns the tenant's usage.")
    date_range = _date_range(first, last)
    async with principal.tx(resources.core.pool) as db:
        return OwnUsageOut(**await _usage_fields(db, principal.tenant_id, date_range, by, user_id=principal.user_id))


def _date_range(first: date | None, last: date | None) -> tuple[date, date]:
    """Return the first and the last day. Raises InputError for an empty or too long range."""
    last = last or datetime.now(UTC).date()
    first = first or date.fromordinal(max(1, last.toordinal() - DEFAULT_DAYS + 1))
    if first > last:
        raise InputError(f"from must not be after to, but {first} is after {last}.", field="from")
    if (last - first).days >= MAX_DAYS:
        raise InputError(f"from and to must be at most {MAX_DAYS} days apart.", field="from")
    return first, last


async def _tenant_usage(
    db: Db, tenant: Tenant, date_range: tuple[date, date], by: list[Grouping] | None
) -> TenantUsageOut:
    used = await _usage_fields(db, tenant.id, date_range, by)
    day, month = await get_spending(db, tenant.id)
    warn = tenant.budget_warn_percent
    budgets = BudgetsOut(_budget(tenant.budget_day_nanos, day, warn), _budget(tenant.budget_month_nanos, month, warn))
    stored = await get_stored_bytes(db, tenant.id)
    return TenantUsageOut(**used, budgets=budgets, stored_bytes=stored, max_storage_bytes=tenant.max_storage_bytes)


async def _usage_fields(
    db: Db, tenant_id: UUID, date_range: tuple[date, date], by: list[Grouping] | None, *, user_id: UUID | None = None
) -> dict[str, Any]:
    """Return the fields of OwnUsageOut."""
    first, last = date_range
    default: list[Grouping] = ["day"]
    groups = list(dict.fromkeys(by or default))
    columns: list[GroupBy] = [COLUMNS[group] for group in groups]
    filters: dict[str, Any] = {"first": first, "last": last, "user_id": user_id}
    rows = await list_usage(db, tenant_id, by=columns, limit=MAX_ROWS + 1, **filters)
    total = await list_usage(db, tenant_id, by=(), limit=1, **filters)
    return {
        **{"first": first, "last": last, "by": groups},
        "rows": [
            UsageRowOut(**_sums(row), **{group: getattr(row, COLUMNS[group]) for group in groups})
            for row in rows[:MAX_ROWS]
        ],
        "more": len(rows) > MAX_ROWS,
        "total": UsageTotalsOut(**_sums(total[0] if total else UsageSum())),
    }


def _sums(row: UsageSum) -> dict[str, Any]:
    names = ("jobs", "input_tokens", "output_tokens", "own_key_input_tokens", "own_key_output_tokens")
    counts = {name: getattr(row, name) for name in names}
    return counts | {"cost_usd": to_usd(row.cost_nanos)}


def _budget(limit: int | None, spent: int, warn_percent: int) -> BudgetOut:
    if limit is None:
        return BudgetOut(limit_usd=None, spent_usd=to_usd(spent), percent=None, warning=False)
    percent = round(100 * spent / limit, 1) if limit else 100.0
    warning = 100 * spent >= warn_percent * limit
    return BudgetOut(limit_usd=to_usd(limit), spent_usd=to_usd(spent), percent=percent, warning=warning)


routes = Router("/", route_handlers=[get_tenant_usage, get_usage, get_my_usage])
