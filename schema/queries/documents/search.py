"""Searching chunks: what may be searched, the nearest vectors of one space, the passages that hold a query's words.

Every statement is confined twice: by row-level security, and by its own words to the tenant, to documents that are shared, and
to the reader's own. Another person's private documents are never found, whatever role asks.

Vectors are found in one of two ways. Few chunks are compared one by one: exact, and faster than an index that would have to
skip everybody else's. Many are found by the space's HNSW index, which goes on (`hnsw.iterative_scan`) until enough of what it
passes lies within the scope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_all, fetch_one
from schema.queries.documents.vector_spaces import vector
from schema.queries.statements import read_sql

SMALL = 2_000
"""Chunks that are always compared one by one. Of larger scopes the cheaper way is taken, by these costs:"""
COMPARED_US, PASSED_US, STARTED_US = 1.7, 8.0, 2_500.0
"""Microseconds to compare a chunk, to pass one in the index, and to begin with the index, for 384 dimensions
(`tests/bench/search.py` measures both ways). An index must pass the more, the less of it lies within the scope."""
MOST_DOCUMENTS = 100_000
"""Documents that a filter may leave; 1.6 MB of ids."""
LOOKED_AT = 5_000
"""Documents whose chunks are added up to know how large a scope is; there may be more in it then."""
EF_SEARCH = 150
MAX_SCAN_TUPLES = 20_000
MOST_WORDS = 48
COUNTED = 1_000
"""Up to how many passages with a word are counted; one that has more is common."""
RANKED = 5_000
"""Passages that are ranked by their words at most. More have all words only where all of them are common."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What documents must be like. `metadata`: each key must have the value, or one of those in a list; a document whose value
    is a list has each of its items. `created_after` is included, `created_before` is not."""

    documents: Sequence[UUID] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any((self.documents is not None, self.created_after, self.created_before, self.language, self.metadata))


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is searched. `collections` None is all of the tenant's; `documents`, a Postgres array as text, those that filters
    left, None without any. `chunks` is about how many there are."""

    tenant_id: UUID
    reader: UUID | None
    collections: Sequence[UUID] | None = None
    documents: str | None = None
    found: int = 0
    chunks: int = 0

    def values(self) -> dict[str, Any]:
        """Return the parameters that SEEN names."""
        collections = None if self.collections is None else list(self.collections)
        return {
            "tenant_id": self.tenant_id,
            "reader": self.reader,
            "collections": collections,
            "documents": self.documents,
        }


@dataclass(frozen=True)
class Space:
    """A vector space: its row in `vector_spaces`."""

    id: int
    name: str
    dimensions: int


@dataclass(frozen=True)
class SearchableCollection:
    """A collection that may be searched; it is in no space where no document has been ready yet."""

    id: UUID
    name: str
    embedder: str
    space: Space | None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found, and how near it is or how well it matches."""

    chunk_id: UUID
    score: float


class QueryWords(msgspec.Struct, frozen=True, kw_only=True):
    """The words of a query and then its phrases as tsqueries, which of them are phrases, in how many of the reader's passages
    each is (COUNTED at most), and how many passages the tenant has."""

    words: list[str]
    phrases: list[bool]
    counts: list[int]
    chunks: int


class StoredPassage(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a chunk. `covered` is the sum of the weights of the words that it holds."""

    chunk_id: UUID
    document_id: UUID
    collection_id: UUID
    place: int
    text: str
    heading: str
    page: int | None
    page_end: int | None
    start: int
    stop: int
    digest: bytes
    document: str
    title: str
    metadata: dict[str, Any]
    created_at: datetime
    source_url: str | None
    private: bool
    collection: str
    covered: float


COLLECTIONS = """
SELECT c.id, c.name, c.embedder, c.space, s.name AS space_name, s.dimensions
FROM collections c LEFT JOIN vector_spaces s ON s.id = c.space WHERE c.tenant_id = %(tenant_id)s ORDER BY c.name
"""

