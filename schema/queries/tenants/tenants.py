"""Tenants and what they are granted, for admins. What a request must know of its tenant comes with its key or token
(`schema/queries/identity/callers.py`)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Json

from schema.identity.tenancy import GrantKind, TenantState
from schema.postgres.connections import Db, Pool, connection, fetch_all, fetch_one


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as admins see it. Money in nano-USD; None is no limit."""

    id: UUID
    slug: str
    name: str
    state: TenantState
    default_model: str | None
    weight: int
    max_running: int
    max_queued: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    reads_per_minute: int | None
    searches_per_minute: int | None
    budget_day_nanos: int | None
    budget_month_nanos: int | None
    budget_warn_percent: int
    max_storage_bytes: int | None
    retention_days: int | None
    archive_days: int | None
    audit_days: int
    created_at: datetime
    updated_at: datetime


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a tenant may use: `name`, or all whose names begin with what stands before its `*`."""

    kind: GrantKind
    name: str
    overrides: dict[str, Any]
    created_at: datetime
    created_by: str | None


COLUMNS = ", ".join(Tenant.__struct_fields__)
GRANT = ", ".join(Grant.__struct_fields__)
UNCHANGEABLE = ("id", "slug", "created_at", "updated_at")
CHANGEABLE = tuple(name for name in Tenant.__struct_fields__ if name not in UNCHANGEABLE)


async def find_tenant(db: Db, tenant_id: UUID) -> Tenant | None:
    """Return one tenant, the one of the transaction."""
    return await fetch_one(db, f"SELECT {COLUMNS} FROM tenants WHERE id = %(id)s", {"id": tenant_id}, into=Tenant)


async def lock_tenant(db: Db, tenant_id: UUID) -> Tenant | None:
    """Return the tenant of the transaction and keep others from changing it until the commit; its jobs go on."""
    sql = f"SELECT {COLUMNS} FROM tenants WHERE id = %(id)s FOR NO KEY UPDATE"
    return await fetch_one(db, sql, {"id": tenant_id}, into=Tenant)


async def list_tenants(
    pool: Pool, *, limit: int, after: str = "", state: str | None = None, search: str | None = None
) -> list[Tenant]:
    """Return tenants by slug; `after` is the last slug of the page before. Across all tenants: for admins only."""
    sql = f"SELECT {COLUMNS} FROM list_tenants(%(after)s, %(limit)s, %(state)s, %(search)s)"
    values = {"after": after, "limit": limit, "state": state, "search": search}
    async with connection(pool) as db:
        return await fetch_all(db, sql, values, into=Tenant)


async def add_tenant(db: Db, tenant_id: UUID, slug: str, values: Mapping[str, Any]) -> bool:
    """Insert a tenant with the given columns of CHANGEABLE; False if the slug is taken. The transaction is the tenant's."""
    given = [name for name in CHANGEABLE if name in values]
    columns, places = ", ".join(["id", "slug", *given]), ", ".join(f"%({name})s" for name in ["id", "slug", *given])
    sql = f"INSERT INTO tenants ({columns}) VALUES ({places}) ON CONFLICT (slug) DO NOTHING RETURNING id"
    return await fetch_one(db, sql, {**values, "id": tenant_id, "slug": slug}) is not None


async def change_tenant(db: Db, tenant_id: UUID, values: Mapping[str, Any]) -> Tenant | None:
    """Set the given columns of CHANGEABLE and return the tenant."""
    changes = ", ".join(f"{name} = %({name})s" for name in CHANGEABLE if name in values)
    sql = f"""UPDATE tenants SET {changes + ", " if changes else ""}updated_at = now() WHERE id = %(id)s
      RETURNING {COLUMNS}"""
    return await fetch_one(db, sql, {**values, "id": tenant_id}, into=Tenant)


async def list_grants(db: Db, tenant_id: UUID, kind: str | None = None) -> list[Grant]:
    """Return what the tenant may use, by kind and name."""
    sql = f"""SELECT {GRANT} FROM grants
      WHERE tenant_id = %(tenant_id)s AND (%(kind)s::text IS NULL OR kind = %(kind)s) ORDER BY kind, name"""
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "kind": kind}, into=Grant)


async def count_grants(db: Db, tenant_id: UUID) -> dict[str, int]:
    """Return how many agents, tools and models are granted, by kind; a kind without any is left out."""
    sql = "SELECT kind, count(*) AS grants FROM grants WHERE tenant_id = %(tenant_id)s GROUP BY kind"
    return {row["kind"]: row["grants"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id})}


async def add_grants(db: Db, tenant_id: UUID, kind: str, names: Sequence[str], *, created_by: str) -> None:
    """Grant several things of a kind at once; what is granted already stays as it is."""
    sql = """INSERT INTO grants (tenant_id, kind, name, overrides, created_by)
      SELECT %(tenant_id)s::uuid, %(kind)s, name, '{}', %(created_by)s FROM unnest(%(names)s::text[]) AS n (name)
      ON CONFLICT DO NOTHING"""
    await db.execute(sql, {"tenant_id": tenant_id, "kind": kind, "names": list(names), "created_by": created_by})


async def put_grant(
    db: Db, tenant_id: UUID, kind: str, name: str, *, overrides: dict[str, Any], created_by: str | None
) -> Grant:
    """Grant something, or change the overrides of its grant."""
    sql = f"""INSERT INTO grants (tenant_id, kind, name, overrides, created_by)
      VALUES (%(tenant_id)s, %(kind)s, %(name)s, %(overrides)s, %(created_by)s)
      ON CONFLICT (tenant_id, kind, name) DO UPDATE SET overrides = excluded.overrides
      RETURNING {GRANT}"""
    values = {"tenant_id": tenant_id, "kind": kind, "name": name, "created_by": created_by}
    grant = await fetch_one(db, sql, {**values, "overrides": Json(overrides)}, into=Grant)
    assert grant is not None
    return grant


async def delete_grant(db: Db, tenant_id: UUID, kind: str, name: str) -> bool:
    """Take a grant back; False if there was none."""
    sql = "DELETE FROM grants WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s AND name = %(name)s RETURNING name"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "kind": kind, "name": name}) is not None
