"""Searching chunks: what may be searched, the nearest vectors of one space, and the passages that contain a query's words.

Every statement is restricted twice, by row-level security and by its own conditions: to the tenant, its shared documents, and
the reader's own. Private documents of other users are never found, whatever the caller's role.

Vectors are found in one of two ways. A few chunks are compared one by one: exact, and faster than an index that has to skip
all others. Many are found by the space's HNSW index, which continues (`hnsw.iterative_scan`) until enough results are within
the scope.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.documents.vector_spaces import to_pgvector
from schema.queries.statements import read_sql

ALWAYS_EXACT_CHUNKS = 2_000
"""Scopes of up to this many chunks are always compared one by one. For larger ones the costs are estimated:"""
COMPARE_US, INDEX_VISIT_US, INDEX_START_US = 1.7, 8.0, 2_500.0
"""Microseconds to compare a chunk, to visit one in the index, and to start an index scan, for 384 dimensions
(measured by `tests/bench/benchmarks/search.py`). The smaller the scope's share of the index, the more chunks are visited."""
MAX_DOCUMENTS = 100_000
"""How many documents a filter may match; 1.6 MB of ids."""
MAX_COUNTED_DOCUMENTS = 5_000
"""How many documents are added up to estimate the size of a scope."""
EF_SEARCH = 150
MAX_SCAN_TUPLES = 20_000
MAX_WORDS = 48
MAX_WORD_COUNT = 1_000
"""Passages with a word are counted up to this number."""
MAX_RANKED = 5_000
"""How many passages are ranked by their words. More than that can only match if all words are common."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Conditions on documents. `metadata`: each key must have the value, or one of those in a list; a document whose value is a
    list has each of its items. `created_after` is inclusive, `created_before` exclusive."""

    documents: Sequence[UUID] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __bool__(self) -> bool:
        return any((self.documents is not None, self.created_after, self.created_before, self.language, self.metadata))


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is searched. `collections` None is all of the tenant's. `documents`, a Postgres array as text, are those that match
    the filters, None without filters; `found` is their number. `chunks` is the approximate number of chunks."""

    tenant_id: UUID
    reader: UUID | None
    collections: Sequence[UUID] | None = None
    documents: str | None = None
    found: int = 0
    chunks: int = 0

    def values(self) -> dict[str, Any]:
        """Return the parameters of IN_SCOPE."""
        collections = None if self.collections is None else list(self.collections)
        return {
            "tenant_id": self.tenant_id,
            "reader": self.reader,
            "collections": collections,
            "documents": self.documents,
        }


@dataclass(frozen=True)
class Space:
    """A row of `vector_spaces`."""

    id: int
    name: str
    dimensions: int


@dataclass(frozen=True)
class SearchableCollection:
    """A collection that can be searched. It has no space before its first document is ready."""

    id: UUID
    name: str
    embedder: str
    space: Space | None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that was found; `score` is its cosine or how well its words match."""

    chunk_id: UUID
    score: float


class QueryWords(msgspec.Struct, frozen=True, kw_only=True):
    """The words of a query, then its phrases, as tsqueries; which of them are phrases; how many of the reader's passages
    contain each (MAX_WORD_COUNT at most); and how many passages the tenant has."""

    words: list[str]
    phrases: list[bool]
    counts: list[int]
    chunks: int