# A value that is asked for is the document's, or one of the document's list; of a list that is asked for one is enough.
FITS = """
d.tenant_id = %(tenant_id)s AND d.live_version IS NOT NULL AND (d.user_id IS NULL OR d.user_id = %(reader)s::uuid)
AND (%(collections)s::uuid[] IS NULL OR d.collection_id = ANY (%(collections)s::uuid[]))
AND (%(ids)s::uuid[] IS NULL OR d.id = ANY (%(ids)s::uuid[]))
AND (%(created_after)s::timestamptz IS NULL OR d.created_at >= %(created_after)s)
AND (%(created_before)s::timestamptz IS NULL OR d.created_at < %(created_before)s)
AND (%(language)s::text IS NULL OR d.language = %(language)s)
AND NOT EXISTS (SELECT 1 FROM jsonb_each(%(metadata)s::jsonb) AS asked (key, value) WHERE NOT EXISTS (
  SELECT 1 FROM jsonb_array_elements(
    CASE jsonb_typeof(asked.value) WHEN 'array' THEN asked.value ELSE jsonb_build_array(asked.value) END) AS one (value)
  WHERE d.metadata @> jsonb_build_object(asked.key, one.value)
    OR d.metadata @> jsonb_build_object(asked.key, jsonb_build_array(one.value))))
"""
FILTERED = read_sql("filter_documents", FITS=FITS, MOST=str(MOST_DOCUMENTS + 1))
UNFILTERED = read_sql("count_searchable", FITS=FITS, SMALL=str(SMALL), LOOKED_AT=str(LOOKED_AT))
INDEXED = """
SELECT c.reltuples AS chunks FROM pg_class c WHERE c.oid = (
  SELECT v.tableoid FROM chunk_vectors v WHERE v.space = {space} AND v.tenant_id = %(tenant_id)s LIMIT 1)
"""
UNKNOWN_DOCUMENTS = """
SELECT i.id FROM unnest(%(ids)s::uuid[]) AS i (id) WHERE NOT EXISTS (
  SELECT 1 FROM documents d WHERE d.tenant_id = %(tenant_id)s AND d.id = i.id
    AND (d.user_id IS NULL OR d.user_id = %(reader)s::uuid))
"""

SEEN = """
v.tenant_id = %(tenant_id)s AND (v.user_id IS NULL OR v.user_id = %(reader)s::uuid)
AND (%(collections)s::uuid[] IS NULL OR v.collection_id = ANY (%(collections)s::uuid[]))
AND (%(documents)s::uuid[] IS NULL OR v.document_id = ANY (%(documents)s::uuid[]))
"""
DISTANCE = "(v.embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}))"
# The distance of a CTE is not what an index is sorted by, so this can't use one.
EXACT_NEAREST = """
WITH compared AS MATERIALIZED (
  SELECT v.chunk_id, {distance} AS distance FROM chunk_vectors v WHERE v.space = {space} AND {seen})
SELECT chunk_id, 1 - distance AS score FROM compared ORDER BY distance, chunk_id LIMIT %(most)s
"""
# The index gives its rows nearly in order (`relaxed_order`), so they are sorted once more.
INDEXED_NEAREST = """
WITH near AS MATERIALIZED (
  SELECT v.chunk_id, {distance} AS distance FROM chunk_vectors v WHERE v.space = {space} AND {seen}
  ORDER BY {distance} LIMIT %(most)s)
SELECT chunk_id, 1 - distance AS score FROM near ORDER BY distance, chunk_id
"""
# Values decide which partition and which index are read, so this is planned for them, and so that nothing else is sorted.
TUNED = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %(ef_search)s::text, true),
  set_config('hnsw.max_scan_tuples', %(max_scan_tuples)s::text, true), set_config('enable_sort', %(sort)s, true),
  set_config('enable_bitmapscan', %(sort)s, true), set_config('plan_cache_mode', 'force_custom_plan', true)
"""

# A lexeme as tsquery reads it: quoted, so that nothing in it is an operator.
QUOTED = r"('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery"
WORDS = read_sql("read_query_words", QUOTED=QUOTED, MOST_WORDS=str(MOST_WORDS), COUNTED=str(COUNTED))
FIND = f"""
SELECT chunk_id, score FROM find_words(%(any_of)s::tsquery, %(words)s::text[]::tsquery[], %(weights)s::real[],
  %(reader)s::uuid, %(collections)s::uuid[], %(documents)s::uuid[], {RANKED}, %(most)s)
"""
PASSAGES = read_sql("read_passages")
VECTORS = """
SELECT v.chunk_id, v.embedding::real[] AS embedding FROM chunk_vectors v
WHERE v.space = {space} AND v.tenant_id = %(tenant_id)s AND v.chunk_id = ANY (%(ids)s::uuid[])
  AND (v.user_id IS NULL OR v.user_id = %(reader)s::uuid)
"""


async def list_searchable(db: Db, tenant_id: UUID) -> list[SearchableCollection]:
    """Return the tenant's collections by name."""
    return [_searchable(row) for row in await fetch_all(db, COLLECTIONS, {"tenant_id": tenant_id})]


def _searchable(row: Mapping[str, Any]) -> SearchableCollection:
    space = None if row["space"] is None else Space(row["space"], row["space_name"], row["dimensions"])
    return SearchableCollection(row["id"], row["name"], row["embedder"], space)


async def list_unknown_documents(db: Db, tenant_id: UUID, reader: UUID | None, ids: Sequence[UUID]) -> list[UUID]:
    """Return those of `ids` that this reader has no document of."""
    rows = await fetch_all(db, UNKNOWN_DOCUMENTS, {"tenant_id": tenant_id, "reader": reader, "ids": list(ids)})
    return [row["id"] for row in rows]


