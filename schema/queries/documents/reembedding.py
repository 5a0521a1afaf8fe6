"""Changing a collection's embedder: its chunks get vectors in the next space, batch by batch, while the old ones are searched.
Then one transaction switches to the next space, and the old vectors are deleted."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.documents.ingestion import HOLDS_JOB
from schema.queries.documents.vector_spaces import to_pgvector

FIND = """
SELECT space, next_embedder, next_space FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

SET_NEXT_SPACE = """
UPDATE collections SET next_space = %(space)s
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND next_embedder = %(embedder)s RETURNING id
"""

COUNT = """
SELECT count(*) AS total, count(cv.chunk_id) AS done
FROM chunks k LEFT JOIN chunk_vectors cv ON cv.tenant_id = k.tenant_id AND cv.chunk_id = k.id AND cv.space = %(space)s::smallint
WHERE k.tenant_id = %(tenant_id)s AND k.collection_id = %(id)s
"""

LIST_UNEMBEDDED = """
SELECT k.id, k.heading, k.text, k.digest
FROM chunks k WHERE k.tenant_id = %(tenant_id)s AND k.collection_id = %(id)s
  AND (%(after)s::uuid IS NULL OR k.id > %(after)s::uuid)
  AND NOT EXISTS (SELECT 1 FROM chunk_vectors cv WHERE cv.tenant_id = k.tenant_id AND cv.chunk_id = k.id
    AND cv.space = %(space)s::smallint)
ORDER BY k.id LIMIT %(limit)s
"""

# Chunks deleted meanwhile are left out; the others are locked against deletion and a change of their owner.
ADD = f"""
INSERT INTO chunk_vectors (tenant_id, chunk_id, space, document_id, collection_id, user_id, embedding)
SELECT k.tenant_id, k.id, %(space)s::smallint, k.document_id, k.collection_id, k.user_id, x.vector::halfvec
FROM unnest(%(digests)s::bytea[], %(vectors)s::text[]) AS x (digest, vector)
JOIN chunks k ON k.tenant_id = %(tenant_id)s AND k.collection_id = %(collection_id)s AND k.digest = x.digest
WHERE {HOLDS_JOB}
FOR SHARE OF k
ON CONFLICT DO NOTHING
"""

# Locked first: later publications see the new space, and earlier ones are counted.
LOCK = """
SELECT id FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND next_space = %(space)s FOR UPDATE
"""

SWITCH = """
UPDATE collections SET embedder = next_embedder, space = next_space, next_embedder = NULL, next_space = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

DELETE_OTHER = """
DELETE FROM chunk_vectors WHERE tenant_id = %(tenant_id)s AND (chunk_id, space) IN (
  SELECT chunk_id, space FROM chunk_vectors WHERE tenant_id = %(tenant_id)s AND collection_id = %(id)s
    AND space <> %(space)s LIMIT %(limit)s)
RETURNING chunk_id
"""


class EmbedderChange(msgspec.Struct, frozen=True, kw_only=True):
    """The space that a collection is searched in, and its next embedder and space."""

    space: int | None
    next_embedder: str | None
    next_space: int | None


class UnembeddedChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that has no vector in a space."""

    id: UUID
    heading: str
    text: str
    digest: bytes


async def find_embedder_change(db: Db, tenant_id: UUID, collection_id: UUID) -> EmbedderChange | None:
    """Return a collection's current space and next embedder; None if it was deleted."""
    return await fetch_one(db, FIND, {"tenant_id": tenant_id, "id": collection_id}, into=EmbedderChange)


async def set_next_space(db: Db, tenant_id: UUID, collection_id: UUID, embedder: str, space: int) -> bool:
    """Record the space that is being filled; False if the next embedder is another one by now."""
    values = {"tenant_id": tenant_id, "id": collection_id, "embedder": embedder, "space": space}
    return await fetch_one(db, SET_NEXT_SPACE, values) is not None


async def count_embedded(db: Db, tenant_id: UUID, collection_id: UUID, space: int) -> tuple[int, int]:
    """Return how many chunks of a collection have a vector in `space`, and how many there are in all."""
    row = await fetch_one(db, COUNT, {"tenant_id": tenant_id, "id": collection_id, "space": space})
    assert row is not None, "count(*) always has a row"
    return row["done"], row["total"]


async def list_unembedded(
    db: Db, tenant_id: UUID, collection_id: UUID, space: int, *, after: UUID | None, limit: int
) -> list[UnembeddedChunk]:
    """Return chunks that have no vector in `space`, by id."""
    values = {"tenant_id": tenant_id, "id": collection_id, "space": space, "after": after, "limit": limit}
    return await fetch_all(db, LIST_UNEMBEDDED, values, into=UnembeddedChunk)


async def add_vectors(
    db: Db,
    tenant_id: UUID,
    collection_id: UUID,
    space: int,
    vectors: dict[bytes, Sequence[float]],
    *,
    job_id: UUID,
    attempt: int,
) -> None:
    """Store the vectors of all chunks with these digests, if the attempt still holds its job."""
    values = {
        "tenant_id": tenant_id,
        "collection_id": collection_id,
        "space": space,
        "digests": list(vectors),
        "vectors": [to_pgvector(values) for values in vectors.values()],
        "job_id": job_id,
        "attempt": attempt,
    }
    await db.execute(ADD, values)


async def switch_space(db: Db, tenant_id: UUID, collection_id: UUID, space: int) -> bool:
    """Switch searches of the collection to `space`; False if a chunk has no vector there yet, or the next space is another
    one by now."""
    values = {"tenant_id": tenant_id, "id": collection_id, "space": space}
    if await fetch_one(db, LOCK, values) is None:
        return False
    if await list_unembedded(db, tenant_id, collection_id, space, after=None, limit=1):
        return False
    await db.execute(SWITCH, values)
    return True


async def delete_other_vectors(db: Db, tenant_id: UUID, collection_id: UUID, space: int, *, limit: int = 5000) -> int:
    """Delete a batch of the vectors that are not in `space`; return how many."""
    values = {"tenant_id": tenant_id, "id": collection_id, "space": space, "limit": limit}
    return len(await fetch_all(db, DELETE_OTHER, values))
