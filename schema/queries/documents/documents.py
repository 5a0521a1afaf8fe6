"""Documents as users see them: list, get, update, cancel, retry. Not here: deletion (`document_deletion.py`) and ingestion
(`ingestion.py`, `document_publish.py`).

The state of a document is that of its newest version; searches use its live version. A transaction that names a user sees that
user's private documents and all shared ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.batch import Statement
from schema.postgres.connections import ALLOW_LONG_STATEMENTS, Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import NOTHING_TO_RETRY
from schema.queries.pages import LAST_ID
from schema.states import FileState

VIEW = """
SELECT d.id, d.name, d.title, c.name AS collection, c.embedder, d.language, d.metadata, d.source_url,
  d.newest_version AS version, d.live_version, d.pages, d.characters, d.chunks, d.user_id,
  d.created_at, d.updated_at, d.created_by,
  v.state, v.error, v.notes, v.chunks AS planned_chunks, v.drafted, v.size_bytes, v.media_type, v.job_id
FROM documents d
JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id AND v.version = d.newest_version
JOIN collections c ON c.tenant_id = d.tenant_id AND c.id = d.collection_id
"""

# As pages of jobs (`schema/queries/jobs/job_lists.py`): one index, read once for each state. Those that are ready are most, and
# not in it.
NEWEST_IN_STATES = """
SELECT newest.id FROM unnest(%(states)s::text[]) AS wanted (state), LATERAL (
  SELECT d.id FROM document_versions v JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id
    AND d.newest_version = v.version
  WHERE v.tenant_id = %(tenant_id)s AND v.state <> 'ready' AND v.state = wanted.state AND v.document_id < %(before)s {clauses}
  ORDER BY v.document_id DESC LIMIT %(limit)s) AS newest
ORDER BY newest.id DESC LIMIT %(limit)s
"""

# A user may edit their private documents, and the shared ones that they or one of their keys uploaded.
EDITABLE = """(%(all)s::bool OR coalesce(d.user_id = %(user_id)s::uuid, false) OR coalesce(d.created_by IN (
    SELECT %(actor)s::text UNION ALL SELECT 'user:' || %(user_id)s::text UNION ALL
    SELECT 'key:' || k.id FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND k.user_id = %(user_id)s::uuid), false))"""

OWNERSHIP = f"""
SELECT d.id, {EDITABLE} AS own, d.user_id, d.chunks FROM documents d
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

# Triggers notice changes of metadata; this is for other changes that invalidate cached answers.
INVALIDATE_ANSWERS = "UPDATE knowledge SET version = version + 1 WHERE tenant_id = %(tenant_id)s"

CANCEL = """
UPDATE document_versions v SET state = 'cancelled', error = NULL, finished_at = now()
FROM documents d
WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s AND v.tenant_id = d.tenant_id AND v.document_id = d.id
  AND v.version = d.newest_version AND v.state IN ('queued', 'running')
RETURNING v.version
"""

DELETE_DRAFTS = """
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
  THEN refuse('{NOTHING_TO_RETRY}') END
"""

CHUNKS = """
SELECT place, text, heading, page, page_end, start, stop FROM chunks
WHERE tenant_id = %(tenant_id)s AND document_id = %(id)s AND place > %(after)s ORDER BY place LIMIT %(limit)s
"""

FIND_STORED = """
SELECT d.name, v.version, v.stored_as, v.size_bytes, v.media_type, v.sha256
FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
  AND v.version = coalesce(%(version)s::int, d.live_version, d.newest_version)
WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s
"""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is shown. `version`, `state`, `error`, `notes`, sizes, `planned_chunks` and `drafted` are those of its
    newest version; `pages`, `characters` and `chunks` those of its live one."""

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
    planned_chunks: int | None
    drafted: int
    size_bytes: int
    media_type: str
    job_id: UUID


class DocumentSize(msgspec.Struct, frozen=True, kw_only=True):
    """The id of a document and its number of chunks."""

    id: UUID
    chunks: int


class OwnedDocument(DocumentSize, frozen=True, kw_only=True):
    """A document, the user whose private one it is, and whether the caller may edit it (`own`)."""

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
    """The stored file of one version of a document."""

    name: str
    version: int
    stored_as: str
    size_bytes: int
    media_type: str
    sha256: bytes


@dataclass(frozen=True, kw_only=True)
class DocumentFilter:
    """Conditions on documents; None matches all. `search` is a part of the name or title, ignoring accents and case.
    `reader_id` is the user of the transaction, if it sees no others' private documents."""

    collection_id: UUID | None = None
    states: Sequence[FileState] | None = None
    search: str | None = None
    private: bool | None = None
    job_id: UUID | None = None
    reader_id: UUID | None = None

    @property
    def clauses(self) -> list[str]:
        """The conditions on `documents d` and `document_versions v`. Each that can be rare has its index."""
        every = {
            "d.collection_id = %(collection_id)s": self.collection_id is not None,
            "v.state = ANY(%(states)s::text[])": self.states is not None,
            "strpos(unaccent(lower(d.name || ' ' || d.title)), unaccent(lower(%(search)s))) > 0": bool(self.search),
            "d.user_id IS NULL": self.private is False,
            "d.user_id IS NOT NULL": self.private is True,
            "d.user_id = %(reader_id)s": self.private is True and self.reader_id is not None,
            "v.job_id = %(job_id)s": self.job_id is not None,
        }
        return [clause for clause, is_set in every.items() if is_set]

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the conditions."""
        states = None if self.states is None else list(set(self.states))
        return {**vars(self), "states": states}


@dataclass(frozen=True)
class DocumentEditor:
    """Who edits documents: with `all`, any document may be edited, else those of the user and of the actor (`key:ID`)."""

    actor: str
    user_id: UUID | None
    all: bool


async def list_documents(
    db: Db, tenant_id: UUID, where: DocumentFilter, *, limit: int, before: UUID | None = None
) -> list[Document]:
    """Return documents, newest first; `before` is the last id of the previous page."""
    values = where.values | {"tenant_id": tenant_id, "limit": limit, "before": before or LAST_ID}
    if where.states is None or "ready" in where.states:
        clauses = [*where.clauses, "d.id < %(before)s"]
        sql = f"{VIEW} WHERE d.tenant_id = %(tenant_id)s {_and(clauses)} ORDER BY d.id DESC LIMIT %(limit)s"
    else:
        page = NEWEST_IN_STATES.format(clauses=_and(replace(where, states=None).clauses))
        sql = f"{VIEW} JOIN ({page}) AS page ON page.id = d.id WHERE d.tenant_id = %(tenant_id)s ORDER BY d.id DESC"
    return await fetch_all(db, sql, values, into=Document)


async def find_document(db: Db, tenant_id: UUID, document_id: UUID) -> Document | None:
    """Return one document as it is listed."""
    sql = f"{VIEW} WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": document_id}, into=Document)


async def list_documents_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[Document]:
    """Return those of these documents that are there."""
    sql = f"{VIEW} WHERE d.tenant_id = %(tenant_id)s AND d.id = ANY(%(ids)s::uuid[])"
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(ids)}, into=Document)


async def list_ownership(db: Db, tenant_id: UUID, ids: Sequence[UUID], editor: DocumentEditor) -> list[OwnedDocument]:
    """Return those of the documents that the transaction's user can see."""
    values = {"tenant_id": tenant_id, "ids": list(ids), **vars(editor)}
    return await fetch_all(db, OWNERSHIP, values, into=OwnedDocument)


