"""Metrics of a tenant, and a tenant's view of itself."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import structlog
from litestar import Router, get
from msgspec import Meta

from api.auth.principals import MayManageTenants, MayReadUsage, Principal, SignedIn
from api.auth.tenant_scope import TenantName, reading_tenant
from api.http.errors import problems
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.tenants.schemas import LIMITS_EXAMPLE, LimitsOut, limits_out
from api.usage.money import to_usd
from schema.identity.tenancy import TenantState
from schema.postgres.connections import Db
from schema.queries.tenants.metrics import get_job_stats, get_stored_counts, get_usage_this_month, get_usage_today
from schema.queries.tenants.tenants import Tenant, find_tenant
from schema.queries.webhooks.endpoints import count_switched_off
from workers.limits.limits import BUDGETS, WINDOWS, Quota
from workers.limits.reservation import limit_policy
from workers.redis.client import RedisUnavailable

log = structlog.get_logger()

TAGS = ["usage"]
WEBHOOKS_DISABLED = (
    "{} webhook {} switched off after failures. GET /api/webhooks?enabled=false says which and why; enable them when the "
    "receivers work again, and what waited is sent."
)
UNITS = {window.name: window.unit for window in WINDOWS}


class PercentilesOut(msgspec.Struct, frozen=True):
    """Percentiles of a duration. Both are null if there were no jobs."""

    p50_s: Annotated[float | None, Meta(description="Median, in seconds.")]
    p95_s: Annotated[float | None, Meta(description="95th percentile, in seconds.")]


class JobStatsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by state, and those that were submitted in the last 24 hours."""

    all: Annotated[int, Meta(description="All jobs on record.")]
    queued: Annotated[int, Meta(description="Jobs that are waiting.")]
    running: Annotated[int, Meta(description="Jobs that are running.")]
    succeeded: Annotated[int, Meta(description="Jobs that succeeded.")]
    failed: Annotated[int, Meta(description="Jobs that failed.")]
    cancelled: Annotated[int, Meta(description="Jobs that were cancelled.")]
    submitted_24h: Annotated[int, Meta(description="Jobs submitted in the last 24 hours, to the minute.")]
    failed_24h: Annotated[int, Meta(description="Of these, the jobs that failed.")]
    wait_24h: Annotated[
        PercentilesOut, Meta(description="Time from submission to the first attempt, of the newest 1,000 that ended.")
    ]
    run_24h: Annotated[PercentilesOut, Meta(description="Time that the same jobs ran, over all their attempts.")]


