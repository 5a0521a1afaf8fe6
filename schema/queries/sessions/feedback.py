"""Feedback on answers, and the examples learned from it. An answer has one feedback; the last one counts."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_one

Rating = Literal["up", "down"]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody thinks of an answer; `agent` is the one that should have given it."""

    message_id: UUID
    rating: Rating
    comment: str | None
    agent: str | None
    created_at: datetime
    updated_at: datetime


class RatedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that feedback is about. `question` is the parts of what was asked, `alone` whether nothing but that made the
    answer."""

    id: UUID
    role: str
    job_id: UUID | None
    agent: str | None
    parts: list[dict[str, Any]]
    question: list[dict[str, Any]] | None
    alone: bool


COLUMNS = "message_id, rating, comment, agent, created_at, updated_at"

# `alone`: as far as is known, only the question made the answer. Tools may have brought text from outside, or what only the
# caller may see, and memories are their user's: such an answer is no example for others. A job that is gone can't tell.
FIND_RATED = """
SELECT m.id, m.role, m.job_id, m.agent, m.parts, q.parts AS question, m.status = 'completed' AND EXISTS (
    SELECT 1 FROM jobs j WHERE j.tenant_id = m.tenant_id AND j.id = m.job_id
      AND NOT EXISTS (SELECT 1 FROM tool_effects e WHERE e.tenant_id = j.tenant_id AND e.job_id = j.id)
      AND NOT EXISTS (SELECT 1 FROM memories r WHERE r.tenant_id = j.tenant_id AND r.user_id = j.user_id)) AS alone
FROM messages m JOIN sessions s ON s.tenant_id = m.tenant_id AND s.id = m.session_id
  LEFT JOIN LATERAL (SELECT q.parts FROM messages q WHERE q.tenant_id = m.tenant_id AND q.session_id = m.session_id
    AND q.turn = m.turn AND q.role = 'user' ORDER BY q.ordinal LIMIT 1) AS q ON true
WHERE m.tenant_id = %(tenant_id)s AND m.id = %(message_id)s
"""
UPSERT_FEEDBACK = f"""
INSERT INTO feedback (tenant_id, message_id, rating, comment, agent, user_id)
VALUES (%(tenant_id)s, %(message_id)s, %(rating)s, %(comment)s, %(agent)s, %(user_id)s)
ON CONFLICT (tenant_id, message_id) DO UPDATE SET rating = excluded.rating, comment = excluded.comment,
  agent = excluded.agent, user_id = excluded.user_id, updated_at = now()
RETURNING {COLUMNS}
"""
# An example that is the same is not written again: each change gives the tenant's configuration a new version.
UPSERT_EXAMPLE = """
INSERT INTO learned_examples (tenant_id, message_id, agent, question, answer)
VALUES (%(tenant_id)s, %(message_id)s, %(agent)s, %(question)s, %(answer)s)
ON CONFLICT (tenant_id, message_id) DO UPDATE SET agent = excluded.agent, question = excluded.question,
  answer = excluded.answer
WHERE (learned_examples.agent, learned_examples.question, learned_examples.answer)
  IS DISTINCT FROM (excluded.agent, excluded.question, excluded.answer)
"""


async def find_rated(db: Db, tenant_id: UUID, message_id: UUID) -> RatedMessage | None:
    """Return a message that the transaction's user may see."""
    return await fetch_one(db, FIND_RATED, {"tenant_id": tenant_id, "message_id": message_id}, into=RatedMessage)


async def find_feedback(db: Db, tenant_id: UUID, message_id: UUID) -> Feedback | None:
    """Return the feedback on a message."""
    sql = f"SELECT {COLUMNS} FROM feedback WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "message_id": message_id}, into=Feedback)


async def set_feedback(
    db: Db,
    tenant_id: UUID,
    message_id: UUID,
    *,
    rating: Rating,
    comment: str | None,
    agent: str | None,
    user_id: UUID | None,
) -> Feedback:
    """Store what somebody thinks of a message, in place of what was there, and return it."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "message_id": message_id, "rating": rating}
    values |= {"comment": comment, "agent": agent, "user_id": user_id}
    row = await fetch_one(db, UPSERT_FEEDBACK, values, into=Feedback)
    assert row is not None, "an upsert returns its row"
    return row


async def delete_feedback(db: Db, tenant_id: UUID, message_id: UUID) -> bool:
    """Take feedback back; whether there was any."""
    sql = "DELETE FROM feedback WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s RETURNING message_id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "message_id": message_id}) is not None


async def add_learned_example(
    db: Db, tenant_id: UUID, message_id: UUID, *, agent: str, question: str, answer: str | None
) -> None:
    """Make a message an example of an agent's questions and, with `answer`, of how it answers."""
    values = {"tenant_id": tenant_id, "message_id": message_id, "agent": agent, "question": question, "answer": answer}
    await db.execute(UPSERT_EXAMPLE, values)


async def delete_learned_example(db: Db, tenant_id: UUID, message_id: UUID) -> None:
    """Make a message no example any more."""
    sql = "DELETE FROM learned_examples WHERE tenant_id = %(tenant_id)s AND message_id = %(message_id)s"
    await db.execute(sql, {"tenant_id": tenant_id, "message_id": message_id})
