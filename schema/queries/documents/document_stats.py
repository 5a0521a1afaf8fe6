"""Statistics of a tenant's documents, for display only."""

from datetime import datetime
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one


class DocumentTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a tenant's documents. `oldest_waiting` is when the oldest queued one was uploaded."""

    stored_bytes: int
    max_storage_bytes: int | None
    documents: int
    chunks: int
    oldest_waiting: datetime | None


class MediaType(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents have one media type, and the bytes of their newest versions."""

    media_type: str
    documents: int
    bytes: int


class VectorSpace(msgspec.Struct, frozen=True, kw_only=True):
    """How many vectors are in one space."""

    name: str
    dimensions: int
    vectors: int


SUMS = """
SELECT coalesce(k.stored_bytes, 0) AS stored_bytes, t.max_storage_bytes, coalesce(k.documents, 0) AS documents,
  coalesce(k.chunks, 0) AS chunks,
  (SELECT min(v.created_at) FROM document_versions v WHERE v.tenant_id = t.id AND v.state = 'queued') AS oldest_waiting
FROM tenants t LEFT JOIN knowledge k ON k.tenant_id = t.id WHERE t.id = %(tenant_id)s
"""

STATES = """
SELECT v.state, count(*)::int AS documents FROM documents d
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
WHERE d.tenant_id = %(tenant_id)s GROUP BY v.state
"""

TYPES = """
SELECT v.media_type, count(*)::int AS documents, sum(v.size_bytes)::bigint AS bytes FROM documents d
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
WHERE d.tenant_id = %(tenant_id)s GROUP BY v.media_type ORDER BY documents DESC, v.media_type
"""

VECTORS = """
SELECT s.name, s.dimensions, counted.vectors
FROM (SELECT space, count(*)::bigint AS vectors FROM chunk_vectors WHERE tenant_id = %(tenant_id)s GROUP BY space) AS counted
JOIN vector_spaces s ON s.id = counted.space ORDER BY counted.vectors DESC, s.name
"""

FAILURES = """
SELECT v.error ->> 'code' AS code, count(*)::int AS failures FROM document_versions v
WHERE v.tenant_id = %(tenant_id)s AND v.state = 'failed' AND v.finished_at > now() - interval '1 day'
GROUP BY 1 ORDER BY failures DESC, code
"""


async def get_document_totals(db: Db, tenant_id: UUID) -> DocumentTotals:
    """Return the totals of an existing tenant."""
    sums = await fetch_one(db, SUMS, {"tenant_id": tenant_id}, into=DocumentTotals)
    assert sums is not None
    return sums


async def get_stored_bytes(db: Db, tenant_id: UUID) -> int:
    """Return how many bytes the tenant's documents take, including old versions that are not replaced yet."""
    sql = "SELECT stored_bytes FROM knowledge WHERE tenant_id = %(tenant_id)s"
    row = await fetch_one(db, sql, {"tenant_id": tenant_id})
    return row["stored_bytes"] if row else 0


async def count_states(db: Db, tenant_id: UUID) -> dict[str, int]:
    """Return the number of documents by the state of their newest version."""
    return {row["state"]: row["documents"] for row in await fetch_all(db, STATES, {"tenant_id": tenant_id})}


async def list_types(db: Db, tenant_id: UUID) -> list[MediaType]:
    """Return the media types of documents, the most frequent first."""
    return await fetch_all(db, TYPES, {"tenant_id": tenant_id}, into=MediaType)


async def list_spaces(db: Db, tenant_id: UUID) -> list[VectorSpace]:
    """Return the vector spaces that the tenant has vectors in."""
    return await fetch_all(db, VECTORS, {"tenant_id": tenant_id}, into=VectorSpace)


async def count_failures(db: Db, tenant_id: UUID) -> dict[str, int]:
    """Return how many versions failed in the last day, by error code."""
    return {row["code"] or "": row["failures"] for row in await fetch_all(db, FAILURES, {"tenant_id": tenant_id})}
