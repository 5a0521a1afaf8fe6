"""Webhook endpoints, and the secret of callbacks. Nothing here opens what is sealed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import ALLOW_LONG_STATEMENTS, Db, fetch_all, fetch_one
from schema.vault import Sealed
from schema.webhooks import DisabledFor

COLUMNS = """id, url, description, events, kinds, agents, include, enabled, failing_since, disabled_at, disabled_for,
  created_at, updated_at, created_by, key_id, sealed"""
LISTS = frozenset({"events", "kinds", "agents", "include"})

ADD = f"""
INSERT INTO webhook_endpoints (tenant_id, id, url, description, events, kinds, agents, include, enabled, key_id, sealed,
  created_by)
VALUES (%(tenant_id)s, %(id)s, %(url)s, %(description)s, %(events)s, %(kinds)s, %(agents)s, %(include)s, %(enabled)s,
  %(key_id)s, %(sealed)s, %(created_by)s)
RETURNING {COLUMNS}
"""

# Switched on again, an endpoint begins anew; what waited for it goes out.
RESUME = """
UPDATE webhook_deliveries SET state = 'pending', next_at = now()
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(id)s AND state = 'paused'
"""
PAUSE = """
UPDATE webhook_deliveries SET state = 'paused'
WHERE tenant_id = %(tenant_id)s AND endpoint_id = %(id)s AND state = 'pending'
"""

LIST = f"""
SELECT {COLUMNS} FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND id > %(after)s
  AND (%(enabled)s::bool IS NULL OR enabled = %(enabled)s::bool) ORDER BY id LIMIT %(limit)s
"""

BEGINNING = UUID(int=0)


class StoredEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, with its secrets and headers sealed."""

    id: UUID
    url: str
    description: str
    events: list[str]
    kinds: list[str]
    agents: list[str]
    include: list[str]
    enabled: bool
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_for: DisabledFor | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    key_id: str
    sealed: bytes

    @property
    def secrets(self) -> Sealed:
        return Sealed(self.key_id, self.sealed)

    def __repr__(self) -> str:
        return f"StoredEndpoint(id={self.id})"


class StoredCallbackSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The sealed secret of a tenant's callbacks."""

    key_id: str
    sealed: bytes
    created_at: datetime
    rotated_at: datetime | None

    @property
    def secrets(self) -> Sealed:
        return Sealed(self.key_id, self.sealed)


async def add_endpoint(
    db: Db, tenant_id: UUID, endpoint_id: UUID, columns: Mapping[str, Any], *, created_by: str
) -> StoredEndpoint:
    """Add an endpoint; `columns` are all that a caller may set."""
    values = _values(columns) | {"tenant_id": tenant_id, "id": endpoint_id, "created_by": created_by}
    row = await fetch_one(db, ADD, values, into=StoredEndpoint)
    assert row is not None, "an insert returns its row"
    return row


async def list_endpoints(
    db: Db, tenant_id: UUID, *, limit: int, after: UUID = BEGINNING, enabled: bool | None = None
) -> list[StoredEndpoint]:
    """Return a tenant's endpoints, oldest first."""
    values = {"tenant_id": tenant_id, "limit": limit, "after": after, "enabled": enabled}
    return await fetch_all(db, LIST, values, into=StoredEndpoint)


async def count_endpoints(db: Db, tenant_id: UUID) -> int:
    """Return how many endpoints a tenant has."""
    row = await fetch_one(
        db, "SELECT count(*) AS held FROM webhook_endpoints WHERE tenant_id = %(t)s", {"t": tenant_id}
    )
    return row["held"] if row else 0


async def count_switched_off(db: Db, tenant_id: UUID) -> int:
    """Return how many endpoints are off because their receivers failed, or wanted no more."""
    sql = """SELECT count(*) AS off FROM webhook_endpoints
      WHERE tenant_id = %(tenant_id)s AND NOT enabled AND disabled_for IS NOT NULL"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id})
    return row["off"] if row else 0


async def find_endpoint(db: Db, tenant_id: UUID, endpoint_id: UUID) -> StoredEndpoint | None:
    """Return one endpoint."""
    sql = f"SELECT {COLUMNS} FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": endpoint_id}, into=StoredEndpoint)


async def lock_endpoint(db: Db, tenant_id: UUID, endpoint_id: UUID) -> StoredEndpoint | None:
    """Return one endpoint, which nobody else changes until the transaction ends."""
    sql = f"SELECT {COLUMNS} FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR NO KEY UPDATE"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": endpoint_id}, into=StoredEndpoint)


async def change_endpoint(
    db: Db, tenant_id: UUID, endpoint_id: UUID, columns: Mapping[str, Any]
) -> StoredEndpoint | None:
    """Set columns of an endpoint and return it. With `enabled`, what waits for it is paused, or goes on."""
    changes = [f"{name} = %({name})s" for name in columns]
    if columns.get("enabled"):
        changes += ["failing_since = NULL", "disabled_at = NULL", "disabled_for = NULL"]
    sql = f"""UPDATE webhook_endpoints SET {", ".join(changes)}, updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING {COLUMNS}"""
    values = _values(columns) | {"tenant_id": tenant_id, "id": endpoint_id}
    row = await fetch_one(db, sql, values, into=StoredEndpoint)
    if row is not None and "enabled" in columns:
        await db.execute(RESUME if columns["enabled"] else PAUSE, {"tenant_id": tenant_id, "id": endpoint_id})
    return row


async def delete_endpoint(db: Db, tenant_id: UUID, endpoint_id: UUID) -> bool:
    """Delete an endpoint with its deliveries; False if there is none."""
    await db.execute(ALLOW_LONG_STATEMENTS)
    sql = "DELETE FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": endpoint_id}) is not None


async def find_callback_secret(db: Db, tenant_id: UUID) -> StoredCallbackSecret | None:
    """Return the secret of callbacks, if there is one yet; nobody else changes it until the transaction ends."""
    sql = """SELECT key_id, sealed, created_at, rotated_at FROM callback_secrets WHERE tenant_id = %(tenant_id)s
      FOR NO KEY UPDATE"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id}, into=StoredCallbackSecret)


async def put_callback_secret(db: Db, tenant_id: UUID, sealed: Sealed) -> None:
    """Store the secret of callbacks."""
    sql = """INSERT INTO callback_secrets (tenant_id, key_id, sealed) VALUES (%(tenant_id)s, %(key_id)s, %(sealed)s)
      ON CONFLICT (tenant_id) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, rotated_at = now()"""
    await db.execute(sql, {"tenant_id": tenant_id, "key_id": sealed.key_id, "sealed": sealed.sealed})


def _values(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if name in LISTS else value for name, value in columns.items()}
