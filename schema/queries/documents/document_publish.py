"""Making a version live: in one transaction its drafts become what is searched, and what was searched before goes."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schema.db import LONG, Db, fetch_one
from schema.queries.documents.ingestion import MINE, File

SEARCHED_IN = """
UPDATE collections SET space = %(space)s WHERE tenant_id = %(tenant_id)s AND id = %(collection_id)s AND space IS NULL
"""

# The collection is locked against a change of its vector space, the document against another version: in the order in which
# whoever deletes locks them. A newer version that became live has removed this one's row.
LOCK_COLLECTION = """
SELECT space FROM collections WHERE tenant_id = %(tenant_id)s AND id = %(collection_id)s FOR SHARE
"""
LOCK_DOCUMENT = "SELECT user_id FROM documents WHERE tenant_id = %(tenant_id)s AND id = %(document_id)s FOR UPDATE"
LOCK_VERSION = f"""
SELECT (SELECT count(*) FROM chunk_drafts k WHERE k.tenant_id = v.tenant_id AND k.document_id = v.document_id
  AND k.version = v.version AND k.space = %(space)s) AS drafted
FROM document_versions v WHERE {MINE} FOR UPDATE OF v
"""

DROP_OLD = "DELETE FROM chunks WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s"

MOVE = """
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

LIVE = """
UPDATE documents SET live_version = %(version)s, title = %(title)s, language = %(language)s, pages = %(pages)s,
  characters = %(characters)s, chunks = %(chunks)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(document_id)s
"""

READY = """
UPDATE document_versions SET state = 'ready', finished_at = now(), error = NULL
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version = %(version)s RETURNING embedded
"""

DROP_OLD_VERSIONS = """
DELETE FROM document_versions
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version < %(version)s
"""


@dataclass(frozen=True)
class Facts:
    """What a version came to."""

    title: str
    language: str | None
    pages: int | None
    characters: int
    chunks: int


class SpaceChanged(Exception):
    """The collection's embedder was changed while the file was embedded with the old one."""


async def publish(db: Db, file: File, collection_id: UUID, facts: Facts, *, space: int) -> int | None:
    """Make a version live whose chunks are all drafted in `space`; return how many of them were embedded for it. None if the
    file is no longer this attempt's, or a newer version is live. Raises SpaceChanged; then nothing must be committed."""
    values: dict[str, Any] = file.values | {"space": space, "collection_id": collection_id, **vars(facts)}
    await db.execute(LONG)
    await db.execute(SEARCHED_IN, values)
    collection = await fetch_one(db, LOCK_COLLECTION, values)
    document = await fetch_one(db, LOCK_DOCUMENT, values)
    version = await fetch_one(db, LOCK_VERSION, values)
    if collection is None or document is None or version is None:
        return None
    if collection["space"] != space:
        raise SpaceChanged
    assert version["drafted"] == facts.chunks, "a file is published when all of it is drafted"
    values["user_id"] = document["user_id"]
    await db.execute(DROP_OLD, values)
    await db.execute(MOVE, values)
    await db.execute(LIVE, values)
    await db.execute(DROP_OLD_VERSIONS, values)
    ready = await fetch_one(db, READY, values)
    return ready["embedded"] if ready else None