async def list_editable_documents(
    db: Db, tenant_id: UUID, where: DocumentFilter, editor: DocumentEditor, *, limit: int, before: UUID | None = None
) -> list[DocumentSize]:
    """Return matching documents that the editor may edit, newest first; `before` is the last id of the previous page."""
    clauses = [*where.clauses, EDITABLE, *(["d.id < %(before)s"] if before else [])]
    sql = f"""SELECT d.id, d.chunks FROM documents d JOIN document_versions v ON v.tenant_id = d.tenant_id
        AND v.document_id = d.id AND v.version = d.newest_version
      WHERE d.tenant_id = %(tenant_id)s {_and(clauses)} ORDER BY d.id DESC LIMIT %(limit)s"""
    values = where.values | vars(editor) | {"tenant_id": tenant_id, "limit": limit, "before": before}
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
    """Update a document; `share` makes it and its chunks visible to all. False if it doesn't exist. Raises psycopg's
    UniqueViolation, which aborts the transaction, if the collection has a shared document of this name."""
    values = {"tenant_id": tenant_id, "id": document_id, "title": title, "share": share}
    packed = None if metadata is None else Jsonb(dict(metadata))
    await db.execute(ALLOW_LONG_STATEMENTS)
    if await fetch_one(db, CHANGE, {**values, "metadata": packed}) is None:
        return False
    for sql in SHARE if share else ():
        await db.execute(sql, values)
    if share or title is not None:
        await db.execute(INVALIDATE_ANSWERS, values)
    return True


async def cancel_document(db: Db, tenant_id: UUID, document_id: UUID) -> bool:
    """Cancel the ingestion of a document; its worker notices. False if it is neither queued nor running."""
    values = {"tenant_id": tenant_id, "id": document_id}
    row = await fetch_one(db, CANCEL, values)
    if row is not None:
        await db.execute(DELETE_DRAFTS, {**values, "version": row["version"]})
    return row is not None


def retry_statements(
    tenant_id: UUID,
    job_id: UUID,
    *,
    states: Sequence[FileState] = ("failed", "cancelled", "ready"),
    ids: Sequence[UUID] | None = None,
    collection_id: UUID | None = None,
) -> tuple[Statement, ...]:
    """Return the `Submission.extra_statements` of a job that ingests stored files again: they assign it the newest versions of
    these documents, or of all in a collection, that are in one of `states`. The caller has checked permissions. The submit
    raises NothingToRetry if there are none."""
    which = "d.id = ANY(%(ids)s::uuid[])" if ids is not None else "d.collection_id = %(collection_id)s"
    values: dict[str, Any] = {"tenant_id": tenant_id, "job_id": job_id, "states": list(states)}
    values |= {"ids": None if ids is None else list(ids), "collection_id": collection_id}
    return ((RETRY.format(which=which), values), (CHECK_RETRY, values))


async def list_chunks(
    db: Db, tenant_id: UUID, document_id: UUID, *, limit: int, after: int | None = None
) -> list[DocumentChunk]:
    """Return the passages of the live version in order; `after` is the last place of the previous page."""
    values = {"tenant_id": tenant_id, "id": document_id, "limit": limit, "after": -1 if after is None else after}
    return await fetch_all(db, CHUNKS, values, into=DocumentChunk)


async def find_stored_version(
    db: Db, tenant_id: UUID, document_id: UUID, version: int | None = None
) -> StoredVersion | None:
    """Return the stored file of a version: by default the live one, or the newest if none is live."""
    values = {"tenant_id": tenant_id, "id": document_id, "version": version}
    return await fetch_one(db, FIND_STORED, values, into=StoredVersion)


def _and(clauses: Sequence[str]) -> str:
    return "".join(f" AND {clause}" for clause in clauses)
