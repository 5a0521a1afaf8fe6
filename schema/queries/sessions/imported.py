"""Sessions that come from elsewhere, written once however often they are imported: their ids follow from their origin."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.storable import storable_json, storable_text


@dataclass(frozen=True)
class ImportedMessage:
    """A message at its place in a session."""

    turn: int
    ordinal: int
    role: str
    text: str
    at: datetime


@dataclass(frozen=True)
class ImportedSession:
    """A session; `origin` names it where it comes from, and `first_at` is a moment that is always the same for it."""

    origin: str
    first_at: datetime
    title: str
    user_id: UUID | None
    messages: Sequence[ImportedMessage]


# As the role of the processes, which row-level security confines to the tenant.
BECOME = "SET LOCAL ROLE headrace_app"
SET_TENANT = "SELECT set_config('headrace.tenant_id', %(tenant_id)s, true)"

TENANT = "SELECT id, retention_days FROM tenants WHERE slug = %(slug)s AND state = 'active'"
USERS = "SELECT email, id FROM users WHERE tenant_id = %(tenant_id)s"

ADD = """
WITH fresh AS (
  INSERT INTO sessions (tenant_id, id, title, turns, created_at, updated_at, user_id)
  VALUES (%(tenant_id)s, %(id)s, %(title)s, %(turns)s, %(created_at)s, %(updated_at)s, %(user_id)s)
  ON CONFLICT DO NOTHING RETURNING tenant_id, id),
said AS (
  INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts, created_at)
  SELECT fresh.tenant_id, m.id, fresh.id, m.turn, m.ordinal, m.role, m.parts, m.created_at
  FROM fresh, jsonb_to_recordset(%(messages)s)
    AS m (id uuid, turn int, ordinal int, role text, parts jsonb, created_at timestamptz)
  RETURNING 1)
SELECT count(*) AS messages FROM said
"""


async def find_tenant(db: Db, slug: str) -> dict[str, Any] | None:
    """Return the id of an active tenant and how many days it keeps content; as the owner."""
    return await fetch_one(db, TENANT, {"slug": slug})


async def list_people(db: Db, tenant_id: UUID) -> Mapping[str, UUID]:
    """Return the ids of a tenant's people by their addresses."""
    return {row["email"]: row["id"] for row in await fetch_all(db, USERS, {"tenant_id": tenant_id})}


async def confine(db: Db, tenant_id: UUID) -> None:
    """Let the rest of the owner's transaction see and write the rows of one tenant only."""
    await db.execute(BECOME)
    await db.execute(SET_TENANT, {"tenant_id": str(tenant_id)})


async def add_imported(db: Db, tenant_id: UUID, session: ImportedSession) -> bool:
    """Add a session with its messages, of which there is at least one; return whether it wasn't there already."""
    first, last = session.messages[0], session.messages[-1]
    messages = [
        {
            "id": str(_id(tenant_id, f"{session.origin}/{number}", session.first_at)),
            **{"turn": message.turn, "ordinal": message.ordinal, "role": message.role},
            "parts": [{"type": "text", "text": message.text}],
            "created_at": message.at.isoformat(),
        }
        for number, message in enumerate(session.messages)
    ]
    values = {
        **{
            "tenant_id": tenant_id,
            "id": _id(tenant_id, session.origin, session.first_at),
            "title": storable_text(session.title),
        },
        **{"turns": last.turn, "created_at": first.at, "updated_at": last.at, "user_id": session.user_id},
        "messages": storable_json(messages),
    }
    row = await fetch_one(db, ADD, values)
    return row is not None and row["messages"] > 0


def _id(tenant_id: UUID, origin: str, at: datetime) -> UUID:
    """Return a UUIDv7 of that moment, always the same for one origin."""
    digest = int.from_bytes(hashlib.sha256(f"{tenant_id} {origin}".encode("utf-8", "replace")).digest()[:10])
    low = (7 << 76) | ((digest >> 62 & 0xFFF) << 64) | (2 << 62) | (digest & (1 << 62) - 1)
    return UUID(int=int(at.timestamp() * 1000) << 80 | low)
