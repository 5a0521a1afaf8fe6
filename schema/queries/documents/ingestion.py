"""The ingestion of a file: claimed, drafted batch by batch, published or failed.

A file belongs to the job's attempt that claimed it. Every statement compares both, so an old attempt has no effect. Files with
the same bytes are ingested one at a time, even of different jobs, and known vectors are copied: no text is embedded twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.batch import run_batch
from schema.postgres.connections import Db, Pool, fetch_all, fetch_one
from schema.queries.documents.vector_spaces import to_pgvector
from schema.states import FileState

CLAIM_LOCK = 0x48524943  # first half of the advisory lock under which a tenant's files are claimed

HOLDS_JOB = """EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.id = %(job_id)s AND j.state = 'running'
  AND j.attempt = %(attempt)s)"""

LOCK_CLAIMS = "SELECT pg_advisory_xact_lock(%(lock)s, hashtext(%(tenant_id)s::text)) IS NULL AS locked"

CLAIM = f"""
WITH next AS (
  SELECT v.document_id, v.version FROM document_versions v
  WHERE v.tenant_id = %(tenant_id)s AND v.job_id = %(job_id)s AND v.state = 'queued' AND {HOLDS_JOB}
    AND NOT EXISTS (
      SELECT 1 FROM document_versions o JOIN jobs oj ON oj.tenant_id = o.tenant_id AND oj.id = o.job_id
        AND oj.attempt = o.attempt AND oj.state = 'running'
      WHERE o.tenant_id = v.tenant_id AND o.sha256 = v.sha256 AND o.state = 'running')
  ORDER BY v.place LIMIT 1 FOR UPDATE OF v SKIP LOCKED)
UPDATE document_versions v SET state = 'running', attempt = %(attempt)s, tries = v.tries + 1, error = NULL,
  started_at = coalesce(v.started_at, now()), finished_at = NULL,
  deadline_at = now() + make_interval(secs => %(limit_s)s)
FROM next, documents d, collections c
WHERE v.tenant_id = %(tenant_id)s AND v.document_id = next.document_id AND v.version = next.version
  AND d.tenant_id = v.tenant_id AND d.id = v.document_id AND c.tenant_id = d.tenant_id AND c.id = d.collection_id
RETURNING v.document_id, v.version, v.stored_as, v.tries, d.name, c.id AS collection_id, c.chunk_characters,
  c.chunk_overlap, c.embedder, extract(epoch FROM v.deadline_at - now())::float8 AS left_s
"""

# Finished files first, so that a new attempt can publish their events again.
LIST = """
SELECT v.document_id, v.version, v.state, v.error, v.notes, v.chunks, v.embedded, d.name, d.pages
FROM document_versions v JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id
WHERE v.tenant_id = %(tenant_id)s AND v.job_id = %(job_id)s ORDER BY v.finished_at NULLS LAST, v.place
"""

COUNT = """
SELECT count(*) AS total, count(*) FILTER (WHERE state = 'queued') AS queued,
  count(*) FILTER (WHERE state = 'running') AS running, count(*) FILTER (WHERE state = 'ready') AS ready,
  count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled
FROM document_versions WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s
"""

IS_CLAIMED = f"""v.tenant_id = %(tenant_id)s AND v.document_id = %(document_id)s AND v.version = %(version)s
  AND v.job_id = %(job_id)s AND v.attempt = %(attempt)s AND v.state = 'running' AND {HOLDS_JOB}"""

RECORD_CHUNKS = f"""
UPDATE document_versions v SET chunks = %(chunks)s, notes = %(notes)s, media_type = %(media_type)s
WHERE {IS_CLAIMED} RETURNING v.document_id
"""

DELETE_OUTDATED_DRAFTS = """
DELETE FROM chunk_drafts WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version = %(version)s
  AND (space <> %(space)s OR place >= %(chunks)s OR digest <> (%(digests)s::bytea[])[place + 1])
"""

LIST_DRAFTED = """
SELECT place FROM chunk_drafts
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version = %(version)s
"""

DRAFT_ROWS = """
unnest(%(places)s::int[], %(texts)s::text[], %(headings)s::text[], %(pages)s::int[], %(pages_end)s::int[], %(starts)s::int[],
  %(stops)s::int[], %(digests)s::bytea[]) AS g (place, text, heading, page, page_end, start, stop, digest)
