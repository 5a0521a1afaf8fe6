"""Documents and collections going away, with their versions, chunks and vectors. The names of their bytes come back: a trigger
has noted them for removal, so whoever removes them at once only spares the sweeper that.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from schema.db import LONG, Db, fetch_all
from schema.queries.documents.documents import DocumentSize

CHUNKS_AT_ONCE = 10_000  # of one transaction; measured, these take a third of a second
DOCUMENTS_AT_ONCE = 200

# In the order in which publishing locks them, so that neither waits for what the other holds.
LOCK = """
SELECT v.stored_as FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
WHERE d.tenant_id = %(tenant_id)s AND d.id = ANY(%(ids)s::uuid[])
ORDER BY d.collection_id, d.name, d.id, v.version FOR UPDATE OF d, v
"""

# Vectors by the index on their document: what a foreign key finds goes one by one.
DELETE_CHUNKS = (
    "DELETE FROM chunk_vectors WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(ids)s::uuid[])",
    "DELETE FROM chunks WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(ids)s::uuid[])",
)
DELETE = "DELETE FROM documents WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s::uuid[]) RETURNING id"

DELETE_COLLECTION = """
WITH held AS MATERIALIZED (
  SELECT v.stored_as FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
  WHERE d.tenant_id = %(tenant_id)s AND d.collection_id = %(id)s),
gone AS (DELETE FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id)
SELECT gone.id, held.stored_as FROM gone LEFT JOIN held ON true
"""


def in_batches(documents: Sequence[DocumentSize]) -> Iterator[list[UUID]]:
    """Yield the ids of documents in as many batches as transactions should delete them."""
    batch, chunks = list[UUID](), 0
    for row in documents:
        if batch and (chunks + row.chunks > CHUNKS_AT_ONCE or len(batch) == DOCUMENTS_AT_ONCE):
            yield batch
            batch, chunks = [], 0
        batch.append(row.id)
        chunks += row.chunks
    if batch:
        yield batch


async def delete_documents(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> tuple[int, list[str]]:
    """Delete documents with all that is theirs; return how many there were, and what their bytes are stored as."""
    values = {"tenant_id": tenant_id, "ids": list(ids)}
    await db.execute(LONG)
    names = [row["stored_as"] for row in await fetch_all(db, LOCK, values)]
    for sql in DELETE_CHUNKS:
        await db.execute(sql, values)
    return len(await fetch_all(db, DELETE, values)), names


async def delete_collection(db: Db, tenant_id: UUID, collection_id: UUID) -> list[str] | None:
    """Delete a collection with all that is still in it; return what the bytes of that are stored as, None if it isn't there."""
    await db.execute(LONG)
    rows = await fetch_all(db, DELETE_COLLECTION, {"tenant_id": tenant_id, "id": collection_id})
    return [row["stored_as"] for row in rows if row["stored_as"] is not None] if rows else None
