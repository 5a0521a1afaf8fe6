"""Sessions that leave the database for a file, and come back from one.

A file holds sessions of one person, or of nobody in particular, one on a line. It is a row of `files` with the purpose
`archive`: so it is its person's to read and delete, goes with them in an erasure, and goes when its time is over.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.documents.file_removals import cancel_removals
from schema.queries.files.files import ADD as ADD_FILE
from schema.states import LIVE_SQL
from schema.storable import storable_json

FORMAT = "headrace.session/1"
PURPOSE = "archive"

IS_IDLE = f"""NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = s.tenant_id AND j.session_id = s.id
  AND j.state IN {LIVE_SQL})"""

# A day's sessions go together, so that a person has a file a day and not one a session.
IS_TIME = """
SELECT 1 WHERE NOT EXISTS (
    SELECT 1 FROM files WHERE tenant_id = %(tenant_id)s AND purpose = %(purpose)s AND id > %(day_ago)s)
  OR (SELECT count(*) FROM (
    SELECT 1 FROM sessions WHERE tenant_id = %(tenant_id)s AND updated_at < %(before)s LIMIT %(limit)s) AS due) = %(limit)s
"""

DUE = f"""
SELECT s.id, s.user_id, s.updated_at FROM sessions s
WHERE s.tenant_id = %(tenant_id)s AND s.updated_at < %(before)s AND {IS_IDLE} ORDER BY s.updated_at, s.id LIMIT %(limit)s
"""

READ = """
SELECT s.id AS session_id, s.user_id, s.title, s.turns, s.created_at, s.updated_at, s.summary, s.summary_turn, (
  SELECT coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'turn', m.turn, 'ordinal', m.ordinal, 'role', m.role,
    'parts', m.parts, 'status', m.status, 'model', m.model, 'agent', m.agent, 'usage', m.usage, 'detail', m.detail,
    'created_at', m.created_at) ORDER BY m.turn, m.ordinal), '[]')
  FROM messages m WHERE m.tenant_id = s.tenant_id AND m.session_id = s.id) AS messages
FROM sessions s WHERE s.tenant_id = %(tenant_id)s AND s.id = ANY(%(ids)s) ORDER BY s.updated_at, s.id
"""

# Only as they were read: somebody may have gone on with one, or erased it.
REMOVE = f"""
DELETE FROM sessions s USING unnest(%(ids)s::uuid[], %(used)s::timestamptz[]) AS w (id, updated_at)
WHERE s.tenant_id = %(tenant_id)s AND s.id = w.id AND s.updated_at = w.updated_at AND {IS_IDLE} RETURNING s.id
"""

# It counts as used now, or it would leave again at once.
RESTORE = """
WITH back AS (
  INSERT INTO sessions (tenant_id, id, user_id, title, turns, created_at, summary, summary_turn)
  VALUES (%(tenant_id)s, %(id)s, %(user_id)s, %(title)s, %(turns)s, %(created_at)s, %(summary)s, %(summary_turn)s)
  ON CONFLICT DO NOTHING RETURNING tenant_id, id),
said AS (
  INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts, status, model, agent, usage, detail, created_at)
  SELECT back.tenant_id, m.id, back.id, m.turn, m.ordinal, m.role, m.parts, m.status, m.model, m.agent, m.usage, m.detail,
    m.created_at
  FROM back, jsonb_to_recordset(%(messages)s) AS m (id uuid, turn int, ordinal int, role text, parts jsonb, status text,
    model text, agent text, usage jsonb, detail jsonb, created_at timestamptz))
SELECT id FROM back
"""

NULLABLE = ("usage", "detail")


class DueSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session whose time in the database is over, whose it is, and when it was used last."""

    id: UUID
    user_id: UUID | None
    updated_at: datetime


class ArchivedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is archived: its row, without its job, which is not kept."""

    id: UUID
    turn: int
    ordinal: int
    role: str
    parts: list[dict[str, Any]]
    status: str
    model: str | None = None
    agent: str | None = None
    usage: dict[str, Any] | None = None
    detail: dict[str, Any] | None = None
    created_at: datetime


class ArchivedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an archive."""

    format: str = FORMAT
    session_id: UUID
    user_id: UUID | None
    title: str
    turns: int
    created_at: datetime
    updated_at: datetime
    summary: str | None = None
    summary_turn: int | None = None
    messages: list[ArchivedMessage]


async def is_time_to_archive(db: Db, tenant_id: UUID, before: datetime, *, day_ago: UUID, limit: int) -> bool:
    """Whether a day has passed since sessions of the tenant were archived, or `limit` are due; `day_ago` is the first id of
    the last day."""
    values = {"tenant_id": tenant_id, "before": before, "purpose": PURPOSE, "day_ago": day_ago, "limit": limit}
    return await fetch_one(db, IS_TIME, values) is not None


async def list_due(db: Db, tenant_id: UUID, before: datetime, *, limit: int) -> list[DueSession]:
    """Return sessions that nobody has used since `before`, the oldest first."""
    return await fetch_all(db, DUE, {"tenant_id": tenant_id, "before": before, "limit": limit}, into=DueSession)


async def read_sessions(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[ArchivedSession]:
    """Return sessions with all that was said in them."""
    return await fetch_all(db, READ, {"tenant_id": tenant_id, "ids": list(ids)}, into=ArchivedSession)


async def replace_by_file(db: Db, tenant_id: UUID, sessions: Sequence[DueSession], file: dict[str, Any]) -> bool:
    """Delete the sessions and add the row of the file that holds them; False, and then it must be rolled back, if one of them
    isn't any more what was read."""
    used = {"ids": [each.id for each in sessions], "used": [each.updated_at for each in sessions]}
    removed = await fetch_all(db, REMOVE, {"tenant_id": tenant_id, **used})
    await fetch_all(db, *cancel_removals(tenant_id, [file["stored_as"]]))
    await db.execute(ADD_FILE, {"tenant_id": tenant_id, "purpose": PURPOSE, **file})
    return len(removed) == len(sessions)


async def restore_session(db: Db, tenant_id: UUID, session: ArchivedSession, user_id: UUID | None) -> bool:
    """Bring a session back, as somebody's who used it just now; False if it is there."""
    fields = ("title", "turns", "created_at", "summary", "summary_turn")
    values = {name: getattr(session, name) for name in fields}
    values |= {"tenant_id": tenant_id, "id": session.session_id, "user_id": user_id}
    messages = [
        {name: value for name, value in message.items() if value is not None or name not in NULLABLE}
        for message in msgspec.to_builtins(session.messages)
    ]
    return await fetch_one(db, RESTORE, {**values, "messages": storable_json(messages)}) is not None
