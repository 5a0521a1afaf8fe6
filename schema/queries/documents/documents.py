"""Documents as people see them: listed, looked at, changed, stopped, read again. How they are deleted is in `removing.py`, how
a worker reads them in `ingestion.py` and `publishing.py`.

The state of a document is that of its newest version; what is searched is its live one. A transaction that names a user sees
that user's private documents and everybody's shared ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.batch import Statement
from schema.db import LONG, Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import NOTHING_WAITS
from schema.states import FileState

VIEW = """
SELECT d.id, d.name, d.title, c.name AS collection, c.embedder, d.language, d.metadata, d.source_url,
  d.newest_version AS version, d.live_version, d.pages, d.characters, d.chunks, d.user_id,
  d.created_at, d.updated_at, d.created_by,
  v.state, v.error, v.notes, v.chunks AS cut_into, v.drafted, v.size_bytes, v.media_type, v.job_id
FROM documents d
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
JOIN collections c ON c.tenant_id = d.tenant_id AND c.id = d.collection_id
"""

# Somebody's are those that they keep for themselves, and those that they, or a key of theirs, uploaded for all.
OWN = """(%(all)s::bool OR coalesce(d.user_id = %(user_id)s::uuid, false) OR coalesce(d.created_by IN (
    SELECT %(actor)s::text UNION ALL SELECT 'user:' || %(user_id)s::text UNION ALL
    SELECT 'key:' || k.id FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND k.user_id = %(user_id)s::uuid), false))"""

OWNERSHIP = f"""
SELECT d.id, {OWN} AS own, d.user_id, d.chunks FROM documents d
WHERE d.tenant_id = %(tenant_id)s AND d.id = ANY(%(ids)s::uuid[])
"""

CHANGE = """
UPDATE documents SET metadata = coalesce(%(metadata)s::jsonb, metadata), title = coalesce(%(title)s::text, title),
  user_id = CASE WHEN %(share)s::bool THEN NULL ELSE user_id END, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id
"""

SHARE = (
    "UPDATE chunks SET user_id = NULL WHERE tenant_id = %(tenant_id)s AND document_id = %(id)s",
    "UPDATE chunk_vectors SET user_id = NULL WHERE tenant_id = %(tenant_id)s AND document_id = %(id)s",
)

# The triggers see a change of metadata; these are the others that an answer can rest on.
OUTDATE = "UPDATE knowledge SET version = version + 1 WHERE tenant_id = %(tenant_id)s"

CANCEL = """
UPDATE document_versions v SET state = 'cancelled', error = NULL, finished_at = now()
FROM documents d
WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s AND v.tenant_id = d.tenant_id AND v.document_id = d.id
  AND v.version = d.newest_version AND v.state IN ('queued', 'running')
RETURNING v.version
"""

DROP_DRAFTS = """
DELETE FROM chunk_drafts WHERE tenant_id = %(tenant_id)s AND document_id = %(id)s AND version = %(version)s
"""

RETRY = """
WITH chosen AS (
  SELECT v.document_id, v.version, row_number() OVER (ORDER BY v.document_id) - 1 AS place
  FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
    AND v.version = d.newest_version
  WHERE d.tenant_id = %(tenant_id)s AND {which} AND v.state = ANY(%(states)s::text[]))
UPDATE document_versions v SET job_id = %(job_id)s::uuid, place = chosen.place, state = 'queued', attempt = NULL, tries = 0,
  error = NULL, notes = NULL, chunks = NULL, embedded = 0, deadline_at = NULL, started_at = NULL, finished_at = NULL,
  drafted = (SELECT count(*) FROM chunk_drafts k WHERE k.tenant_id = v.tenant_id AND k.document_id = v.document_id
    AND k.version = v.version)
FROM chosen WHERE v.tenant_id = %(tenant_id)s AND v.document_id = chosen.document_id AND v.version = chosen.version
  AND v.state = ANY(%(states)s::text[])
RETURNING v.document_id
"""

CHECK_RETRY = f"""
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM document_versions WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s)
  THEN refuse('{NOTHING_WAITS}') END
