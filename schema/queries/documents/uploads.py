"""Uploaded files: scheduled for removal before they are stored, and committed with the job that will ingest them.

schedule removal ──► store the file ──► job, documents, versions in one transaction, which cancels the removal
  └──── if anything fails in between, the removal becomes due and the file is deleted
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all
from schema.queries.jobs.submissions import JOB_LOST, NO_COLLECTION, STORAGE_FULL
from schema.states import FileState
from schema.storable import storable_json

UNCOMMITTED_TTL_S = 3600
"""How long a file may be stored without a version: longer than any upload takes."""

NO_USER = "'00000000-0000-0000-0000-000000000000'::uuid"


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file that is stored as `stored_as`. `document_id` is new, and used unless the collection has a document of that name.
    The names of an upload's files are unique."""

    document_id: UUID
    name: str
    stored_as: str
    size_bytes: int
    sha256: bytes
    media_type: str
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    source_url: str | None = None
    source_etag: str | None = None


class UnchangedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document that already has the content of an uploaded file; `place` is the file's position in the upload."""

    place: int
    document_id: UUID
    version: int
    state: FileState


FILES = """
jsonb_to_recordset(%(files)s::jsonb) AS f (place int, document_id uuid, name text, stored_as text, size_bytes bigint,
  sha256 text, media_type text, metadata jsonb, source_url text, source_etag text)
"""

CHECK_COLLECTION = f"""
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(collection_id)s)
  THEN refuse('{NO_COLLECTION}') END
"""

ADD_FILES = f"""
WITH given AS MATERIALIZED (SELECT * FROM {FILES}),
known AS (
  INSERT INTO documents AS d (tenant_id, id, collection_id, user_id, name, metadata, source_url, source_etag,
    newest_version, created_by)
  SELECT %(tenant_id)s::uuid, document_id, %(collection_id)s::uuid, %(user_id)s::uuid, name, metadata, source_url, source_etag,
    1, %(by)s
  FROM given ORDER BY name
  ON CONFLICT (tenant_id, collection_id, name, coalesce(user_id, {NO_USER})) DO UPDATE SET
    newest_version = d.newest_version + 1, metadata = d.metadata || excluded.metadata,
    source_url = excluded.source_url, source_etag = excluded.source_etag, updated_at = now()
  RETURNING id, name, newest_version)
INSERT INTO document_versions (tenant_id, document_id, version, job_id, place, state, stored_as, size_bytes, sha256, media_type)
SELECT %(tenant_id)s::uuid, known.id, known.newest_version, %(job_id)s::uuid, given.place, 'queued', given.stored_as,
  given.size_bytes, decode(given.sha256, 'hex'), given.media_type
FROM given JOIN known USING (name)
RETURNING document_id, version, place
"""

# Queued versions of documents that now have a newer one.
CANCEL_OVERTAKEN = """
UPDATE document_versions v SET state = 'cancelled', finished_at = now(),
  error = '{"code": "overtaken", "message": "A newer version was uploaded before this one was read."}'
FROM documents d, document_versions n
WHERE n.tenant_id = %(tenant_id)s AND n.job_id = %(job_id)s AND d.tenant_id = n.tenant_id AND d.id = n.document_id
  AND v.tenant_id = n.tenant_id AND v.document_id = n.document_id AND v.version < n.version AND v.state = 'queued'
"""

# The counting trigger locks the tenant's row until the commit, so this is exact.
CHECK_STORAGE = f"""
SELECT CASE WHEN k.stored_bytes > t.max_storage_bytes THEN refuse('{STORAGE_FULL}') END
FROM knowledge k JOIN tenants t ON t.id = k.tenant_id WHERE k.tenant_id = %(tenant_id)s
"""

SCHEDULE_REMOVALS = """
INSERT INTO file_removals (tenant_id, stored_as, due_at)
SELECT %(tenant_id)s, name, now() + make_interval(secs => %(ttl_s)s) FROM unnest(%(names)s::text[]) AS name
"""

# Documents whose newest version has the same bytes.
LIST_UNCHANGED = f"""
SELECT f.place, d.id AS document_id, v.version, v.state
FROM {FILES} JOIN documents d ON d.tenant_id = %(tenant_id)s AND d.collection_id = %(collection_id)s AND d.name = f.name
  AND coalesce(d.user_id, {NO_USER}) = coalesce(%(user_id)s::uuid, {NO_USER})
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
WHERE v.sha256 = decode(f.sha256, 'hex') AND v.state IN ('queued', 'running', 'ready')
"""

# Shared documents of these names that were created by others; a new version would change them.
LIST_OWNED_BY_OTHERS = f"""
SELECT f.place FROM {FILES} JOIN documents d ON d.tenant_id = %(tenant_id)s AND d.collection_id = %(collection_id)s
  AND d.name = f.name AND coalesce(d.user_id, {NO_USER}) = coalesce(%(user_id)s::uuid, {NO_USER})
WHERE d.created_by IS DISTINCT FROM %(by)s
"""

