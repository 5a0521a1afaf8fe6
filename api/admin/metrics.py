"""How a tenant is doing, in figures; and what a tenant may know of itself."""

from typing import Any
from uuid import UUID

import msgspec
import structlog
from litestar import Router, get
from psycopg.rows import DictRow

from api.admin.concerned import TenantName, reading
from api.admin.money import usd_of
from api.admin.shapes import LimitsOut, limits_of
from api.errors import problems
from api.principals import MayManageTenants, MayReadUsage, SignedIn
from api.resources import Opened, Resources
from schema.db import Db
from schema.queries.metrics import get_job_figures, get_kept, get_used_this_month, get_used_today
from schema.queries.tenants import find_tenant
from schema.tenancy import TenantState
from workers.limits import LimitPolicy, Quota
from workers.wire import WireDown

log = structlog.get_logger()

TAGS = ["usage"]


class PercentilesOut(msgspec.Struct, frozen=True):
    """Half of the jobs took at most `p50_s`, 95 of 100 at most `p95_s`; null when there were none."""

    p50_s: float | None
    p95_s: float | None


class JobFiguresOut(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by state, and those of the last 24 hours. A wait ends with the first try; a run is all tries together."""

    all: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    submitted_24h: int
    failed_24h: int
    wait_24h: PercentilesOut
    run_24h: PercentilesOut


class KeptOut(msgspec.Struct, frozen=True, kw_only=True):
    """What there is; `keys` are those that are good, `stored_bytes` those of documents."""

    sessions: int
    messages: int
    users: int
    keys: int
    documents: int
    stored_bytes: int


class TokensAndCostOut(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of ended jobs and what they cost."""

    input_tokens: int
    output_tokens: int
    cost_usd: float


class QuotaOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far a limit is used, with what running jobs hold of it. `unit` is requests, tokens or usd."""

    name: str
    unit: str
    limit: float
    used: float
    remaining: float
    reset_s: int


class MetricsOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant in figures. `limits` is null while Redis, which counts them, is away."""

    jobs: JobFiguresOut
    kept: KeptOut
    today: TokensAndCostOut
    month: TokensAndCostOut
    limits: list[QuotaOut] | None


class OwnTenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant of whoever asks. `models` are the granted ones, as patterns; `services` those it has stored a key for."""

    id: UUID
    slug: str
    name: str
    state: TenantState
    default_model: str | None
    limits: LimitsOut
    max_running: int
    max_queued: int
    models: list[str]
    services: list[str]


@get("/admin/tenants/{tenant:str}/metrics", responses=problems("not_found"), summary="A tenant in figures", tags=TAGS)
async def get_tenant_metrics(tenant: TenantName, principal: MayManageTenants, resources: Opened) -> MetricsOut:
    async with reading(resources.ports.pool, tenant) as (db, found):
        figures = await _figures(db, found["id"])
    return MetricsOut(**figures, limits=await _limits(resources, found))


@get("/tenant/metrics", summary="Your tenant in figures", tags=TAGS)
async def get_metrics(principal: MayReadUsage, resources: Opened) -> MetricsOut:
    async with principal.tx(resources.ports.pool) as db:
        found = await _own_row(db, principal.tenant_id)
        figures = await _figures(db, found["id"])
    return MetricsOut(**figures, limits=await _limits(resources, found))


@get("/tenant", summary="Your tenant", tags=TAGS)
async def get_my_tenant(principal: SignedIn, resources: Opened) -> OwnTenantOut:
    """What your tenant is called, what it may use, and which of its own provider keys are stored."""
    async with principal.tx(resources.ports.pool) as db:
        row = await _own_row(db, principal.tenant_id)
    facts = principal.tenant
    same = {name: row[name] for name in ("id", "slug", "name", "state", "default_model", "max_running", "max_queued")}
    return OwnTenantOut(**same, limits=limits_of(row), models=list(facts.models), services=sorted(facts.services))


async def _own_row(db: Db, tenant_id: UUID) -> DictRow:
    row = await find_tenant(db, tenant_id)
    assert row is not None
    return row


async def _figures(db: Db, tenant_id: UUID) -> dict[str, Any]:
    jobs, kept = await get_job_figures(db, tenant_id), await get_kept(db, tenant_id)
    today, month = await get_used_today(db, tenant_id), await get_used_this_month(db, tenant_id)
    counts = {name: jobs[name] for name in JobFiguresOut.__struct_fields__ if name in jobs}
    waits, runs = (PercentilesOut(*(jobs[name] or (None, None))) for name in ("waits", "runs"))
    return {
        "jobs": JobFiguresOut(**counts, wait_24h=waits, run_24h=runs),
        "kept": KeptOut(**kept),
        "today": _used(today),
        "month": _used(month),
    }


def _used(row: DictRow) -> TokensAndCostOut:
    tokens = {"input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"]}
    return TokensAndCostOut(**tokens, cost_usd=usd_of(row["cost_nanos"]))


async def _limits(resources: Resources, row: DictRow) -> list[QuotaOut] | None:
    """Return how far the limits are used; None when Redis does not say."""
    policy = LimitPolicy(
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        budget_day_nanos=row["budget_day_nanos"],
        budget_month_nanos=row["budget_month_nanos"],
        warn_percent=row["budget_warn_percent"],
    )
    try:
        return [_quota(quota) for quota in await resources.limits.state(row["id"], policy)]
    except WireDown:
        log.warning("limits_not_known", tenant_id=str(row["id"]))
        return None


def _quota(quota: Quota) -> QuotaOut:
    money = quota.name.startswith("budget")
    amounts = {"limit": quota.limit, "used": quota.used, "remaining": quota.remaining}
    in_unit = {name: usd_of(amount) if money else amount for name, amount in amounts.items()}
    return QuotaOut(name=quota.name, unit="usd" if money else quota.name, reset_s=quota.reset_s, **in_unit)


routes = Router("/", route_handlers=[get_tenant_metrics, get_metrics, get_my_tenant])