"""

ADD = """
INSERT INTO chunk_drafts (tenant_id, document_id, version, place, text, heading, page, page_end, start, stop, digest, space,
  embedding)
SELECT %(tenant_id)s::uuid, %(document_id)s::uuid, %(version)s::int, g.place, g.text, g.heading, g.page, g.page_end, g.start,
  g.stop, g.digest, %(space)s::smallint, known.embedding
"""

# Texts that were embedded before, in any document of the tenant.
ADD_KNOWN = f"""
WITH mine AS (SELECT 1 FROM document_versions v WHERE {IS_CLAIMED} FOR UPDATE OF v),
added AS (
  {ADD}
  FROM mine, {DRAFT_ROWS} CROSS JOIN LATERAL (
    (SELECT cv.embedding FROM chunks k JOIN chunk_vectors cv ON cv.tenant_id = k.tenant_id AND cv.chunk_id = k.id
      AND cv.space = %(space)s::smallint
    WHERE k.tenant_id = %(tenant_id)s::uuid AND k.digest = g.digest LIMIT 1)
    UNION ALL
    (SELECT kd.embedding FROM chunk_drafts kd
    WHERE kd.tenant_id = %(tenant_id)s::uuid AND kd.digest = g.digest AND kd.space = %(space)s::smallint LIMIT 1)
    LIMIT 1) AS known
  ON CONFLICT DO NOTHING RETURNING place),
counted AS (
  UPDATE document_versions v SET drafted = drafted + (SELECT count(*) FROM added) WHERE {IS_CLAIMED})
SELECT place FROM added
"""

ADD_EMBEDDED = f"""
WITH mine AS (SELECT 1 FROM document_versions v WHERE {IS_CLAIMED} FOR UPDATE OF v),
vectors AS (
  SELECT * FROM unnest(%(embedded)s::bytea[], %(vectors)s::text[]) AS x (digest, vector)),
added AS (
  {ADD}
  FROM mine, {DRAFT_ROWS} CROSS JOIN LATERAL (
    SELECT x.vector::halfvec AS embedding FROM vectors x WHERE x.digest = g.digest LIMIT 1) AS known
  ON CONFLICT DO NOTHING RETURNING place),
counted AS (
  UPDATE document_versions v SET drafted = drafted + (SELECT count(*) FROM added),
    embedded = embedded + cardinality(%(embedded)s::bytea[])
  WHERE {IS_CLAIMED})
SELECT (SELECT count(*) FROM mine) AS held
"""

FAIL = f"""
UPDATE document_versions v SET state = 'failed', error = %(error)s, finished_at = now() WHERE {IS_CLAIMED}
RETURNING v.document_id
"""

REQUEUE = f"""
UPDATE document_versions v SET state = 'queued', tries = greatest(v.tries - 1, 0) WHERE {IS_CLAIMED}
"""

DELETE_DRAFTS = """
DELETE FROM chunk_drafts WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND version = %(version)s
"""

RELEASE = """
UPDATE document_versions v SET state = 'queued', tries = greatest(v.tries - 1, 0)
WHERE v.tenant_id = %(tenant_id)s AND v.job_id = %(job_id)s AND v.attempt = %(attempt)s AND v.state = 'running'
"""


class ClaimedFile(msgspec.Struct, frozen=True):
    """A claimed version of a document, with the document's name and the collection's settings. `left_s` is the time until its
    deadline."""

    document_id: UUID
    version: int
    stored_as: str
    tries: int
    name: str
    collection_id: UUID
    chunk_characters: int
    chunk_overlap: int
    embedder: str
    left_s: float


class JobFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a job and its state."""

    document_id: UUID
    version: int
    state: FileState
    error: dict[str, str] | None
    notes: list[str] | None
    chunks: int | None
    embedded: int
    name: str
    pages: int | None


class FileCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many files of a job are in each state, and in all."""

    total: int
    queued: int
    running: int
    ready: int
    failed: int
    cancelled: int


@dataclass(frozen=True)
class FileClaim:
    """The claim of an attempt on a version of a document, which every statement compares."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    document_id: UUID
    version: int

    @property
    def values(self) -> dict[str, Any]:
        """The claim as parameters."""
        return {
            "tenant_id": self.tenant_id,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "document_id": self.document_id,
            "version": self.version,
        }


