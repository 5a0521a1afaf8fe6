"""Triggers and their last calls. Nothing here opens what is sealed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import Db, Pool, connection, fetch_all, fetch_one
from schema.queries.pages import LAST_ID
from schema.triggers import TriggerAuth
from schema.vault import Sealed

KEPT_CALLS = 50

COLUMNS = """id, name, user_id, created_by, issuer, kind, job, compiled, auth, calls_per_minute, enabled, key_id, sealed,
  created_at, updated_at"""

ADD = f"""
INSERT INTO triggers (tenant_id, id, name, user_id, created_by, issuer, kind, job, compiled, auth, calls_per_minute, enabled,
  key_id, sealed)
SELECT %(tenant_id)s, %(id)s, %(name)s, %(user_id)s, %(created_by)s, %(issuer)s, %(kind)s, %(job)s, %(compiled)s, %(auth)s,
  %(calls_per_minute)s, %(enabled)s, %(key_id)s, %(sealed)s
WHERE (SELECT count(*) FROM triggers WHERE tenant_id = %(tenant_id)s) < %(most)s
RETURNING {COLUMNS}
"""

CHANGE = f"""
UPDATE triggers SET name = %(name)s, user_id = %(user_id)s, created_by = %(created_by)s, issuer = %(issuer)s, kind = %(kind)s,
  job = %(job)s, compiled = %(compiled)s, calls_per_minute = %(calls_per_minute)s, enabled = %(enabled)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND auth = %(auth)s RETURNING {COLUMNS}
"""

ADD_CALL = """
INSERT INTO trigger_calls (tenant_id, id, trigger_id, status, code, detail, delivery_id, job_id, address, size_bytes)
SELECT %(tenant_id)s, %(id)s, t.id, %(status)s, %(code)s, %(detail)s, %(delivery_id)s, %(job_id)s, %(address)s, %(size_bytes)s
FROM triggers t WHERE t.tenant_id = %(tenant_id)s AND t.id = %(trigger_id)s
"""
DELETE_OLD_CALLS = """
DELETE FROM trigger_calls WHERE tenant_id = %(tenant_id)s AND trigger_id = %(trigger_id)s AND id <= (
  SELECT id FROM trigger_calls WHERE tenant_id = %(tenant_id)s AND trigger_id = %(trigger_id)s
  ORDER BY id DESC OFFSET %(kept)s LIMIT 1)
"""


class StoredTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger, with its secret sealed."""

    id: UUID
    name: str
    user_id: UUID | None
    created_by: str
    issuer: str
    kind: str
    job: dict[str, Any]
    compiled: dict[str, Any]
    auth: TriggerAuth
    calls_per_minute: int
    enabled: bool
    key_id: str
    sealed: bytes
    created_at: datetime
    updated_at: datetime

    @property
    def secret(self) -> Sealed:
        return Sealed(self.key_id, self.sealed)

    def __repr__(self) -> str:
        return f"StoredTrigger(id={self.id})"


class StoredCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a trigger."""

    id: UUID
    at: datetime
    status: int
    code: str
    detail: str | None
    delivery_id: str | None
    job_id: UUID | None
    address: str | None
    size_bytes: int


async def find_trigger_tenant(pool: Pool, trigger_id: UUID) -> UUID | None:
    """Return whose trigger this is."""
    async with connection(pool) as db:
        row = await fetch_one(db, "SELECT find_trigger_tenant(%(id)s) AS tenant_id", {"id": trigger_id})
    return row["tenant_id"] if row else None


async def add_trigger(db: Db, tenant_id: UUID, values: Mapping[str, Any], *, most: int) -> StoredTrigger | None:
    """Add a trigger; None if the tenant has `most` of them."""
    return await fetch_one(db, ADD, _packed(values) | {"tenant_id": tenant_id, "most": most}, into=StoredTrigger)


async def change_trigger(db: Db, tenant_id: UUID, values: Mapping[str, Any]) -> StoredTrigger | None:
    """Replace what a trigger does; None if there is none that is called in this way."""
    return await fetch_one(db, CHANGE, _packed(values) | {"tenant_id": tenant_id}, into=StoredTrigger)


async def set_secret(db: Db, tenant_id: UUID, trigger_id: UUID, sealed: Sealed) -> bool:
    """Give a trigger another secret; False if there is none."""
    sql = """UPDATE triggers SET key_id = %(key_id)s, sealed = %(sealed)s, updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"""
    values = {"tenant_id": tenant_id, "id": trigger_id, "key_id": sealed.key_id, "sealed": sealed.sealed}
    return await fetch_one(db, sql, values) is not None


async def find_trigger(db: Db, tenant_id: UUID, trigger_id: UUID) -> StoredTrigger | None:
    """Return one trigger."""
    sql = f"SELECT {COLUMNS} FROM triggers WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": trigger_id}, into=StoredTrigger)


async def list_triggers(db: Db, tenant_id: UUID, *, limit: int, before: UUID | None = None) -> list[StoredTrigger]:
    """Return triggers, newest first."""
    sql = f"""SELECT {COLUMNS} FROM triggers WHERE tenant_id = %(tenant_id)s AND id < %(before)s
      ORDER BY id DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "limit": limit, "before": before or LAST_ID}
    return await fetch_all(db, sql, values, into=StoredTrigger)


async def delete_trigger(db: Db, tenant_id: UUID, trigger_id: UUID) -> bool:
    """Delete a trigger with its calls; False if there is none."""
    sql = "DELETE FROM triggers WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": trigger_id}) is not None


async def add_call(db: Db, tenant_id: UUID, trigger_id: UUID, call: Mapping[str, Any]) -> None:
    """Note a call, and forget all but the last ones."""
    values = {"tenant_id": tenant_id, "trigger_id": trigger_id, "id": new_id(), "kept": KEPT_CALLS}
    await db.execute(ADD_CALL, values | dict(call))
    await db.execute(DELETE_OLD_CALLS, values)


async def list_calls(db: Db, tenant_id: UUID, trigger_id: UUID) -> list[StoredCall]:
    """Return the last calls, newest first."""
    sql = """SELECT id, at, status, code, detail, delivery_id, job_id, address, size_bytes FROM trigger_calls
      WHERE tenant_id = %(tenant_id)s AND trigger_id = %(trigger_id)s ORDER BY id DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "trigger_id": trigger_id, "limit": KEPT_CALLS}
    return await fetch_all(db, sql, values, into=StoredCall)


def _packed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