class StoredPassage(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk with its document. `covered` is the sum of the weights of the words that it contains."""

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


LIST_COLLECTIONS = """
SELECT c.id, c.name, c.embedder, c.space, s.name AS space_name, s.dimensions
FROM collections c LEFT JOIN vector_spaces s ON s.id = c.space WHERE c.tenant_id = %(tenant_id)s ORDER BY c.name
"""

# A value that is asked for is the document's, or one of the document's list; of a list that is asked for one is enough.
MATCHES = """
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
FILTER_DOCUMENTS = read_sql("filter_documents", MATCHES=MATCHES, LIMIT=str(MAX_DOCUMENTS + 1))
COUNT_SEARCHABLE = read_sql(
    "count_searchable",
    MATCHES=MATCHES,
    ALWAYS_EXACT_CHUNKS=str(ALWAYS_EXACT_CHUNKS),
    MAX_COUNTED_DOCUMENTS=str(MAX_COUNTED_DOCUMENTS),
)
COUNT_INDEXED = """
SELECT c.reltuples AS chunks FROM pg_class c WHERE c.oid = (
  SELECT v.tableoid FROM chunk_vectors v WHERE v.space = {space} AND v.tenant_id = %(tenant_id)s LIMIT 1)
"""
UNKNOWN_DOCUMENTS = """
SELECT i.id FROM unnest(%(ids)s::uuid[]) AS i (id) WHERE NOT EXISTS (
  SELECT 1 FROM documents d WHERE d.tenant_id = %(tenant_id)s AND d.id = i.id
    AND (d.user_id IS NULL OR d.user_id = %(reader)s::uuid))
"""

IN_SCOPE = """
v.tenant_id = %(tenant_id)s AND (v.user_id IS NULL OR v.user_id = %(reader)s::uuid)
AND (%(collections)s::uuid[] IS NULL OR v.collection_id = ANY (%(collections)s::uuid[]))
AND (%(documents)s::uuid[] IS NULL OR v.document_id = ANY (%(documents)s::uuid[]))
"""
DISTANCE = "(v.embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions}))"
# Sorted by the distance from the CTE, so this can't use an index.
EXACT_NEAREST = """
WITH compared AS MATERIALIZED (
  SELECT v.chunk_id, {distance} AS distance FROM chunk_vectors v WHERE v.space = {space} AND {in_scope})
SELECT chunk_id, 1 - distance AS score FROM compared ORDER BY distance, chunk_id LIMIT %(limit)s
"""
# The index returns rows nearly in order (`relaxed_order`), so they are sorted again.
INDEXED_NEAREST = """
WITH near AS MATERIALIZED (
  SELECT v.chunk_id, {distance} AS distance FROM chunk_vectors v WHERE v.space = {space} AND {in_scope}
  ORDER BY {distance} LIMIT %(limit)s)
SELECT chunk_id, 1 - distance AS score FROM near ORDER BY distance, chunk_id
"""
# The values determine the partition and index, so a custom plan is needed, and one that doesn't sort a scan of the table.
CONFIGURE_SCAN = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %(ef_search)s::text, true),
  set_config('hnsw.max_scan_tuples', %(max_scan_tuples)s::text, true), set_config('enable_sort', %(sort)s, true),
  set_config('enable_bitmapscan', %(sort)s, true), set_config('plan_cache_mode', 'force_custom_plan', true)
"""

# A lexeme as a tsquery literal: quoted, so that nothing in it is an operator.
QUOTED_LEXEME = r"('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery"
READ_WORDS = read_sql(
    "read_query_words", QUOTED_LEXEME=QUOTED_LEXEME, MAX_WORDS=str(MAX_WORDS), MAX_WORD_COUNT=str(MAX_WORD_COUNT)
)
FIND_BY_WORDS = f"""
SELECT chunk_id, score FROM find_words(%(candidates)s::tsquery, %(words)s::text[]::tsquery[], %(weights)s::real[],
  %(reader)s::uuid, %(collections)s::uuid[], %(documents)s::uuid[], {MAX_RANKED}, %(limit)s)
"""
READ_PASSAGES = read_sql("read_passages")
READ_VECTORS = """
SELECT v.chunk_id, v.embedding::real[] AS embedding FROM chunk_vectors v
WHERE v.space = {space} AND v.tenant_id = %(tenant_id)s AND v.chunk_id = ANY (%(ids)s::uuid[])
  AND (v.user_id IS NULL OR v.user_id = %(reader)s::uuid)
"""


async def list_searchable(db: Db, tenant_id: UUID) -> list[SearchableCollection]:
    """Return the tenant's collections by name."""
    return [_searchable(row) for row in await fetch_all(db, LIST_COLLECTIONS, {"tenant_id": tenant_id})]


def _searchable(row: Mapping[str, Any]) -> SearchableCollection:
    space = None if row["space"] is None else Space(row["space"], row["space_name"], row["dimensions"])
    return SearchableCollection(row["id"], row["name"], row["embedder"], space)


async def list_unknown_documents(db: Db, tenant_id: UUID, reader: UUID | None, ids: Sequence[UUID]) -> list[UUID]:
    """Return those of `ids` that are not documents of this reader."""
    rows = await fetch_all(db, UNKNOWN_DOCUMENTS, {"tenant_id": tenant_id, "reader": reader, "ids": list(ids)})
    return [row["id"] for row in rows]


