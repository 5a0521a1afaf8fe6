"""Tenants, their API keys and grants."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, ordered_json, tenant_key, timestamp, within_tenant


class Tenant(Table, table=True):
    """A tenant. `weight` and `max_running` determine its share of the workers, `max_queued` how many jobs may wait.

    Money is in nano-USD. NULL is unlimited. `retention_days` applies to sessions and jobs, `audit_days` to the audit log,
    `archive_days` to sessions that left the database (`workers/archive.py`). A tenant that is `deleting` is only visible to the
    sweeper.
    """

    __tablename__ = "tenants"
    __table_args__ = (CheckConstraint("state IN ('active', 'suspended', 'deleting')", name="tenants_state"),)

    id: UUID = Field(primary_key=True)
    slug: str = Field(unique=True)
    name: str
    weight: int = Field(sa_column_kwargs={"server_default": text("1")})
    max_running: int = Field(sa_column_kwargs={"server_default": text("100")})
    max_queued: int = Field(sa_column_kwargs={"server_default": text("20000")})
    created_at: datetime = timestamp(default=True)
    state: str = Field(sa_column_kwargs={"server_default": text("'active'")})
    default_model: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    reads_per_minute: int | None = Field(default=None, sa_column_kwargs={"server_default": text("30000")})
    searches_per_minute: int | None = Field(default=None, sa_column_kwargs={"server_default": text("3000")})
    budget_day_nanos: int | None = Field(default=None, sa_type=BigInteger)
    budget_month_nanos: int | None = Field(default=None, sa_type=BigInteger)
    budget_warn_percent: int = Field(sa_column_kwargs={"server_default": text("80")})
    max_storage_bytes: int | None = Field(default=None, sa_type=BigInteger)
    retention_days: int | None = None
    audit_days: int = Field(sa_column_kwargs={"server_default": text("400")})
    updated_at: datetime = timestamp(default=True)
    config_version: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    archive_days: int | None = None


class ApiKey(Table, table=True):
    """An API key: `find` identifies the row, `digest` is the SHA-256 of the key (`schema/identity/api_keys.py`).

    With a `user_id` the key acts for that user, else for the tenant. `scopes` NULL means all rights of its role.
    `front_end_prompts` says who answers a front end's own prompts (`api/openai/front_end_prompts.py`); NULL is as elsewhere.
    `widget` makes it the public key of a chat widget (`schema/queries/identity/widgets.py`).
    """

    __tablename__ = "api_keys"
    __table_args__ = (within_tenant(["user_id"], "users", keys=["id"]),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    find: str = Field(unique=True)
    digest: str
    name: str
    role: str = Field(sa_column_kwargs={"server_default": text("'member'")})
    scopes: list[str] = json(nullable=True)
    created_at: datetime = timestamp(default=True)
    expires_at: datetime | None = timestamp()
    revoked_at: datetime | None = timestamp()
    user_id: UUID | None = None
    created_by: str | None = None
    last_used_at: datetime | None = timestamp()
    budget_day_nanos: int | None = Field(default=None, sa_type=BigInteger)
    budget_month_nanos: int | None = Field(default=None, sa_type=BigInteger)
    tokens_per_day: int | None = Field(default=None, sa_type=BigInteger)
    front_end_prompts: str | None = None
    widget: dict[str, Any] | None = json()


class Grant(Table, table=True):
    """Something a tenant may use: `kind` is agent, tool or model, `name` its name or a pattern (`ollama/*`, `*`)."""

    __tablename__ = "grants"
    __table_args__ = (CheckConstraint("kind IN ('agent', 'tool', 'model')", name="grants_kind"),)

    tenant_id: UUID = tenant_key()
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    overrides: dict[str, Any] = ordered_json(nullable=False)
    created_at: datetime = timestamp(default=True)
    created_by: str | None = None


class EgressGrant(Table, table=True):
    """A private host, host:port or network that a tenant may reach for a use; HEADRACE_EGRESS_ALLOW is the outer bound."""

    __tablename__ = "egress_grants"
    __table_args__ = (
        CheckConstraint("use IN ('tools', 'documents', 'providers', 'sign_in', 'webhooks')", name="egress_grants_use"),
    )

    tenant_id: UUID = tenant_key()
    use: str = Field(primary_key=True)
    host: str = Field(primary_key=True)
    created_at: datetime = timestamp(default=True)
    created_by: str | None = None
