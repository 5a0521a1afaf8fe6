"""Tenants on the wire. A field that is left out stays as it is, or is as usual in a new tenant; null takes a limit away."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from api.admin.money import Usd, nanos_of, usd_of
from api.admin.patterns import Pattern
from schema.tenancy import TenantState

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Bytes = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Percent = Annotated[int, Meta(ge=1, le=100)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
ModelName = Annotated[str, Meta(max_length=300, description="A model as `provider/name`; it must be granted.")]

BUDGETS = {"budget_day_usd": "budget_day_nanos", "budget_month_usd": "budget_month_nanos"}
"""Field → column."""


class LimitsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a tenant may use. Budgets are of a UTC day and month; from `budget_warn_percent` of one on it is warned."""

    requests_per_minute: Count | UnsetType | None = UNSET
    tokens_per_minute: Count | UnsetType | None = UNSET
    budget_day_usd: Usd | UnsetType | None = UNSET
    budget_month_usd: Usd | UnsetType | None = UNSET
    budget_warn_percent: Percent | UnsetType = UNSET
    max_storage_bytes: Bytes | UnsetType | None = UNSET


class SettingsIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can be set of a tenant besides its name."""

    limits: LimitsIn | UnsetType = UNSET
    default_model: ModelName | UnsetType | None = UNSET
    weight: Annotated[int, Meta(ge=1, le=1000, description="Its share of the workers.")] | UnsetType = UNSET
    max_running: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
    max_queued: Annotated[int, Meta(ge=1, le=10_000_000)] | UnsetType = UNSET
    retention_days: Annotated[Days, Meta(description="How long what was said is kept.")] | UnsetType | None = UNSET
    audit_days: Days | UnsetType = UNSET


class TenantChangeIn(SettingsIn, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Changes of a tenant."""

    name: Name | UnsetType = UNSET


class OwnerIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first person of a tenant. Without a password this person signs in by the tenant's identity provider."""

    email: Annotated[str, Meta(min_length=3, max_length=254)]
    name: Annotated[str, Meta(max_length=200)] = ""
    password: Annotated[str, Meta(max_length=1000)] | None = None

    def __repr__(self) -> str:
        return f"OwnerIn(email={self.email!r})"


class TenantIn(SettingsIn, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new tenant, with what it is granted from the start. `key` also makes the API key of its first client."""

    slug: Annotated[str, Meta(max_length=63, description="Its name in paths; stays for ever.", examples=["acme"])]
    name: Name
    models: Annotated[list[Pattern], Meta(max_length=200, examples=[["ollama/*"]])] = []
    agents: Annotated[list[Pattern], Meta(max_length=200)] = []
    tools: Annotated[list[Pattern], Meta(max_length=200)] = []
    owner: OwnerIn | None = None
    key: bool = True


class LimitsOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant may use; null is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    budget_day_usd: float | None
    budget_month_usd: float | None
    budget_warn_percent: int
    max_storage_bytes: int | None


class TenantOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    id: UUID
    slug: str
    name: str
    state: TenantState
    default_model: str | None
    limits: LimitsOut
    weight: int
    max_running: int
    max_queued: int
    retention_days: int | None
    audit_days: int
    created_at: datetime
    updated_at: datetime


class GrantCountsOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many grants there are of each kind."""

    model: int = 0
    agent: int = 0
    tool: int = 0


class TenantDetailOut(TenantOut, frozen=True, kw_only=True):
    """A tenant with how much is granted to it, and how many bytes its documents take."""

    grants: GrantCountsOut
    stored_bytes: int = 0


class TenantMadeOut(TenantDetailOut, frozen=True, kw_only=True):
    """A tenant that was made just now. `api_key` opens it as its owner and is shown this once."""

    api_key: str | UnsetType = UNSET
    owner_id: UUID | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"TenantMadeOut(id={self.id})"


class TenantsOut(msgspec.Struct, frozen=True):
    """A page of tenants, by slug."""

    items: list[TenantOut]
    next_cursor: str | None


def columns_of(data: SettingsIn) -> dict[str, Any]:
    """Return the columns that `data` sets. Raises InputError for an amount of money that can't be kept."""
    columns = _given(data, *(name for name in ("name", *SettingsIn.__struct_fields__) if name != "limits"))
    limits = {} if data.limits is UNSET else _given(data.limits, *LimitsIn.__struct_fields__)
    for field, column in BUDGETS.items():
        if field in limits:
            usd = limits.pop(field)
            columns[column] = None if usd is None else nanos_of(usd, f"limits.{field}")
    return columns | limits


def _given(data: msgspec.Struct, *names: str) -> dict[str, Any]:
    """Return those of the fields that were sent."""
    return {name: value for name in names if (value := getattr(data, name, UNSET)) is not UNSET}


def limits_of(row: DictRow) -> LimitsOut:
    """Return the limits of a tenant's row."""
    budgets = {field: row[column] for field, column in BUDGETS.items()}
    in_usd: dict[str, Any] = {field: None if nanos is None else usd_of(nanos) for field, nanos in budgets.items()}
    return LimitsOut(**{name: row[name] for name in LimitsOut.__struct_fields__ if name not in BUDGETS}, **in_usd)


def fields_of(row: DictRow) -> dict[str, Any]:
    """Return the fields of TenantOut from a tenant's row."""
    return {name: row[name] for name in TenantOut.__struct_fields__ if name != "limits"} | {"limits": limits_of(row)}
