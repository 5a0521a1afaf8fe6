"""API keys as their owners see them; never the digest. Looking one up by what a request presents is in
`schema/queries/identity/callers.py`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.identity.api_keys import ApiKeyParts
from schema.identity.budgets import LIMITS
from schema.identity.rights import Role
from schema.postgres.connections import Db, fetch_all, fetch_one


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key. `find` is its public half; `user_id` is whom it acts for, None is the tenant."""

    id: UUID
    find: str
    name: str
    role: Role
    scopes: list[str] | None
    user_id: UUID | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    budget_day_nanos: int | None
    budget_month_nanos: int | None
    tokens_per_day: int | None
    front_end_prompts: str | None


COLUMNS = ", ".join(ApiKey.__struct_fields__)
CHANGEABLE = (*LIMITS, "front_end_prompts")

# Widgets have routes of their own. A person's keys are those that act for them. A key that acts for the tenant has itself, and
# those that it made.
OWNED_BY = """widget IS NULL AND (%(of)s::uuid IS NULL OR user_id = %(of)s)
  AND (%(of_key)s::uuid IS NULL OR (user_id IS NULL AND (id = %(of_key)s OR created_by = 'key:' || %(of_key)s::text)))"""

LIST = f"""
SELECT {COLUMNS} FROM api_keys
WHERE tenant_id = %(tenant_id)s AND {OWNED_BY} AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""

ADD = f"""
INSERT INTO api_keys (tenant_id, id, find, digest, name, role, scopes, expires_at, user_id, created_by,
  front_end_prompts)
VALUES (%(tenant_id)s, %(id)s, %(find)s, %(digest)s, %(name)s, %(role)s, %(scopes)s, %(expires_at)s, %(user_id)s,
  %(created_by)s, %(front_end_prompts)s)
RETURNING {COLUMNS}
"""

# One statement, so that the answer tells a key that was revoked before from one that isn't there.
REVOKE = f"""
WITH found AS (
  SELECT id, revoked_at FROM api_keys WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND {OWNED_BY} FOR UPDATE),
changed AS (
  UPDATE api_keys k SET revoked_at = now() FROM found
  WHERE k.tenant_id = %(tenant_id)s AND k.id = found.id AND found.revoked_at IS NULL)
SELECT revoked_at IS NULL AS fresh FROM found
"""


async def find_api_key(
    db: Db, tenant_id: UUID, key_id: UUID, *, of: UUID | None = None, of_key: UUID | None = None
) -> ApiKey | None:
    """Return one key, if it is one of those that `list_api_keys` would show."""
    sql = f"SELECT {COLUMNS} FROM api_keys WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND {OWNED_BY}"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": key_id, "of": of, "of_key": of_key}, into=ApiKey)


async def change_api_key(
    db: Db, tenant_id: UUID, key_id: UUID, values: Mapping[str, int | str | None]
) -> ApiKey | None:
    """Set the given columns of CHANGEABLE and return the key; None if there is none."""
    changes = ", ".join(f"{name} = %({name})s" for name in CHANGEABLE if name in values)
    sql = f"""UPDATE api_keys SET {changes} WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND widget IS NULL
      RETURNING {COLUMNS}"""
    return await fetch_one(db, sql, {**values, "tenant_id": tenant_id, "id": key_id}, into=ApiKey)


async def list_api_keys(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    of: UUID | None = None,
    of_key: UUID | None = None,
) -> list[ApiKey]:
    """Return keys, newest first: those of the person `of`, of the key `of_key`, or all of the tenant."""
    values = {"tenant_id": tenant_id, "limit": limit, "before": before, "of": of, "of_key": of_key}
    return await fetch_all(db, LIST, values, into=ApiKey)


async def add_api_key(
    db: Db,
    tenant_id: UUID,
    key_id: UUID,
    parts: ApiKeyParts,
    *,
    name: str,
    role: str,
    scopes: list[str] | None,
    expires_at: datetime | None,
    user_id: UUID | None,
    created_by: str,
    front_end_prompts: str | None = None,
) -> ApiKey:
    """Insert a key and return it."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": key_id, "find": parts.find, "digest": parts.digest}
    values |= {"name": name, "role": role, "scopes": None if scopes is None else Jsonb(scopes)}
    values |= {"expires_at": expires_at, "user_id": user_id, "created_by": created_by}
    values |= {"front_end_prompts": front_end_prompts}
    row = await fetch_one(db, ADD, values, into=ApiKey)
    assert row is not None
    return row


async def revoke_api_key(
    db: Db, tenant_id: UUID, key_id: UUID, *, of: UUID | None = None, of_key: UUID | None = None
) -> bool | None:
    """Revoke a key, if it is one of those that `list_api_keys` would show: True if it was good until now, False if it had
    been revoked before, None if there is no such key."""
    row = await fetch_one(db, REVOKE, {"tenant_id": tenant_id, "id": key_id, "of": of, "of_key": of_key})
    return row["fresh"] if row else None


async def revoke_user_keys(db: Db, tenant_id: UUID, user_id: UUID) -> int:
    """Revoke all keys that act for a user; return how many worked until now."""
    sql = """UPDATE api_keys SET revoked_at = now()
      WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND revoked_at IS NULL RETURNING id"""
    return len(await fetch_all(db, sql, {"tenant_id": tenant_id, "user_id": user_id}))