async def find_scope(
    db: Db, tenant_id: UUID, reader: UUID | None, *, collections: Sequence[UUID] | None, filters: Filters
) -> Scope:
    """Return what these filters leave of these collections. With more than MOST_DOCUMENTS `found`, it is not all of it."""
    values = {
        "tenant_id": tenant_id,
        "reader": reader,
        "collections": None if collections is None else list(collections),
        "ids": None if filters.documents is None else list(filters.documents),
        "created_after": filters.created_after,
        "created_before": filters.created_before,
        "language": filters.language,
        "metadata": Jsonb(dict(filters.metadata)),
    }
    found = await fetch_one(db, FILTERED if filters else UNFILTERED, values)
    return Scope(tenant_id=tenant_id, reader=reader, collections=collections, **(found or {}))


async def find_nearest(
    db: Db, scope: Scope, space: Space, query: Sequence[float], *, most: int, exact: bool | None = None
) -> list[Hit]:
    """Return the `most` nearest chunks of a space, best first; `score` is the cosine.

    `exact` says whether to compare one by one; None lets the sizes of scope and index decide. Changes settings of the
    transaction.
    """
    if exact is None:
        exact = scope.chunks <= SMALL or await _is_cheaper_exact(db, scope, space, most)
    rows = await _nearest(db, scope, space, query, most=most, exact=exact)
    if not exact and len(rows) < most:  # so little of what the index passed was within the scope that it gave up
        rows = await _nearest(db, scope, space, query, most=most, exact=True)
    return rows


async def _is_cheaper_exact(db: Db, scope: Scope, space: Space, most: int) -> bool:
    """Whether comparing all costs less than what the index must pass until `most` of it are within the scope."""
    row = await fetch_one(db, INDEXED.format(space=int(space.id)), {"tenant_id": scope.tenant_id})
    indexed = max(scope.chunks, row["chunks"] if row else 0)
    passed = most * indexed / scope.chunks
    return scope.chunks * COMPARED_US < STARTED_US + passed * PASSED_US


async def _nearest(db: Db, scope: Scope, space: Space, query: Sequence[float], *, most: int, exact: bool) -> list[Hit]:
    tuning = {"ef_search": max(EF_SEARCH, most), "max_scan_tuples": MAX_SCAN_TUPLES, "sort": "on" if exact else "off"}
    await db.execute(TUNED, tuning)
    form = EXACT_NEAREST if exact else INDEXED_NEAREST
    distance = DISTANCE.format(dimensions=int(space.dimensions))
    sql = form.format(distance=distance, space=int(space.id), seen=SEEN)
    values = {**scope.values(), "vector": vector(query), "most": most}
    # Not prepared: a plan that was kept would not heed the settings.
    return await fetch_all(db, sql, values, into=Hit, prepare=False)


async def read_words(db: Db, tenant_id: UUID, reader: UUID | None, query: str, phrases: Sequence[str]) -> QueryWords:
    """Return the words and the phrases of a query; none where nothing in it is a word."""
    values = {"tenant_id": tenant_id, "reader": reader, "query": query, "phrases": list(phrases)}
    row = await fetch_one(db, WORDS, values)
    assert row is not None  # an aggregate, NULL for no words
    return QueryWords(
        **{name: value or [] for name, value in row.items() if name != "chunks"}, chunks=row["chunks"] or 0
    )


async def find_words(
    db: Db, scope: Scope, *, any_of: str, words: Sequence[str], weights: Sequence[float], most: int
) -> list[Hit]:
    """Return the `most` passages that match the tsquery `any_of`, those with the weightier words first."""
    values = {**scope.values(), "any_of": any_of, "words": list(words), "weights": list(weights), "most": most}
    return await fetch_all(db, FIND, values, into=Hit)


async def read_passages(
    db: Db, tenant_id: UUID, reader: UUID | None, ids: Sequence[UUID], words: Sequence[str], weights: Sequence[float]
) -> dict[UUID, StoredPassage]:
    """Return what is to be shown of these chunks, by id, of those that are still there."""
    values = {
        "tenant_id": tenant_id,
        "reader": reader,
        "ids": list(ids),
        "words": list(words),
        "weights": list(weights),
    }
    return {row.chunk_id: row for row in await fetch_all(db, PASSAGES, values, into=StoredPassage)}


async def read_vectors(
    db: Db, tenant_id: UUID, reader: UUID | None, space: Space, ids: Sequence[UUID]
) -> dict[UUID, list[float]]:
    """Return the vectors of these chunks in a space, by id."""
    values = {"tenant_id": tenant_id, "reader": reader, "ids": list(ids)}
    rows = await fetch_all(db, VECTORS.format(space=int(space.id)), values)
    return {row["chunk_id"]: row["embedding"] for row in rows}