class StoredOut(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored for a tenant."""

    sessions: Annotated[int, Meta(description="Sessions.")]
    messages: Annotated[int, Meta(description="Messages in sessions.")]
    users: Annotated[int, Meta(description="Users.")]
    keys: Annotated[int, Meta(description="API keys that are neither revoked nor expired.")]
    documents: Annotated[int, Meta(description="Documents.")]
    stored_bytes: Annotated[int, Meta(description="Bytes that the documents take.")]


class TokensAndCostOut(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of finished jobs and what they cost."""

    input_tokens: Annotated[int, Meta(description="Tokens sent to models.")]
    output_tokens: Annotated[int, Meta(description="Tokens that models generated.")]
    cost_usd: Annotated[float, Meta(description="Cost in US dollars.")]


class QuotaOut(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a limit is used, including what running jobs have reserved."""

    name: Annotated[
        str, Meta(description="The limit: `requests`, `tokens`, `budget_day` or `budget_month`.", examples=["requests"])
    ]
    unit: Annotated[str, Meta(description="Unit of the amounts: `requests`, `tokens` or `usd`.")]
    limit: Annotated[float, Meta(description="The limit.")]
    used: Annotated[float, Meta(description="Amount used in the current window.")]
    remaining: Annotated[float, Meta(description="Amount left in the current window.")]
    reset_s: Annotated[int, Meta(description="Seconds until the window resets.")]


class MetricsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of a tenant."""

    jobs: Annotated[JobStatsOut, Meta(description="Jobs.")]
    kept: Annotated[StoredOut, Meta(description="What is stored.")]
    today: Annotated[TokensAndCostOut, Meta(description="Usage of the current UTC day.")]
    month: Annotated[TokensAndCostOut, Meta(description="Usage of the current UTC month.")]
    limits: Annotated[
        list[QuotaOut] | None, Meta(description="The limits that are set; null while Redis is unavailable.")
    ]


class TenantNoticeOut(msgspec.Struct, frozen=True):
    """Something that whoever manages the tenant should look at."""

    code: Annotated[Literal["webhooks_disabled"], Meta(description="A stable code.")]
    message: Annotated[str, Meta(description="What it is, and what to do.")]


class MyTenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's tenant."""

    id: Annotated[UUID, Meta(description="Id of the tenant.")]
    slug: Annotated[str, Meta(description="Its name in paths.")]
    name: Annotated[str, Meta(description="Its display name.")]
    state: Annotated[TenantState, Meta(description="State of the tenant.")]
    default_model: Annotated[str | None, Meta(description="Model of requests that name none; null if there is none.")]
    limits: Annotated[LimitsOut, Meta(description="Its limits and budgets.")]
    max_running: Annotated[int, Meta(description="Most jobs that run at a time.")]
    max_queued: Annotated[int, Meta(description="Most jobs that wait at a time.")]
    models: Annotated[
        list[str], Meta(description="Models that it may use: `provider/name`, or prefixes that end in `*`.")
    ]
    services: Annotated[list[str], Meta(description="Services that it has stored a provider key for.")]
    notices: Annotated[
        list[TenantNoticeOut],
        Meta(description="What those who manage the tenant should look at; empty for everybody else."),
    ]


USED_EXAMPLE = {"input_tokens": 51_230, "output_tokens": 18_704, "cost_usd": 0.3152}
METRICS_EXAMPLE = {
    "jobs": {
        "all": 1204,
        "queued": 2,
        "running": 3,
        "succeeded": 1180,
        "failed": 12,
        "cancelled": 7,
        "submitted_24h": 96,
        "failed_24h": 1,
        "wait_24h": {"p50_s": 0.012, "p95_s": 0.41},
        "run_24h": {"p50_s": 2.3, "p95_s": 9.8},
    },
    "kept": {"sessions": 310, "messages": 2844, "users": 14, "keys": 5, "documents": 112, "stored_bytes": 48_318_208},
    "today": USED_EXAMPLE,
    "month": USED_EXAMPLE | {"input_tokens": 1_204_511, "output_tokens": 402_877, "cost_usd": 7.0412},
    "limits": [{"name": "requests", "unit": "requests", "limit": 60, "used": 4, "remaining": 56, "reset_s": 31}],
}
MY_TENANT_EXAMPLE = {
    "id": "019514f2-5a0d-7e61-8f3c-1d4b6a9e2c70",
    "slug": "acme",
    "name": "Acme",
    "state": "active",
    "default_model": "ollama/llama3.2:3b",
    "limits": LIMITS_EXAMPLE,
    "max_running": 20,
    "max_queued": 1000,
    "models": ["ollama/*"],
    "services": ["openai"],
    "notices": [],
}


@get(
    "/admin/tenants/{tenant:str}/metrics",
    opt=described(response=METRICS_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a tenant's metrics",
    tags=TAGS,
)
async def get_tenant_metrics(tenant: TenantName, principal: MayManageTenants, resources: AppResources) -> MetricsOut:
    """Returns job counts and latencies, what is stored, and how much of the limits is used."""
    async with reading_tenant(resources.core.pool, tenant) as (db, found):
        metrics = await _get_metrics(db, found.id)
    return MetricsOut(**metrics, limits=await _get_quotas(resources, found))


@get(
    "/tenant/metrics",
    opt=described(response=METRICS_EXAMPLE),
    summary="Get your tenant's metrics",
    tags=TAGS,
)
async def get_metrics(principal: MayReadUsage, resources: AppResources) -> MetricsOut:
    """Returns job counts and latencies, what is stored, and how much of the limits is used."""
    async with principal.tx(resources.core.pool) as db:
        found = await _own_tenant(db, principal.tenant_id)
        metrics = await _get_metrics(db, found.id)
    return MetricsOut(**metrics, limits=await _get_quotas(resources, found))


@get("/tenant", opt=described(response=MY_TENANT_EXAMPLE), summary="Get your tenant", tags=TAGS)
async def get_my_tenant(principal: SignedIn, resources: AppResources) -> MyTenantOut:
    """Returns the tenant that the key or token belongs to, with its limits and the models it may use."""
    async with principal.tx(resources.core.pool) as db:
        tenant = await _own_tenant(db, principal.tenant_id)
        notices = await _get_notices(db, principal)
    granted = {"models": list(principal.tenant.models), "services": sorted(principal.tenant.services)}
    return from_row(MyTenantOut, tenant, limits=limits_out(tenant), **granted, notices=notices)


async def _get_notices(db: Db, principal: Principal) -> list[TenantNoticeOut]:
    """Return what those who manage the tenant should look at."""
    if "webhooks.manage" not in principal.rights:
        return []
    disabled = await count_switched_off(db, principal.tenant_id)
    if not disabled:
        return []
    message = WEBHOOKS_DISABLED.format(disabled, "endpoint was" if disabled == 1 else "endpoints were")
    return [TenantNoticeOut(code="webhooks_disabled", message=message)]


async def _own_tenant(db: Db, tenant_id: UUID) -> Tenant:
    tenant = await find_tenant(db, tenant_id)
    assert tenant is not None
    return tenant


async def _get_metrics(db: Db, tenant_id: UUID) -> dict[str, Any]:
    jobs, stored = await get_job_stats(db, tenant_id), await get_stored_counts(db, tenant_id)
    today, month = await get_usage_today(db, tenant_id), await get_usage_this_month(db, tenant_id)
    waits, runs = (PercentilesOut(*(both or (None, None))) for both in (jobs.waits, jobs.runs))
    return {
        "jobs": from_row(JobStatsOut, jobs, wait_24h=waits, run_24h=runs),
        "kept": from_row(StoredOut, stored),
        "today": from_row(TokensAndCostOut, today, cost_usd=to_usd(today.cost_nanos)),
        "month": from_row(TokensAndCostOut, month, cost_usd=to_usd(month.cost_nanos)),
    }


async def _get_quotas(resources: Resources, tenant: Tenant) -> list[QuotaOut] | None:
    """Return how much of the limits is used; None while Redis is unavailable."""
    try:
        return [_quota_out(quota) for quota in await resources.limits.get_quotas(tenant.id, limit_policy(tenant))]
    except RedisUnavailable:
        log.warning("limits_not_known", tenant_id=str(tenant.id))
        return None


def _quota_out(quota: Quota) -> QuotaOut:
    is_money = quota.name in BUDGETS
    amounts = {"limit": quota.limit, "used": quota.used, "remaining": quota.remaining}
    in_unit = {name: to_usd(amount) if is_money else amount for name, amount in amounts.items()}
    return QuotaOut(name=quota.name, unit="usd" if is_money else UNITS[quota.name], reset_s=quota.reset_s, **in_unit)


routes = Router("/", route_handlers=[get_tenant_metrics, get_metrics, get_my_tenant])
