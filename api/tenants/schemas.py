"""Request and response structs of tenants. An omitted field keeps its value, or the default in a new tenant; null removes a
limit."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.grants.patterns import Pattern
from api.http.fields import CreatedAt, NextCursor, UpdatedAt
from api.http.rows import from_row
from api.usage.money import Usd, to_nanos, to_usd
from schema.identity.tenancy import TenantState
from schema.queries.tenants.tenants import Tenant

MAX_COUNT = 2**31 - 1

Name = Annotated[str, Meta(min_length=1, max_length=200, description="Display name.", examples=["Acme"])]
ModelName = Annotated[
    str, Meta(max_length=300, description="Model of requests that name none, as `provider/name`; it must be granted.")
]
RequestsPerMinute = Annotated[int, Meta(ge=1, le=MAX_COUNT, description="Most requests per minute; null is unlimited.")]
TokensPerMinute = Annotated[int, Meta(ge=1, le=MAX_COUNT, description="Most tokens per minute; null is unlimited.")]
ReadsPerMinute = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_COUNT,
        description="Most reads (GET) per minute, followed streams too; null is unlimited.",
    ),
]
SearchesPerMinute = Annotated[
    int, Meta(ge=1, le=MAX_COUNT, description="Most searches in documents per minute; null is unlimited.")
]
BudgetDay = Annotated[Usd, Meta(description="Most US dollars spent per UTC day; null is unlimited.")]
BudgetMonth = Annotated[Usd, Meta(description="Most US dollars spent per UTC month; null is unlimited.")]
WarnPercent = Annotated[int, Meta(ge=1, le=100, description="Percentage of a budget at which a warning is issued.")]
StorageBytes = Annotated[
    int, Meta(ge=0, le=2**53 - 1, description="Most bytes that documents may take; null is unlimited.")
]
Weight = Annotated[int, Meta(ge=1, le=1000, description="Share of the workers, relative to other tenants.")]
MaxRunning = Annotated[int, Meta(ge=1, le=100_000, description="Most jobs that run at a time.")]
MaxQueued = Annotated[int, Meta(ge=1, le=10_000_000, description="Most jobs that wait at a time.")]
RetentionDays = Annotated[
    int,
    Meta(
        ge=1,
        le=36_500,
        description="Days that sessions and jobs are kept; null keeps them indefinitely.",
    ),
]
ArchiveDays = Annotated[
    int,
    Meta(
        ge=1,
        le=20_000,
        description="Days that sessions are kept as files (`GET /v1/files?purpose=archive`) after `retention_days`, which "
        "takes them out of the database; null deletes them then.",
    ),
]
AuditDays = Annotated[int, Meta(ge=1, le=36_500, description="Days that audit log entries are kept.")]

BUDGETS = {"budget_day_usd": "budget_day_nanos", "budget_month_usd": "budget_month_nanos"}
"""Field → column."""


class LimitsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits and budgets of a tenant."""

    requests_per_minute: RequestsPerMinute | UnsetType | None = UNSET
    tokens_per_minute: TokensPerMinute | UnsetType | None = UNSET
    reads_per_minute: ReadsPerMinute | UnsetType | None = UNSET
    searches_per_minute: SearchesPerMinute | UnsetType | None = UNSET
    budget_day_usd: BudgetDay | UnsetType | None = UNSET
    budget_month_usd: BudgetMonth | UnsetType | None = UNSET
    budget_warn_percent: WarnPercent | UnsetType = UNSET
    max_storage_bytes: StorageBytes | UnsetType | None = UNSET


class SettingsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a tenant."""

    limits: Annotated[LimitsIn, Meta(description="Limits and budgets.")] | UnsetType = UNSET
    default_model: ModelName | UnsetType | None = UNSET
    weight: Weight | UnsetType = UNSET
    max_running: MaxRunning | UnsetType = UNSET
    max_queued: MaxQueued | UnsetType = UNSET
    retention_days: RetentionDays | UnsetType | None = UNSET
    archive_days: ArchiveDays | UnsetType | None = UNSET
    audit_days: AuditDays | UnsetType = UNSET


class TenantChangeIn(SettingsIn, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fields of a tenant to update. Omitted fields keep their value."""

    name: Name | UnsetType = UNSET


class OwnerIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first user of a tenant, who gets the role `owner`."""

    email: Annotated[str, Meta(max_length=254, description="Email address.", examples=["ada@acme.example"])]
    name: Annotated[str, Meta(max_length=200, description="Display name.")] = ""
    password: (
        Annotated[
            str, Meta(max_length=1000, description="Password; null to sign in through the tenant's identity provider.")
        ]
        | None
    ) = None

    def __repr__(self) -> str:
        return f"OwnerIn(email={self.email!r})"


class TenantIn(SettingsIn, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tenant to create."""

    slug: Annotated[
        str,
        Meta(
            max_length=63,
            description="Its name in paths: 2 to 63 lowercase letters, digits and hyphens. Can't be changed later.",
            examples=["acme"],
        ),
    ]
    name: Name
    models: Annotated[
        list[Pattern],
        Meta(
            max_length=200,
            description="Models to grant: `provider/name`, a prefix that ends in `*`, or `*` for all.",
            examples=[["ollama/*"]],
        ),
    ] = []
    agents: Annotated[
        list[Pattern],
        Meta(max_length=200, description="Shared agents to grant: names, prefixes that end in `*`, or `*`."),
    ] = []
    tools: Annotated[
        list[Pattern],
        Meta(max_length=200, description="Shared tools to grant: names, prefixes that end in `*`, or `*`."),
    ] = []
    owner: Annotated[OwnerIn, Meta(description="The first user; null to create none.")] | None = None
    key: Annotated[bool, Meta(description="Whether to create an API key as well.")] = True


class LimitsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Limits and budgets of a tenant."""

    requests_per_minute: RequestsPerMinute | None
    tokens_per_minute: TokensPerMinute | None
    reads_per_minute: ReadsPerMinute | None
    searches_per_minute: SearchesPerMinute | None
    budget_day_usd: BudgetDay | None
    budget_month_usd: BudgetMonth | None
    budget_warn_percent: WarnPercent
    max_storage_bytes: StorageBytes | None


class TenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: Annotated[UUID, Meta(description="Id of the tenant.")]
    slug: Annotated[str, Meta(description="Its name in paths.")]
    name: Name
    state: Annotated[TenantState, Meta(description="`active`, `suspended`, or `deleting` until its data is gone.")]
    default_model: Annotated[str | None, Meta(description="Model of requests that name none; null if there is none.")]
    limits: Annotated[LimitsOut, Meta(description="Limits and budgets.")]
    weight: Weight
    max_running: MaxRunning
    max_queued: MaxQueued
    retention_days: RetentionDays | None
    archive_days: ArchiveDays | None
    audit_days: AuditDays
    created_at: CreatedAt
    updated_at: UpdatedAt


class GrantCountsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Number of grants by kind."""

    model: Annotated[int, Meta(description="Grants of models.")] = 0
    agent: Annotated[int, Meta(description="Grants of agents.")] = 0
    tool: Annotated[int, Meta(description="Grants of tools.")] = 0


class TenantDetailOut(TenantOut, frozen=True, kw_only=True):
    """A tenant with its grants and storage in figures."""

    grants: Annotated[GrantCountsOut, Meta(description="Number of grants by kind.")]
    stored_bytes: Annotated[int, Meta(description="Bytes that the tenant's documents take.")] = 0


class TenantCreatedOut(TenantDetailOut, frozen=True, kw_only=True):
    """A tenant that was just created."""

    api_key: (
        Annotated[str, Meta(description="Key with the role `owner`, returned only once; absent if `key` was false.")]
        | UnsetType
    ) = UNSET
    owner_id: Annotated[UUID, Meta(description="Id of the first user; absent if none was created.")] | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"TenantCreatedOut(id={self.id})"


class TenantsOut(msgspec.Struct, frozen=True):
    """A page of tenants, ordered by slug."""

    items: Annotated[list[TenantOut], Meta(description="The tenants on this page.")]
    next_cursor: NextCursor


LIMITS_EXAMPLE = {
    "requests_per_minute": 60,
    "tokens_per_minute": 100_000,
    "reads_per_minute": 30_000,
    "searches_per_minute": 3000,
    "budget_day_usd": 5,
    "budget_month_usd": 100,
    "budget_warn_percent": 80,
    "max_storage_bytes": None,
}
TENANT_EXAMPLE = {
    "id": "019514f2-5a0d-7e61-8f3c-1d4b6a9e2c70",
    "slug": "acme",
    "name": "Acme",
    "state": "active",
    "default_model": "ollama/llama3.2:3b",
    "limits": LIMITS_EXAMPLE,
    "weight": 10,
    "max_running": 20,
    "max_queued": 1000,
    "retention_days": None,
    "archive_days": None,
    "audit_days": 365,
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
}
DETAIL_EXAMPLE = TENANT_EXAMPLE | {"grants": {"model": 1, "agent": 0, "tool": 0}, "stored_bytes": 48_318_208}


def settings_columns(data: SettingsIn) -> dict[str, Any]:
    """Return the columns that `data` sets. Raises InputError for an amount of money that can't be stored."""
    columns = _sent_fields(data, *(name for name in ("name", *SettingsIn.__struct_fields__) if name != "limits"))
    limits = {} if data.limits is UNSET else _sent_fields(data.limits, *LimitsIn.__struct_fields__)
    for field, column in BUDGETS.items():
        if field in limits:
            usd = limits.pop(field)
            columns[column] = None if usd is None else to_nanos(usd, f"limits.{field}")
    return columns | limits


def _sent_fields(data: msgspec.Struct, *names: str) -> dict[str, Any]:
    """Return the named fields that were sent."""
    return {name: value for name in names if (value := getattr(data, name, UNSET)) is not UNSET}


def limits_out(tenant: Tenant) -> LimitsOut:
    """Return the limits of a tenant."""
    budgets = {field: getattr(tenant, column) for field, column in BUDGETS.items()}
    in_usd: dict[str, Any] = {field: None if nanos is None else to_usd(nanos) for field, nanos in budgets.items()}
    return from_row(LimitsOut, tenant, **in_usd)


def tenant_out(tenant: Tenant) -> TenantOut:
    """Return a tenant as it is returned to clients."""
    return from_row(TenantOut, tenant, limits=limits_out(tenant))