# What a server would have to send anew. A document that failed is fetched again, whatever the server says.
ETAGS = f"""
SELECT DISTINCT ON (d.source_url) d.source_url AS url, d.source_etag AS etag FROM documents d
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
WHERE d.tenant_id = %(tenant_id)s AND d.collection_id = %(collection_id)s AND d.source_url = ANY(%(urls)s::text[])
  AND coalesce(d.user_id, {NO_USER}) = coalesce(%(user_id)s::uuid, {NO_USER})
  AND d.source_etag IS NOT NULL AND v.state IN ('queued', 'running', 'ready')
ORDER BY d.source_url, d.updated_at DESC
"""

# The attempt that fetched the files must still hold the job. A later one finds in its payload what became of the others.
NOTE_FETCHED = f"""
WITH noted AS (
  UPDATE jobs SET payload = payload || jsonb_build_object('fetched', %(fetched)s::jsonb)
  WHERE tenant_id = %(tenant_id)s AND id = %(job_id)s AND state = %(from_state)s AND attempt = %(attempt)s RETURNING id)
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM noted) THEN refuse('{JOB_LOST}') END
"""

FREE_STORAGE = """
SELECT t.max_storage_bytes - coalesce(k.stored_bytes, 0) AS left
FROM tenants t LEFT JOIN knowledge k ON k.tenant_id = t.id WHERE t.id = %(tenant_id)s
"""


async def schedule_removals(db: Db, tenant_id: UUID, names: Sequence[str]) -> None:
    """Schedule the removal of files that are about to be stored, after UNCOMMITTED_TTL_S."""
    await db.execute(SCHEDULE_REMOVALS, {"tenant_id": tenant_id, "names": list(names), "ttl_s": UNCOMMITTED_TTL_S})


async def find_free_storage(db: Db, tenant_id: UUID) -> int | None:
    """Return how many bytes the tenant may still store; None is unlimited. Running uploads are not counted."""
    rows = await fetch_all(db, FREE_STORAGE, {"tenant_id": tenant_id})
    return rows[0]["left"] if rows else None


async def list_etags(
    db: Db, tenant_id: UUID, collection_id: UUID, user_id: UUID | None, urls: Sequence[str]
) -> dict[str, str]:
    """Return what servers called the content that documents of these addresses have now, by address."""
    values = {"tenant_id": tenant_id, "collection_id": collection_id, "user_id": user_id, "urls": list(urls)}
    return {row["url"]: row["etag"] for row in await fetch_all(db, ETAGS, values)}


def note_fetched(tenant_id: UUID, job_id: UUID, attempt: int, fetched: dict[str, Any]) -> Statement:
    """Return the statement that stores in a job's payload what became of its addresses; it refuses, with JOB_LOST, unless the
    attempt holds the job."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "job_id": job_id, "attempt": attempt, "from_state": "running"}
    return NOTE_FETCHED, values | {"fetched": storable_json(fetched)}


async def list_unchanged(
    db: Db, tenant_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile]
) -> dict[int, UnchangedDocument]:
    """Return the documents that already have the name and content of these files, and have not failed, by the files'
    position."""
    values = _values(tenant_id, collection_id, user_id, files)
    return {row.place: row for row in await fetch_all(db, LIST_UNCHANGED, values, into=UnchangedDocument)}


async def list_owned_by_others(
    db: Db, tenant_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile], *, by: str
) -> set[int]:
    """Return the positions of files that would be versions of documents that were not created by `by`."""
    values = _values(tenant_id, collection_id, user_id, files) | {"by": by}
    return {row["place"] for row in await fetch_all(db, LIST_OWNED_BY_OTHERS, values)}


def file_statements(
    tenant_id: UUID, job_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile], *, by: str
) -> tuple[Statement, ...]:
    """Return the `Submission.extra_statements` of an ingestion job: they insert its documents and their versions, and check
    the tenant's storage limit. `user_id` makes the documents private. The submit raises NotFound (collection) or
    StorageFull."""
    values = _values(tenant_id, collection_id, user_id, files) | {"job_id": job_id, "by": by}
    return tuple((sql, values) for sql in (CHECK_COLLECTION, ADD_FILES, CANCEL_OVERTAKEN, CHECK_STORAGE))


def _values(tenant_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile]) -> dict[str, Any]:
    rows = [
        {
            "place": place,
            "document_id": str(file.document_id),
            "name": file.name,
            "stored_as": file.stored_as,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256.hex(),
            "media_type": file.media_type,
            "metadata": file.metadata,
            "source_url": file.source_url,
            "source_etag": file.source_etag,
        }
        for place, file in enumerate(files)
    ]
    return {"tenant_id": tenant_id, "collection_id": collection_id, "user_id": user_id, "files": Jsonb(rows)}
