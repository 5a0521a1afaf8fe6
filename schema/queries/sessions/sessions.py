"""Sessions and their messages."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.pages import END, LAST_ID
from schema.states import LIVE_SQL

MessageRole = Literal["system", "developer", "user", "assistant", "tool"]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session; `turns` counts what users said in it."""

    id: UUID
    title: str
    turns: int
    created_at: datetime
    updated_at: datetime
    pinned_at: datetime | None
    shared_at: datetime | None


COLUMNS = ", ".join(Session.__struct_fields__)


class StoredMessage(msgspec.Struct, frozen=True):
    """A message as a model is told of it. `extra` is what only `vendor` understands, and is given back. `images_refused`: the
    provider failed at the question, maybe at a damaged image of it."""

    turn: int
    role: MessageRole
    parts: list[dict[str, Any]]
    extra: dict[str, Any] | None = None
    vendor: str | None = None
    images_refused: bool = False


class SessionMessage(StoredMessage, frozen=True, kw_only=True):
    """A message as users see it."""

    id: UUID
    job_id: UUID | None
    ordinal: int
    status: str
    model: str | None
    agent: str | None
    usage: dict[str, Any] | None
    created_at: datetime
    citations: list[dict[str, Any]] | None
    notice: dict[str, Any] | None
    data: Any
    renderer: dict[str, Any] | None


async def find_session(db: Db, tenant_id: UUID, session_id: UUID) -> Session | None:
    """Return one session."""
    sql = f"SELECT {COLUMNS} FROM sessions WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": session_id}, into=Session)


async def list_open_calls(db: Db, tenant_id: UUID, session_id: UUID) -> list[str]:
    """Return the ids of the calls of the client's tools that the session's last message asks for; none if it is no answer."""
    sql = """SELECT role, parts FROM messages WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s
      ORDER BY turn DESC, ordinal DESC LIMIT 1"""
    last = await fetch_one(db, sql, {"tenant_id": tenant_id, "session_id": session_id})
    if last is None or last["role"] != "assistant":
        return []
    return [part["id"] for part in last["parts"] if part.get("type") == "tool_call"]


async def add_session(db: Db, tenant_id: UUID, session_id: UUID, title: str, *, user_id: UUID | None = None) -> None:
    """Insert an empty session, of a user or of nobody in particular. One that begins with a chat comes with its job
    (`schema/queries/jobs/submissions.py`)."""
    sql = "INSERT INTO sessions (tenant_id, id, title, user_id) VALUES (%s, %s, %s, %s)"
    await db.execute(sql, (tenant_id, session_id, title, user_id))


async def list_sessions(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    user_id: UUID | None = None,
    pinned: bool = False,
    widget_id: UUID | None = None,
) -> list[Session]:
    """Return sessions, or only those that are `pinned`, the last used first; `before` is (updated_at, id) of the last row of
    the page before; `user_id` is to be that of the transaction, which sees no others' sessions. Those of visitors are only
    returned with the `widget_id` of theirs."""
    moment, session_id = before or (END, LAST_ID)
    only = ("AND user_id = %(user_id)s " if user_id else "") + ("AND pinned_at IS NOT NULL " if pinned else "")
    only += "AND widget_id = %(widget_id)s" if widget_id else "AND widget_id IS NULL"
    sql = f"""SELECT {COLUMNS} FROM sessions WHERE tenant_id = %(tenant_id)s {only}
      AND (updated_at, id) < (%(moment)s, %(id)s) ORDER BY updated_at DESC, id DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "moment": moment, "id": session_id, "limit": limit}
    return await fetch_all(db, sql, values | {"widget_id": widget_id}, into=Session)


CHANGE = f"""
UPDATE sessions SET title = coalesce(%(title)s, title),
  pinned_at = CASE WHEN coalesce(%(pinned)s::bool, pinned_at IS NOT NULL) THEN coalesce(pinned_at, now()) END,
  shared_at = CASE WHEN coalesce(%(shared)s::bool, shared_at IS NOT NULL) THEN coalesce(shared_at, now()) END
WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING {COLUMNS}
"""


async def change_session(
    db: Db,
    tenant_id: UUID,
    session_id: UUID,
    *,
    title: str | None = None,
    pinned: bool | None = None,
    shared: bool | None = None,
) -> Session | None:
    """Change what is not None of a session and return it."""
    values = {"tenant_id": tenant_id, "id": session_id, "title": title, "pinned": pinned, "shared": shared}
    return await fetch_one(db, CHANGE, values, into=Session)


async def delete_session(db: Db, tenant_id: UUID, session_id: UUID) -> bool:
    """Delete a session with its messages and jobs; False if it isn't there, or a job of it is still live."""
    sql = f"""DELETE FROM sessions s WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND NOT EXISTS (
        SELECT 1 FROM jobs j WHERE j.tenant_id = s.tenant_id AND j.session_id = s.id
          AND j.state IN {LIVE_SQL})
      RETURNING s.id"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": session_id}) is not None


async def list_messages(
    db: Db, tenant_id: UUID, session_id: UUID, *, limit: int, after: tuple[int, int] | None = None
) -> list[SessionMessage]:
    """Return messages in order; `after` is (turn, ordinal) of the last row of the page before."""
    turn, ordinal = after or (-1, -1)
    sql = """SELECT id, job_id, turn, ordinal, role, parts, status, model, agent, usage, created_at,
      detail -> 'citations' AS citations, detail -> 'notice' AS notice, detail -> 'data' AS data,
      detail -> 'renderer' AS renderer FROM messages
      WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s
        AND (turn, ordinal) > (%(turn)s::int, %(ordinal)s::int)
      ORDER BY turn, ordinal LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "session_id": session_id, "turn": turn, "ordinal": ordinal, "limit": limit}
    return await fetch_all(db, sql, values, into=SessionMessage)
