"""Memories about users, found by similarity. A user has few, so they are compared one by one, without an index."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.documents.vector_spaces import to_pgvector

OWNED_BY_USER = "tenant_id = %(tenant_id)s AND user_id IS NOT DISTINCT FROM %(user_id)s::uuid"
MAX_MEMORIES = 1000
"""Memories per user; beyond this, the oldest are deleted."""


class StoredMemory(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that is remembered."""

    id: UUID
    text: str
    created_at: datetime


class RecalledMemory(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that has to do with what was asked; `score` is the cosine."""

    id: UUID
    text: str
    score: float


async def add_memory(
    db: Db,
    tenant_id: UUID,
    user_id: UUID | None,
    memory_id: UUID,
    text: str,
    *,
    embedder: str,
    embedding: Sequence[float],
) -> None:
    """Store a fact. Equal texts are stored once, and beyond MAX_MEMORIES the oldest are deleted."""
    values = {"tenant_id": tenant_id, "user_id": user_id, "id": memory_id, "text": text, "embedder": embedder}
    values |= {"embedding": to_pgvector(embedding), "most": MAX_MEMORIES - 1}
    await db.execute(
        f"""DELETE FROM memories WHERE {OWNED_BY_USER} AND (text = %(text)s OR id IN (
          SELECT id FROM memories WHERE {OWNED_BY_USER} ORDER BY id DESC OFFSET %(most)s))""",
        values,
    )
    await db.execute(
        """INSERT INTO memories (tenant_id, id, user_id, text, embedder, embedding)
          VALUES (%(tenant_id)s, %(id)s, %(user_id)s, %(text)s, %(embedder)s, %(embedding)s::vector)""",
        values,
    )


async def recall_memories(
    db: Db, tenant_id: UUID, user_id: UUID | None, *, embedder: str, embedding: Sequence[float], limit: int, near: float
) -> list[RecalledMemory]:
    """Return the nearest, best first, none below the cosine `near`."""
    sql = f"""SELECT id, text, 1 - (embedding <=> %(embedding)s::vector) AS score FROM memories
      WHERE {OWNED_BY_USER} AND embedder = %(embedder)s AND 1 - (embedding <=> %(embedding)s::vector) >= %(near)s
      ORDER BY embedding <=> %(embedding)s::vector LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "embedder": embedder, "embedding": to_pgvector(embedding)}
    return await fetch_all(db, sql, {**values, "limit": limit, "near": near}, into=RecalledMemory)


async def list_memories(
    db: Db, tenant_id: UUID, user_id: UUID | None, *, limit: int, after: UUID | None = None
) -> list[StoredMemory]:
    """Return those of a user, the newest first."""
    sql = f"""SELECT id, text, created_at FROM memories WHERE {OWNED_BY_USER} AND (%(after)s::uuid IS NULL OR id < %(after)s)
      ORDER BY id DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "limit": limit, "after": after}
    return await fetch_all(db, sql, values, into=StoredMemory)


async def delete_memory(db: Db, tenant_id: UUID, user_id: UUID | None, memory_id: UUID) -> bool:
    """Delete a memory; False if it doesn't exist."""
    sql = f"DELETE FROM memories WHERE {OWNED_BY_USER} AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "user_id": user_id, "id": memory_id}) is not None


async def delete_memories(db: Db, tenant_id: UUID, user_id: UUID | None) -> int:
    """Delete all memories of a user; return how many."""
    sql = f"DELETE FROM memories WHERE {OWNED_BY_USER} RETURNING id"
    return len(await fetch_all(db, sql, {"tenant_id": tenant_id, "user_id": user_id}))
