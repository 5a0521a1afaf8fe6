"""Collections: named sets of documents with their settings, and what is in them. Not here: their deletion
(`document_deletion.py`) and re-embedding (`reembedding.py`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.states import FILE_STATES

DEFAULT = "default"
"""The collection of documents that don't name one."""

CHUNK_CHARACTERS, CHUNK_OVERLAP = 1000, 200
"""Default chunk settings of a collection."""

SHOWN = """c.id, c.name, c.description, c.chunk_characters, c.chunk_overlap, c.embedder, c.next_embedder, c.next_space,
  (SELECT s.name FROM vector_spaces s WHERE s.id = c.space) AS space, c.created_at, c.updated_at, c.created_by"""

LIST = f"""
SELECT {SHOWN} FROM collections c WHERE c.tenant_id = %(tenant_id)s AND c.name COLLATE "C" > %(after)s
ORDER BY c.name COLLATE "C" LIMIT %(limit)s
"""

FIND = f"SELECT {SHOWN} FROM collections c WHERE c.tenant_id = %(tenant_id)s AND c.name = %(name)s"

FIND_BY_ID = f"SELECT {SHOWN} FROM collections c WHERE c.tenant_id = %(tenant_id)s AND c.id = %(id)s"

ADD = f"""
WITH added AS (
  INSERT INTO collections (tenant_id, id, name, description, chunk_characters, chunk_overlap, embedder, created_by)
  SELECT %(tenant_id)s::uuid, %(id)s::uuid, %(name)s, %(description)s, %(chunk_characters)s::int, %(chunk_overlap)s::int,
    %(embedder)s, %(created_by)s
  WHERE (SELECT count(*) FROM collections WHERE tenant_id = %(tenant_id)s) < %(max_collections)s
  ON CONFLICT (tenant_id, name) DO NOTHING RETURNING *)
SELECT {SHOWN} FROM added c
"""

CHANGEABLE = ("description", "chunk_characters", "chunk_overlap")

# An empty collection has no space, but its embedder is changed by a job all the same: a file that is being ingested would keep
# vectors of the old one.
SET_NEXT_EMBEDDER = """
UPDATE collections SET next_embedder = %(embedder)s::text,
  next_space = CASE WHEN next_embedder = %(embedder)s::text THEN next_space END, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

KEEP_EMBEDDER = """
UPDATE collections SET next_embedder = NULL, next_space = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

DOCUMENTS = f"""
SELECT d.collection_id AS id, count(*)::int AS documents, {
    ", ".join(f"(count(*) FILTER (WHERE v.state = '{state}'))::int AS {state}" for state in FILE_STATES)
}, coalesce(sum(d.chunks), 0)::bigint AS chunks, coalesce(sum(d.pages), 0)::bigint AS pages,
  coalesce(sum(d.characters), 0)::bigint AS characters
FROM documents d
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
WHERE d.tenant_id = %(tenant_id)s AND d.collection_id = ANY(%(ids)s::uuid[]) GROUP BY d.collection_id
"""

BYTES = """
SELECT d.collection_id AS id, sum(v.size_bytes)::bigint AS bytes
FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
WHERE d.tenant_id = %(tenant_id)s AND d.collection_id = ANY(%(ids)s::uuid[]) GROUP BY d.collection_id
"""

COUNT_REEMBEDDED = """
SELECT c.id, (SELECT count(*) FROM chunk_vectors x WHERE x.tenant_id = c.tenant_id AND x.collection_id = c.id
  AND x.space = c.next_space)::bigint AS done
FROM collections c
WHERE c.tenant_id = %(tenant_id)s AND c.id = ANY(%(ids)s::uuid[]) AND c.next_space IS NOT NULL
"""


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A collection and its settings. `space` is the name of its vector space, None before its first document is ready;
    `next_embedder` is set while its embedder is being changed."""

    id: UUID
    name: str
    description: str
    chunk_characters: int
    chunk_overlap: int
    embedder: str
    next_embedder: str | None
    next_space: int | None
    space: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class CollectionContents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a collection: documents, in all and by state; chunks, pages and characters of the live versions; stored
    bytes; and how many chunks have a vector in the next space (`done`)."""

    documents: int = 0
    queued: int = 0
    running: int = 0
    ready: int = 0
    failed: int = 0
    cancelled: int = 0
    chunks: int = 0
    pages: int = 0
    characters: int = 0
    bytes: int = 0
    done: int = 0


async def list_collections(db: Db, tenant_id: UUID, *, limit: int, after: str = "") -> list[Collection]:
    """Return collections by name; `after` is the last name of the page before."""
    return await fetch_all(db, LIST, {"tenant_id": tenant_id, "limit": limit, "after": after}, into=Collection)


async def find_collection(db: Db, tenant_id: UUID, name: str) -> Collection | None:
    """Return one collection as it is listed."""
    return await fetch_one(db, FIND, {"tenant_id": tenant_id, "name": name}, into=Collection)


async def find_collection_by_id(db: Db, tenant_id: UUID, collection_id: UUID) -> Collection | None:
    """Return one collection by its id."""
    return await fetch_one(db, FIND_BY_ID, {"tenant_id": tenant_id, "id": collection_id}, into=Collection)


async def add_collection(
    db: Db,
    tenant_id: UUID,
    collection_id: UUID,
    name: str,
    *,
    embedder: str,
    created_by: str | None,
    max_collections: int,
    description: str = "",
    chunk_characters: int = CHUNK_CHARACTERS,
    chunk_overlap: int = CHUNK_OVERLAP,
) -> Collection | None:
    """Insert a collection and return it; None if the name is taken, or the tenant has `max_collections`."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": collection_id, "name": name, "description": description}
    values |= {"chunk_characters": chunk_characters, "chunk_overlap": chunk_overlap, "embedder": embedder}
    return await fetch_one(
        db, ADD, values | {"created_by": created_by, "max_collections": max_collections}, into=Collection
    )


async def change_collection(db: Db, tenant_id: UUID, collection_id: UUID, values: Mapping[str, Any]) -> None:
    """Set the given columns of CHANGEABLE."""
    changes = "".join(f"{column} = %({column})s, " for column in CHANGEABLE if column in values)
    sql = f"UPDATE collections SET {changes}updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    await fetch_all(db, f"{sql} RETURNING id", {"tenant_id": tenant_id, "id": collection_id, **values})


def embedder_statements(tenant_id: UUID, collection_id: UUID, embedder: str) -> tuple[Statement, ...]:
    """Return the `Submission.extra_statements` of a job that changes a collection's embedder: they set the next one. Without
    effect, like the job, if the collection doesn't exist."""
    return ((SET_NEXT_EMBEDDER, {"tenant_id": tenant_id, "id": collection_id, "embedder": embedder}),)


async def keep_embedder(db: Db, tenant_id: UUID, collection_id: UUID) -> None:
    """Cancel a change of the embedder; a job that is doing it notices."""
    await db.execute(KEEP_EMBEDDER, {"tenant_id": tenant_id, "id": collection_id})


async def measure_collections(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> dict[UUID, CollectionContents]:
    """Return the contents of collections by id. Reads each of their documents once."""
    values = {"tenant_id": tenant_id, "ids": list(ids)}
    found: dict[UUID, dict[str, int]] = {collection_id: {} for collection_id in ids}
    for sql in (DOCUMENTS, BYTES, COUNT_REEMBEDDED):
        for row in await fetch_all(db, sql, values):
            found[row.pop("id")].update(row)
    return {collection_id: CollectionContents(**figures) for collection_id, figures in found.items()}