"""

CHUNKS = """
SELECT place, text, heading, page, page_end, start, stop FROM chunks
WHERE tenant_id = %(tenant_id)s AND document_id = %(id)s AND place > %(after)s ORDER BY place LIMIT %(limit)s
"""

STORED = """
SELECT d.name, v.version, v.stored_as, v.size_bytes, v.media_type, v.sha256
FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
  AND v.version = coalesce(%(version)s::int, d.live_version, d.newest_version)
WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s
"""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is shown: `version`, `state`, `error`, `notes`, sizes and the passages it was cut into and drafted are
    those of its newest version, pages, characters and chunks those of its live one."""

    id: UUID
    name: str
    title: str
    collection: str
    embedder: str
    language: str | None
    metadata: dict[str, Any]
    source_url: str | None
    version: int
    live_version: int | None
    pages: int | None
    characters: int
    chunks: int
    user_id: UUID | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    state: FileState
    error: dict[str, Any] | None
    notes: list[str] | None
    cut_into: int | None
    drafted: int
    size_bytes: int
    media_type: str
    job_id: UUID


class DocumentSize(msgspec.Struct, frozen=True, kw_only=True):
    """A document by its id, and how many chunks go with it."""

    id: UUID
    chunks: int


class OwnedDocument(DocumentSize, frozen=True, kw_only=True):
    """A document, whose private one it is, and whether it is the asker's `own` to change."""

    own: bool
    user_id: UUID | None


class DocumentChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a document's live version."""

    place: int
    text: str
    heading: str
    page: int | None
    page_end: int | None
    start: int
    stop: int


class StoredVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of one version of a document."""

    name: str
    version: int
    stored_as: str
    size_bytes: int
    media_type: str
    sha256: bytes


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which documents: only what is set confines them. `search` is part of a name or a title, accents and case aside."""

    collection_id: UUID | None = None
    states: Sequence[FileState] | None = None
    search: str | None = None
    private: bool | None = None
    job_id: UUID | None = None

    @property
    def clauses(self) -> list[str]:
        """The conditions over `documents d` and `document_versions v`."""
        every = {
            "d.collection_id = %(collection_id)s": self.collection_id is not None,
            "v.state = ANY(%(states)s::text[])": self.states is not None,
            "strpos(unaccent(lower(d.name || ' ' || d.title)), unaccent(lower(%(search)s))) > 0": bool(self.search),
            "(d.user_id IS NOT NULL) = %(private)s": self.private is not None,
            "v.job_id = %(job_id)s": self.job_id is not None,
        }
        return [clause for clause, is_set in every.items() if is_set]

    @property
    def values(self) -> dict[str, Any]:
        """Their parameters."""
        states = None if self.states is None else list(self.states)
        return {**vars(self), "states": states}


@dataclass(frozen=True)
class Whose:
    """Whose documents may be changed: with `all` everybody's, else those of the person and of the actor (`key:ID`)."""

    actor: str
    user_id: UUID | None
    all: bool


async def list_documents(
    db: Db, tenant_id: UUID, wanted: Wanted, *, limit: int, before: UUID | None = None
) -> list[Document]:
    """Return documents, those first that were uploaded last; `before` is the last id of the page before."""
    clauses = [*wanted.clauses, *(["d.id < %(before)s"] if before else [])]
    sql = f"{VIEW} WHERE d.tenant_id = %(tenant_id)s {_and(clauses)} ORDER BY d.id DESC LIMIT %(limit)s"
    return await fetch_all(
        db, sql, wanted.values | {"tenant_id": tenant_id, "limit": limit, "before": before}, into=Document
    )


async def find_document(db: Db, tenant_id: UUID, document_id: UUID) -> Document | None:
    """Return one document as it is listed."""
    sql = f"{VIEW} WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": document_id}, into=Document)


async def list_owned(db: Db, tenant_id: UUID, ids: Sequence[UUID], whose: Whose) -> list[OwnedDocument]:
    """Return those of the documents that are seen."""
    values = {"tenant_id": tenant_id, "ids": list(ids), **vars(whose)}
    return await fetch_all(db, OWNERSHIP, values, into=OwnedDocument)


