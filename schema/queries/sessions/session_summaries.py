"""What was said earlier in a session, in short: `sessions.summary` covers everything up to and with the turn `summary_turn`."""

from uuid import UUID

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.sessions.sessions import StoredMessage

MAX_MESSAGES = 60
"""How many of the newest messages are read for one summary. Summaries are made every few turns, so there are seldom more."""


async def list_unsummarised(
    db: Db, tenant_id: UUID, session_id: UUID, *, after: int | None, before: int
) -> list[StoredMessage]:
    """Return what users and assistants said after the turn `after` and before the turn `before`,
    oldest first."""
    sql = """SELECT turn, role, parts FROM (
        SELECT turn, ordinal, role, parts FROM messages
        WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s AND role = ANY(%(roles)s)
          AND turn > %(after)s::int AND turn < %(before)s::int
        ORDER BY turn DESC, ordinal DESC LIMIT %(limit)s) AS newest
      ORDER BY turn, ordinal"""
    values = {"tenant_id": tenant_id, "session_id": session_id, "before": before, "limit": MAX_MESSAGES}
    values |= {"after": -1 if after is None else after, "roles": ["user", "assistant"]}
    return await fetch_all(db, sql, values, into=StoredMessage)


async def set_summary(db: Db, tenant_id: UUID, session_id: UUID, summary: str, *, turn: int, seen: int | None) -> bool:
    """Store a summary that goes to `turn`, if the one before still goes to `seen`; whether it did."""
    sql = """UPDATE sessions SET summary = %(summary)s, summary_turn = %(turn)s::int
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND summary_turn IS NOT DISTINCT FROM %(seen)s::int RETURNING id"""
    values = {"tenant_id": tenant_id, "id": session_id, "summary": summary, "turn": turn, "seen": seen}
    return await fetch_one(db, sql, values) is not None
