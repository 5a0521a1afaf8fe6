"""The keys that our tokens are signed with. They belong to the installation, not to a tenant; only the tables' owner may
retire or delete one, so a process that serves can't."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.vault import Sealed


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is not retired: `public` is its JWK, `sealed` its private half. `age_s` is the time since the first moment it
    signs, which may lie ahead; `left_s` the time until it retires, None if that is not settled."""

    id: UUID
    public: dict[str, Any]
    key_id: str
    sealed: bytes
    age_s: float
    left_s: float | None

    def __repr__(self) -> str:
        return f"SigningKey(id={self.id})"


async def lock_signing_keys(db: Db) -> None:
    """Let one transaction at a time make keys; held to the transaction's end."""
    await db.execute("SELECT pg_advisory_xact_lock(hashtext('headrace signing keys'))")


async def list_signing_keys(db: Db) -> list[SigningKey]:
    """Return the keys that are not retired, the one that signs last first."""
    sql = """SELECT id, public, key_id, sealed,
        extract(epoch FROM now() - signs_from)::float8 AS age_s, extract(epoch FROM retires_at - now())::float8 AS left_s
      FROM signing_keys WHERE retires_at IS NULL OR retires_at > now() ORDER BY signs_from DESC, id DESC"""
    return await fetch_all(db, sql, {}, into=SigningKey)


async def add_signing_key(
    db: Db, key_id: UUID, public: dict[str, Any], sealed: Sealed, *, signs_in: timedelta = timedelta(0)
) -> None:
    """Insert a key that signs after `signs_in`; `public` is its JWK, `sealed` its private half."""
    sql = """INSERT INTO signing_keys (id, public, key_id, sealed, signs_from)
      VALUES (%(id)s, %(public)s, %(key_id)s, %(sealed)s, now() + %(signs_in)s)"""
    values = {"id": key_id, "public": Jsonb(public), "key_id": sealed.key_id, "sealed": sealed.sealed}
    await db.execute(sql, {**values, "signs_in": signs_in})


async def retire_signing_keys(db: Db, *, but: UUID, after: timedelta) -> int:
    """Let all keys except `but` verify no longer than `after` from now; return how many of them had no end yet."""
    sql = """UPDATE signing_keys SET retires_at = now() + %(after)s
      WHERE id <> %(but)s AND (retires_at IS NULL OR retires_at > now() + %(after)s) RETURNING id"""
    return len(await fetch_all(db, sql, {"but": but, "after": after}))


async def delete_retired_signing_keys(db: Db) -> None:
    """Delete keys that have verified nothing for a day."""
    await fetch_one(db, "DELETE FROM signing_keys WHERE retires_at < now() - interval '1 day' RETURNING id", {})
