"""Deleting documents and collections, with their versions, chunks and vectors. A trigger schedules the removal of their files;
the returned names allow the caller to delete them at once.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from schema.postgres.connections import ALLOW_LONG_STATEMENTS, Db, fetch_all
from schema.queries.documents.documents import DocumentSize

MAX_BATCH_CHUNKS = 10_000  # per transaction: about a third of a second
MAX_BATCH_DOCUMENTS = 200

# In the order of `document_publish.py`, to avoid deadlocks.
LOCK = """
SELECT v.stored_as FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
WHERE d.tenant_id = %(tenant_id)s AND d.id = ANY(%(ids)s::uuid[])
ORDER BY d.collection_id, d.name, d.id, v.version FOR UPDATE OF d, v
"""

# Explicitly, by the index on their document: cascading foreign keys delete vectors one by one.
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


def deletion_batches(documents: Sequence[DocumentSize]) -> Iterator[list[UUID]]:
    """Yield the ids of documents in batches, one for each transaction."""
    batch, chunks = list[UUID](), 0
    for row in documents:
        if batch and (chunks + row.chunks > MAX_BATCH_CHUNKS or len(batch) == MAX_BATCH_DOCUMENTS):
            yield batch
            batch, chunks = [], 0
        batch.append(row.id)
        chunks += row.chunks
    if batch:
        yield batch


async def delete_documents(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> tuple[int, list[str]]:
    """Delete documents with their content; return how many there were, and the names of their files."""
    values = {"tenant_id": tenant_id, "ids": list(ids)}
    await db.execute(ALLOW_LONG_STATEMENTS)
    names = [row["stored_as"] for row in await fetch_all(db, LOCK, values)]
    for sql in DELETE_CHUNKS:
        await db.execute(sql, values)
    return len(await fetch_all(db, DELETE, values)), names


async def delete_collection(db: Db, tenant_id: UUID, collection_id: UUID) -> list[str] | None:
    """Delete a collection with its content; return the names of its files, None if it doesn't exist."""
    await db.execute(ALLOW_LONG_STATEMENTS)
    rows = await fetch_all(db, DELETE_COLLECTION, {"tenant_id": tenant_id, "id": collection_id})
    return [row["stored_as"] for row in rows if row["stored_as"] is not None] if rows else None
