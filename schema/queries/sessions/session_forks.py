"""Forks a session: a new one that begins with another's messages, up to one of them."""

from uuid import UUID

import msgspec

from schema.ids import new_id
from schema.postgres.connections import Db, fetch_one


class ForkPlace(msgspec.Struct, frozen=True):
    """Where a session is forked: after this message, which is so manyth of it."""

    turn: int = 0
    ordinal: int = 0
    number: int = 0


PLACE = """
SELECT m.turn, m.ordinal, (SELECT count(*) FROM messages o WHERE o.tenant_id = m.tenant_id AND o.session_id = m.session_id
  AND (o.turn, o.ordinal) <= (m.turn, m.ordinal)) AS number
FROM messages m JOIN sessions s ON s.tenant_id = m.tenant_id AND s.id = m.session_id
WHERE m.tenant_id = %(tenant_id)s AND m.session_id = %(session_id)s
  AND (%(message_id)s::uuid IS NULL OR m.id = %(message_id)s::uuid)
ORDER BY m.turn DESC, m.ordinal DESC LIMIT 1
"""
# The summary goes along unless it tells of something that was said later.
COPY_SESSION = """
INSERT INTO sessions (tenant_id, id, title, turns, user_id, summary, summary_turn)
SELECT s.tenant_id, %(id)s::uuid, coalesce(%(title)s, s.title), %(turn)s::int, %(user_id)s::uuid,
  CASE WHEN covered THEN s.summary END, CASE WHEN covered THEN s.summary_turn END
FROM sessions s CROSS JOIN LATERAL (SELECT NOT EXISTS (
    SELECT 1 FROM messages m WHERE m.tenant_id = s.tenant_id AND m.session_id = s.id AND m.turn <= s.summary_turn
      AND (m.turn, m.ordinal) > (%(turn)s::int, %(ordinal)s::int)) AS covered) AS c
WHERE s.tenant_id = %(tenant_id)s AND s.id = %(session_id)s
"""
COPY_MESSAGES = """
INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts, status, model, agent, usage, detail,
  created_at)
SELECT m.tenant_id, fresh.id, %(id)s::uuid, m.job_id, m.turn, m.ordinal, m.role, m.parts, m.status, m.model, m.agent,
  m.usage, m.detail, m.created_at
FROM (SELECT o.*, row_number() OVER (ORDER BY o.turn, o.ordinal) AS number FROM messages o
    WHERE o.tenant_id = %(tenant_id)s AND o.session_id = %(session_id)s
      AND (o.turn, o.ordinal) <= (%(turn)s::int, %(ordinal)s::int)) AS m
  JOIN unnest(%(ids)s::uuid[]) WITH ORDINALITY AS fresh (id, number) ON fresh.number = m.number
"""


async def find_place(db: Db, tenant_id: UUID, session_id: UUID, message_id: UUID | None) -> ForkPlace | None:
    """Return the place of a message in its session, of the last one if none is named; `number` counts the
    messages up to it."""
    values = {"tenant_id": tenant_id, "session_id": session_id, "message_id": message_id}
    return await fetch_one(db, PLACE, values, into=ForkPlace)


async def copy_session(
    db: Db, tenant_id: UUID, session_id: UUID, place: ForkPlace | None, *, title: str | None, user_id: UUID | None
) -> UUID:
    """Copy a session up to a place (of nothing where there is none), for a user, and return the id of the copy. Messages keep
    their turns and the jobs that they came from, and get ids of their own. Without `title` it keeps the old one."""
    place = place or ForkPlace()
    copy_id, ids = new_id(), [new_id() for _ in range(place.number)]
    values = {"tenant_id": tenant_id, "session_id": session_id, "id": copy_id, "title": title, "user_id": user_id}
    values |= {"turn": place.turn, "ordinal": place.ordinal, "ids": ids}
    await db.execute(COPY_SESSION, values)
    await db.execute(COPY_MESSAGES, values)
    return copy_id
