"""Files that were uploaded: noted before their bytes are written, and committed with the job that will read them.

note ──► bytes are written ──► job, documents, versions in one transaction, which takes the note away
  └──── whatever dies in between: the note falls due, and the bytes are removed
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.batch import Statement
from schema.db import Db, fetch_all
from schema.queries.jobs.submissions import NO_COLLECTION, STORAGE_FULL
from schema.states import FileState

KEPT_S = 3600
"""How long bytes may lie without a row: longer than any upload takes."""

NOBODY = "'00000000-0000-0000-0000-000000000000'::uuid"


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file whose bytes are safe under the name `stored_as`. `document_id` is a fresh one, used unless the collection has a
    document of that name; no two files of one upload have one name."""

    document_id: UUID
    name: str
    stored_as: str
    size_bytes: int
    sha256: bytes
    media_type: str
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    source_url: str | None = None


class SameDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The document that a file of an upload is already, by the place of the file."""

    place: int
    document_id: UUID
    version: int
    state: FileState


FILES = """
jsonb_to_recordset(%(files)s::jsonb) AS f (place int, document_id uuid, name text, stored_as text, size_bytes bigint,
  sha256 text, media_type text, metadata jsonb, source_url text)
"""

CHECK_COLLECTION = f"""
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(collection_id)s)
  THEN refuse('{NO_COLLECTION}') END
"""

ADD_FILES = f"""
WITH given AS MATERIALIZED (SELECT * FROM {FILES}),
known AS (
  INSERT INTO documents AS d (tenant_id, id, collection_id, user_id, name, metadata, source_url, newest_version, created_by)
  SELECT %(tenant_id)s::uuid, document_id, %(collection_id)s::uuid, %(user_id)s::uuid, name, metadata, source_url, 1, %(by)s
  FROM given ORDER BY name
  ON CONFLICT (tenant_id, collection_id, name, coalesce(user_id, {NOBODY})) DO UPDATE SET
    newest_version = d.newest_version + 1, metadata = d.metadata || excluded.metadata,
    source_url = excluded.source_url, updated_at = now()
  RETURNING id, name, newest_version)
INSERT INTO document_versions (tenant_id, document_id, version, job_id, place, state, stored_as, size_bytes, sha256, media_type)
SELECT %(tenant_id)s::uuid, known.id, known.newest_version, %(job_id)s::uuid, given.place, 'queued', given.stored_as,
  given.size_bytes, decode(given.sha256, 'hex'), given.media_type
FROM given JOIN known USING (name)
RETURNING document_id, version, place
"""

# Versions that nobody has begun, of documents that now have a newer one.
DROP_OVERTAKEN = """
UPDATE document_versions v SET state = 'cancelled', finished_at = now(),
  error = '{"code": "overtaken", "message": "A newer version was uploaded before this one was read."}'
FROM documents d, document_versions n
WHERE n.tenant_id = %(tenant_id)s AND n.job_id = %(job_id)s AND d.tenant_id = n.tenant_id AND d.id = n.document_id
  AND v.tenant_id = n.tenant_id AND v.document_id = n.document_id AND v.version < n.version AND v.state = 'queued'
"""

# The trigger that counts has locked the tenant's row until the commit, so this is exact.
CHECK_STORAGE = f"""
SELECT CASE WHEN k.stored_bytes > t.max_storage_bytes THEN refuse('{STORAGE_FULL}') END
FROM knowledge k JOIN tenants t ON t.id = k.tenant_id WHERE k.tenant_id = %(tenant_id)s
"""

NOTE = """
INSERT INTO file_removals (tenant_id, stored_as, due_at)
SELECT %(tenant_id)s, name, now() + make_interval(secs => %(kept_s)s) FROM unnest(%(names)s::text[]) AS name
"""

# What the newest version of each document already says, bytes for bytes.
SAME = f"""
SELECT f.place, d.id AS document_id, v.version, v.state
FROM {FILES} JOIN documents d ON d.tenant_id = %(tenant_id)s AND d.collection_id = %(collection_id)s AND d.name = f.name
  AND coalesce(d.user_id, {NOBODY}) = coalesce(%(user_id)s::uuid, {NOBODY})
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
WHERE v.sha256 = decode(f.sha256, 'hex') AND v.state IN ('queued', 'running', 'ready')
"""

# Shared documents of these names that somebody else made: a version of one would change it.
OTHERS = f"""
SELECT f.place FROM {FILES} JOIN documents d ON d.tenant_id = %(tenant_id)s AND d.collection_id = %(collection_id)s
  AND d.name = f.name AND coalesce(d.user_id, {NOBODY}) = coalesce(%(user_id)s::uuid, {NOBODY})
WHERE d.created_by IS DISTINCT FROM %(by)s
"""

ROOM = """
SELECT t.max_storage_bytes - coalesce(k.stored_bytes, 0) AS left
FROM tenants t LEFT JOIN knowledge k ON k.tenant_id = t.id WHERE t.id = %(tenant_id)s
"""


async def note_files(db: Db, tenant_id: UUID, names: Sequence[str]) -> None:
    """Note bytes that are about to be written: without a row of their own they are removed after KEPT_S."""
    await db.execute(NOTE, {"tenant_id": tenant_id, "names": list(names), "kept_s": KEPT_S})


async def find_room(db: Db, tenant_id: UUID) -> int | None:
    """Return how many bytes the tenant may still store, None for no limit. What is being uploaded is not counted yet."""
    rows = await fetch_all(db, ROOM, {"tenant_id": tenant_id})
    return rows[0]["left"] if rows else None


async def list_same(
    db: Db, tenant_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile]
) -> dict[int, SameDocument]:
    """Return, by the places of their files, the documents that the collection has already: same name, same bytes, and not
    failed."""
    values = _values(tenant_id, collection_id, user_id, files)
    return {row.place: row for row in await fetch_all(db, SAME, values, into=SameDocument)}


async def list_others(
    db: Db, tenant_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile], *, by: str
) -> set[int]:
    """Return the places of files that would be versions of documents which somebody else than `by` made."""
    values = _values(tenant_id, collection_id, user_id, files) | {"by": by}
    return {row["place"] for row in await fetch_all(db, OTHERS, values)}


def file_statements(
    tenant_id: UUID, job_id: UUID, collection_id: UUID, user_id: UUID | None, files: Sequence[NewFile], *, by: str
) -> tuple[Statement, ...]:
    """Return what a job of ingestion comes with (`Submission.extra_statements`): its documents, a version of
    each, and the check that the tenant may store them. `user_id` makes the documents private. The batch raises NotFound
    (collection) or StorageFull."""
    values = _values(tenant_id, collection_id, user_id, files) | {"job_id": job_id, "by": by}
    return tuple((sql, values) for sql in (CHECK_COLLECTION, ADD_FILES, DROP_OVERTAKEN, CHECK_STORAGE))


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
        }
        for place, file in enumerate(files)
    ]
    return {"tenant_id": tenant_id, "collection_id": collection_id, "user_id": user_id, "files": Jsonb(rows)}
