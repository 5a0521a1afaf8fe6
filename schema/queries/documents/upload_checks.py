"""Queries of an upload before and after its commit: whether another job may be queued, and its documents. The commit itself is
in `uploads.py`.
"""

from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.states import FileState

QUEUE = """
SELECT t.max_queued > 0 AND t.max_queued <= (
  SELECT count(*) FROM (
    SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' LIMIT t.max_queued) AS waiting) AS full
FROM tenants t WHERE t.id = %(tenant_id)s
"""

UPLOADED = """
SELECT d.id, d.name, v.version, v.state, v.size_bytes, v.media_type FROM document_versions v
JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id
WHERE v.tenant_id = %(tenant_id)s AND v.job_id = %(job_id)s ORDER BY v.place
"""


class UploadedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that an upload created or updated."""

    id: UUID
    name: str
    version: int
    state: FileState
    size_bytes: int
    media_type: str


async def is_queue_full(db: Db, tenant_id: UUID) -> bool:
    """Whether the tenant has its maximum of queued jobs; only the submit checks it exactly."""
    row = await fetch_one(db, QUEUE, {"tenant_id": tenant_id})
    return row is not None and row["full"]


async def list_uploaded(db: Db, tenant_id: UUID, job_id: UUID) -> list[UploadedDocument]:
    """Return a job's documents, in the order of the upload."""
    return await fetch_all(db, UPLOADED, {"tenant_id": tenant_id, "job_id": job_id}, into=UploadedDocument)
