"""Tenants and the keys that their clients call with."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from schema.tables.columns import json, tenant_key, timestamp


class Tenant(SQLModel, table=True):
    """A customer. `weight` and `max_running` shape its share of the workers, `max_queued` how much may wait."""

    __tablename__ = "tenants"  # type: ignore[assignment]

    id: UUID = Field(primary_key=True)
    slug: str = Field(unique=True)
    name: str
    weight: int = Field(sa_column_kwargs={"server_default": text("1")})
    max_running: int = Field(sa_column_kwargs={"server_default": text("100")})
    max_queued: int = Field(sa_column_kwargs={"server_default": text("20000")})
    created_at: datetime = timestamp(default=True)


class ApiKey(SQLModel, table=True):
    """A client's key: `find` names the row, `digest` is the SHA-256 of the rest (`schema/keys.py`)."""

    __tablename__ = "api_keys"  # type: ignore[assignment]

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
