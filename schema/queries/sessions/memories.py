"""What is remembered about users, found by meaning. Few rows a user, so they are compared one by one: exact, no index."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from schema.db import Db, fetch_all, fetch_one
from schema.queries.documents.vector_spaces import to_pgvector

OWN = "tenant_id = %(tenant_id)s AND user_id IS NOT DISTINCT FROM %(user_id)s::uuid"
MOST = 1000
"""Memories of one user; the oldest go first."""


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
    """Keep a fact; the same text is kept once, and beyond MOST the oldest go."""
    values = {"tenant_id": tenant_id, "user_id": user_id, "id": memory_id, "text": text, "embedder": embedder}
    values |= {"embedding": to_pgvector(embedding), "most": MOST - 1}
    await db.execute(
        f"""DELETE FROM memories WHERE {OWN} AND (text = %(text)s OR id IN (
          SELECT id FROM memories WHERE {OWN} ORDER BY id DESC OFFSET %(most)s))""",
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
      WHERE {OWN} AND embedder = %(embedder)s AND 1 - (embedding <=> %(embedding)s::vector) >= %(near)s
      ORDER BY embedding <=> %(embedding)s::vector LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "embedder": embedder, "embedding": to_pgvector(embedding)}
    return await fetch_all(db, sql, {**values, "limit": limit, "near": near}, into=RecalledMemory)


async def list_memories(
    db: Db, tenant_id: UUID, user_id: UUID | None, *, limit: int, after: UUID | None = None
) -> list[StoredMemory]:
    """Return those of a user, the newest first."""
    sql = f"""SELECT id, text, created_at FROM memories WHERE {OWN} AND (%(after)s::uuid IS NULL OR id < %(after)s)
      ORDER BY id DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "user_id": user_id, "limit": limit, "after": after}
    return await fetch_all(db, sql, values, into=StoredMemory)


async def delete_memory(db: Db, tenant_id: UUID, user_id: UUID | None, memory_id: UUID) -> bool:
    """Forget one; whether it was there."""
    sql = f"DELETE FROM memories WHERE {OWN} AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "user_id": user_id, "id": memory_id}) is not None


async def delete_memories(db: Db, tenant_id: UUID, user_id: UUID | None) -> int:
    """Forget all of a user; how many there were."""
    sql = f"DELETE FROM memories WHERE {OWN} RETURNING id"
    return len(await fetch_all(db, sql, {"tenant_id": tenant_id, "user_id": user_id}))
