"""Publishing a version: one transaction replaces the searched chunks by its drafts."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schema.postgres.connections import ALLOW_LONG_STATEMENTS, Db, fetch_one
from schema.queries.documents.ingestion import IS_CLAIMED, FileClaim

SET_SPACE = """
UPDATE collections SET space = %(space)s WHERE tenant_id = %(tenant_id)s AND id = %(collection_id)s AND space IS NULL
"""

# The collection is locked against a change of its vector space, the document against another version, in the same order as in
# `document_deletion.py`. A newer version that is live has deleted this one's row.
LOCK_COLLECTION = """
SELECT space FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(collection_id)s FOR SHARE
"""
LOCK_DOCUMENT = "SELECT user_id FROM documents WHERE tenant_id = %(tenant_id)s AND id = %(document_id)s FOR UPDATE"
LOCK_VERSION = f"""
SELECT (SELECT count(*) FROM chunk_drafts k WHERE k.tenant_id = v.tenant_id AND k.document_id = v.document_id
  AND k.version = v.version AND k.space = %(space)s) AS drafted
FROM document_versions v WHERE {IS_CLAIMED} FOR UPDATE OF v
"""

DELETE_OLD_CHUNKS = "DELETE FROM chunks WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s"

MOVE_DRAFTS = """
WITH drafts AS (
  DELETE FROM chunk_drafts WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version = %(version)s
  RETURNING *),
named AS MATERIALIZED (SELECT uuidv7() AS id, * FROM drafts ORDER BY place),
moved AS (
  INSERT INTO chunks (tenant_id, id, document_id, collection_id, user_id, place, text, heading, page, page_end, start, stop,
    digest)
  SELECT tenant_id, id, document_id, %(collection_id)s::uuid, %(user_id)s::uuid, place, text, heading, page, page_end, start,
    stop, digest FROM named)
INSERT INTO chunk_vectors (tenant_id, chunk_id, space, document_id, collection_id, user_id, embedding)
SELECT tenant_id, id, %(space)s::smallint, document_id, %(collection_id)s::uuid, %(user_id)s::uuid, embedding FROM named
"""

SET_LIVE = """
UPDATE documents SET live_version = %(version)s, title = %(title)s, language = %(language)s, pages = %(pages)s,
  characters = %(characters)s, chunks = %(chunks)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(document_id)s
"""

MARK_READY = """
UPDATE document_versions SET state = 'ready', finished_at = now(), error = NULL
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version = %(version)s RETURNING embedded
"""

DELETE_OLD_VERSIONS = """
DELETE FROM document_versions
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version < %(version)s
"""


@dataclass(frozen=True)
class DocumentFacts:
    """What reading a version found out about its document."""

    title: str
    language: str | None
    pages: int | None
    characters: int
    chunks: int


class EmbedderChanged(Exception):
    """The collection's embedder was changed while the file was being embedded."""


async def publish(db: Db, file: FileClaim, collection_id: UUID, facts: DocumentFacts, *, space: int) -> int | None:
    """Make a version live, all of whose chunks are drafted in `space`; return how many were embedded for it. None if the
    attempt no longer holds the file, or a newer version is live. Raises EmbedderChanged; then roll back."""
    values: dict[str, Any] = file.values | {"space": space, "collection_id": collection_id, **vars(facts)}
    await db.execute(ALLOW_LONG_STATEMENTS)
    await db.execute(SET_SPACE, values)
    collection = await fetch_one(db, LOCK_COLLECTION, values)
    document = await fetch_one(db, LOCK_DOCUMENT, values)
    version = await fetch_one(db, LOCK_VERSION, values)
    if collection is None or document is None or version is None:
        return None
    if collection["space"] != space:
        raise EmbedderChanged
    assert version["drafted"] == facts.chunks, "all chunks must be drafted before a file is published"
    values["user_id"] = document["user_id"]
    await db.execute(DELETE_OLD_CHUNKS, values)
    await db.execute(MOVE_DRAFTS, values)
    await db.execute(SET_LIVE, values)
    await db.execute(DELETE_OLD_VERSIONS, values)
    ready = await fetch_one(db, MARK_READY, values)
    return ready["embedded"] if ready else None