@dataclass(frozen=True)
class Draft:
    """A chunk in preparation. `digest` is that of its text to embed; `start` and `stop` are its span in the document."""

    place: int
    text: str
    heading: str
    page: int | None
    page_end: int | None
    start: int
    stop: int
    digest: bytes


async def claim_file(pool: Pool, tenant_id: UUID, job_id: UUID, attempt: int, *, limit_s: float) -> ClaimedFile | None:
    """Claim the next file of a job for this attempt, with a deadline in `limit_s`.

    None if no file is queued, or if the bytes of all that are queued are being ingested as another document."""
    values = {"tenant_id": tenant_id, "job_id": job_id, "attempt": attempt, "lock": CLAIM_LOCK, "limit_s": limit_s}
    _, claimed = await run_batch(pool, tenant_id, [(LOCK_CLAIMS, values), (CLAIM, values)])
    return next(iter(claimed.into(ClaimedFile)), None)


async def list_files(db: Db, tenant_id: UUID, job_id: UUID) -> list[JobFile]:
    """Return the files of a job, finished ones first."""
    return await fetch_all(db, LIST, {"tenant_id": tenant_id, "job_id": job_id}, into=JobFile)


async def count_files(db: Db, tenant_id: UUID, job_id: UUID) -> FileCounts:
    """Return how many files of a job are in each state."""
    row = await fetch_one(db, COUNT, {"tenant_id": tenant_id, "job_id": job_id}, into=FileCounts)
    assert row is not None, "count(*) always has a row"
    return row


async def begin_drafts(
    db: Db, file: FileClaim, *, space: int, drafts: Sequence[Draft], notes: Sequence[str], media_type: str
) -> set[int] | None:
    """Record a file's chunks; return the places that an earlier attempt has drafted, None if the attempt no longer holds the
    file."""
    values = file.values | {"space": space, "chunks": len(drafts), "digests": [draft.digest for draft in drafts]}
    values |= {"notes": Jsonb(list(notes)), "media_type": media_type}
    if await fetch_one(db, RECORD_CHUNKS, values) is None:
        return None
    await db.execute(DELETE_OUTDATED_DRAFTS, values)
    return {row["place"] for row in await fetch_all(db, LIST_DRAFTED, values)}


async def add_known(db: Db, file: FileClaim, *, space: int, drafts: Sequence[Draft]) -> set[int]:
    """Draft the chunks whose text was embedded before; return their places."""
    rows = await fetch_all(db, ADD_KNOWN, file.values | {"space": space} | _columns(drafts))
    return {row["place"] for row in rows}


async def add_embedded(
    db: Db, file: FileClaim, *, space: int, drafts: Sequence[Draft], vectors: dict[bytes, Sequence[float]]
) -> bool:
    """Draft chunks with the vectors of their texts, by digest; False if the attempt no longer holds the file."""
    values = file.values | {"space": space} | _columns(drafts)
    values |= {"embedded": list(vectors), "vectors": [to_pgvector(values) for values in vectors.values()]}
    row = await fetch_one(db, ADD_EMBEDDED, values)
    return bool(row and row["held"])


async def fail_file(db: Db, file: FileClaim, error: dict[str, Any]) -> bool:
    """Mark a file as failed, with an error {code, message}; False if the attempt no longer holds it."""
    failed = await fetch_one(db, FAIL, file.values | {"error": Jsonb(error)}) is not None
    if failed:
        await db.execute(DELETE_DRAFTS, file.values)
    return failed


async def requeue_file(db: Db, file: FileClaim) -> None:
    """Requeue a file without spending a try."""
    await db.execute(REQUEUE, file.values)


async def release_files(db: Db, tenant_id: UUID, job_id: UUID, attempt: int) -> None:
    """Requeue the files of an attempt without spending a try."""
    await db.execute(RELEASE, {"tenant_id": tenant_id, "job_id": job_id, "attempt": attempt})


def _columns(drafts: Sequence[Draft]) -> dict[str, list[Any]]:
    return {
        "places": [draft.place for draft in drafts],
        "texts": [draft.text for draft in drafts],
        "headings": [draft.heading for draft in drafts],
        "pages": [draft.page for draft in drafts],
        "pages_end": [draft.page_end for draft in drafts],
        "starts": [draft.start for draft in drafts],
        "stops": [draft.stop for draft in drafts],
        "digests": [draft.digest for draft in drafts],
    }
