"""Column types that several tables share."""

from typing import Any

from sqlalchemy import DateTime, ForeignKeyConstraint, text
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID
from sqlmodel import Field


def timestamp(*, default: bool = False, nullable: bool = True) -> Any:
    """A UTC time; with `default`, the time of the transaction."""
    kind = DateTime(timezone=True)
    if default:
        return Field(sa_column_kwargs={"server_default": text("now()")}, sa_type=kind, nullable=False)
    return Field(default=None, sa_type=kind, nullable=nullable)


def json(*, nullable: bool = True) -> Any:
    """A JSON document."""
    return Field(default=None, sa_type=JSONB, nullable=nullable)


def ordered_json(*, nullable: bool = True) -> Any:
    """A JSON document whose keys keep their order, as in schemas that models read. It can't be compared or indexed."""
    return Field(default=None, sa_type=JSON, nullable=nullable)


def tenant_key(*, references: bool = True) -> Any:
    """`tenant_id` as the first part of the primary key; row-level security compares it. Tables that refer to another table of
    the tenant need no foreign key to `tenants`, which would lock the tenant's row for each insert."""
    if not references:
        return Field(sa_type=UUID(as_uuid=True), primary_key=True)
    return Field(sa_type=UUID(as_uuid=True), foreign_key="tenants.id", primary_key=True, ondelete="CASCADE")


def within_tenant(columns: list[str], table: str, *, keys: list[str], **options: Any) -> ForeignKeyConstraint:
    """A foreign key that can't leave the tenant: (tenant_id, columns) → table(tenant_id, keys)."""
    target = [f"{table}.{key}" for key in ("tenant_id", *keys)]
    return ForeignKeyConstraint(["tenant_id", *columns], target, ondelete="CASCADE", **options)