async def find_scope(
    db: Db, tenant_id: UUID, reader: UUID | None, *, collections: Sequence[UUID] | None, filters: Filters
) -> Scope:
    """Return the scope of these collections and filters. It is incomplete if `found` is more than MAX_DOCUMENTS."""
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
    found = await fetch_one(db, FILTER_DOCUMENTS if filters else COUNT_SEARCHABLE, values)
    return Scope(tenant_id=tenant_id, reader=reader, collections=collections, **(found or {}))


async def find_nearest(
    db: Db, scope: Scope, space: Space, query: Sequence[float], *, limit: int, exact: bool | None = None
) -> list[Hit]:
    """Return the `limit` nearest chunks of a space, best first; `score` is the cosine.

    `exact` says whether to compare one by one; None decides by the sizes of scope and index. Changes settings of the
    transaction.
    """
    if exact is None:
        exact = scope.chunks <= ALWAYS_EXACT_CHUNKS or await _is_cheaper_exact(db, scope, space, limit)
    rows = await _nearest(db, scope, space, query, limit=limit, exact=exact)
    if not exact and len(rows) < limit:  # the index scan gave up before it found enough in the scope
        rows = await _nearest(db, scope, space, query, limit=limit, exact=True)
    return rows


async def _is_cheaper_exact(db: Db, scope: Scope, space: Space, limit: int) -> bool:
    """Whether comparing all chunks costs less than visiting the index until `limit` are within the scope."""
    row = await fetch_one(db, COUNT_INDEXED.format(space=int(space.id)), {"tenant_id": scope.tenant_id})
    indexed = max(scope.chunks, row["chunks"] if row else 0)
    visits = limit * indexed / scope.chunks
    return scope.chunks * COMPARE_US < INDEX_START_US + visits * INDEX_VISIT_US


async def _nearest(db: Db, scope: Scope, space: Space, query: Sequence[float], *, limit: int, exact: bool) -> list[Hit]:
    tuning = {"ef_search": max(EF_SEARCH, limit), "max_scan_tuples": MAX_SCAN_TUPLES, "sort": "on" if exact else "off"}
    await db.execute(CONFIGURE_SCAN, tuning)
    form = EXACT_NEAREST if exact else INDEXED_NEAREST
    distance = DISTANCE.format(dimensions=int(space.dimensions))
    sql = form.format(distance=distance, space=int(space.id), in_scope=IN_SCOPE)
    values = {**scope.values(), "vector": to_pgvector(query), "limit": limit}
    # Not prepared: a cached plan would ignore the settings.
    return await fetch_all(db, sql, values, into=Hit, prepare=False)


async def read_words(db: Db, tenant_id: UUID, reader: UUID | None, query: str, phrases: Sequence[str]) -> QueryWords:
    """Return the words and phrases of a query; empty if it has no words."""
    values = {"tenant_id": tenant_id, "reader": reader, "query": query, "phrases": list(phrases)}
    words = await fetch_one(db, READ_WORDS, values, into=QueryWords)
    assert words is not None, "an aggregate always has a row"
    return words


async def find_by_words(
    db: Db, scope: Scope, *, candidates: str, words: Sequence[str], weights: Sequence[float], limit: int
) -> list[Hit]:
    """Return the `limit` best passages that match the tsquery `candidates`, ranked by the weights of their words."""
    values = {
        **scope.values(),
        "candidates": candidates,
        "words": list(words),
        "weights": list(weights),
        "limit": limit,
    }
    return await fetch_all(db, FIND_BY_WORDS, values, into=Hit)


async def read_passages(
    db: Db, tenant_id: UUID, reader: UUID | None, ids: Sequence[UUID], words: Sequence[str], weights: Sequence[float]
) -> dict[UUID, StoredPassage]:
    """Return these chunks by id; deleted ones are left out."""
    values = {
        "tenant_id": tenant_id,
        "reader": reader,
        "ids": list(ids),
        "words": list(words),
        "weights": list(weights),
    }
    return {row.chunk_id: row for row in await fetch_all(db, READ_PASSAGES, values, into=StoredPassage)}


async def read_vectors(
    db: Db, tenant_id: UUID, reader: UUID | None, space: Space, ids: Sequence[UUID]
) -> dict[UUID, list[float]]:
    """Return the vectors of these chunks in a space, by id."""
    values = {"tenant_id": tenant_id, "reader": reader, "ids": list(ids)}
    rows = await fetch_all(db, READ_VECTORS.format(space=int(space.id)), values)
    return {row["chunk_id"]: row["embedding"] for row in rows}