async def pick_documents(
    db: Db, tenant_id: UUID, wanted: Wanted, whose: Whose, *, limit: int, below: UUID | None = None
) -> list[DocumentSize]:
    """Return the documents that fit and may be changed, those first that were uploaded last."""
    clauses = [*wanted.clauses, OWN, *(["d.id < %(below)s"] if below else [])]
    sql = f"""SELECT d.id, d.chunks FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id
        AND v.document_id = d.id AND v.version = d.newest_version
      WHERE d.tenant_id = %(tenant_id)s {_and(clauses)} ORDER BY d.id DESC LIMIT %(limit)s"""
    values = wanted.values | vars(whose) | {"tenant_id": tenant_id, "limit": limit, "below": below}
    return await fetch_all(db, sql, values, into=DocumentSize)


async def change_document(
    db: Db,
    tenant_id: UUID,
    document_id: UUID,
    *,
    metadata: Mapping[str, Any] | None = None,
    title: str | None = None,
    share: bool = False,
) -> bool:
    """Set what is given of a document; with `share` it becomes everybody's, and all that is searched of it. False if it is not
    there. Raises psycopg's UniqueViolation when the collection has a shared one of this name; then the transaction is lost."""
    values = {"tenant_id": tenant_id, "id": document_id, "title": title, "share": share}
    packed = None if metadata is None else Jsonb(dict(metadata))
    await db.execute(LONG)
    if await fetch_one(db, CHANGE, {**values, "metadata": packed}) is None:
        return False
    for sql in SHARE if share else ():
        await db.execute(sql, values)
    if share or title is not None:
        await db.execute(OUTDATE, values)
    return True


async def cancel_document(db: Db, tenant_id: UUID, document_id: UUID) -> bool:
    """Stop a document that waits or is being read; its worker notices. False if it is in neither state."""
    values = {"tenant_id": tenant_id, "id": document_id}
    row = await fetch_one(db, CANCEL, values)
    if row is not None:
        await db.execute(DROP_DRAFTS, {**values, "version": row["version"]})
    return row is not None


def retry_statements(
    tenant_id: UUID,
    job_id: UUID,
    *,
    states: Sequence[FileState] = ("failed", "cancelled", "ready"),
    ids: Sequence[UUID] | None = None,
    collection_id: UUID | None = None,
) -> tuple[Statement, ...]:
    """Return what a job comes with that reads documents again from their stored bytes (`Submission.extra_statements`): the
    newest versions of those documents, or of all of a collection, that are in one of `states` become its own and wait. Whether
    the caller may have that done was checked before. The submit raises NothingWaits if there is none."""
    which = "d.id = ANY(%(ids)s::uuid[])" if ids is not None else "d.collection_id = %(collection_id)s"
    values: dict[str, Any] = {"tenant_id": tenant_id, "job_id": job_id, "states": list(states)}
    values |= {"ids": None if ids is None else list(ids), "collection_id": collection_id}
    return ((RETRY.format(which=which), values), (CHECK_RETRY, values))


async def list_chunks(
    db: Db, tenant_id: UUID, document_id: UUID, *, limit: int, after: int | None = None
) -> list[DocumentChunk]:
    """Return the passages of the live version in order; `after` is the place of the last of the page before."""
    values = {"tenant_id": tenant_id, "id": document_id, "limit": limit, "after": -1 if after is None else after}
    return await fetch_all(db, CHUNKS, values, into=DocumentChunk)


async def find_stored(db: Db, tenant_id: UUID, document_id: UUID, version: int | None = None) -> StoredVersion | None:
    """Return what is stored of a version: the live one unless another is named, the newest of a document that never was
    live."""
    values = {"tenant_id": tenant_id, "id": document_id, "version": version}
    return await fetch_one(db, STORED, values, into=StoredVersion)


def _and(clauses: Sequence[str]) -> str:
    return "".join(f" AND {clause}" for clause in clauses)
