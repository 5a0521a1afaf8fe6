"""A search: by vectors and by words, fused by rank, deduplicated, with a verdict whether the passages answer the query.

scope ─┬─ words: lexemes, their weights, passages that contain them ─────┬─ fuse ranks ─ (re-rank) ─ deduplicate ─ (MMR)
       └─ the query's vector: nearest passages, a list for each space ───┘

No database connection is held while a query is embedded. If that fails, only words are searched, and the result says so.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any
from uuid import UUID

import msgspec
import structlog

from graphs.language.detection import detect_language
from schema.errors import HeadraceError, InputError
from schema.metrics.catalog import RETRIEVAL
from schema.postgres.connections import Db, Pool, tenant_tx
from schema.queries.documents.search import (
    Scope,
    StoredPassage,
    find_by_words,
    find_nearest,
    read_passages,
    read_vectors,
    read_words,
)
from schema.tracing import attributes as names
from schema.tracing.content import as_json
from schema.tracing.spans import records_content, span
from workers.retrieval.query_terms import QueryTerms, read_query, weigh_terms
from workers.retrieval.rank_fusion import RankedList, deduplicate, diversify, fuse, ranks_by_id
from workers.retrieval.relevance import is_answered
from workers.retrieval.request import Embedder, FoundPassage, SearchRequest, SearchResult
from workers.retrieval.reranking import MAX_RERANKED, Reranker
from workers.retrieval.scope import ResolvedScope, narrow, resolve_scope

log = structlog.get_logger()

ONLY_WORDS = "Only words were searched, because the query could not be embedded:"
DEPTH = 50
"""How many hits of each list are fused, at least."""
LANGUAGES_DEPTH = 3
"""An embedder of many languages is asked for so many times as many: those of the question's language come first."""
VECTOR_WEIGHT, TEXT_WEIGHT, TRUST_EXPONENT = 1.0, 2.5, 3.0
"""Fitted on one half of `tests/retrieval`. A passage with all of the query's words counts for more than the nearest one; with
half of them by weight, it counts for a third of that (0.5 ** TRUST_EXPONENT * TEXT_WEIGHT)."""

Vectors = Mapping[UUID, Sequence[float]]


@dataclass
class Candidates:
    """What the lists found. `cosines` are by passage, `nearest` by the name of the space; `vectors` has an entry per
    space. `crossing` were found by an embedder of many languages."""

    lists: list[RankedList] = field(default_factory=list)
    cosines: dict[UUID, float] = field(default_factory=dict)
    nearest: dict[str, list[float]] = field(default_factory=dict)
    crossing: set[UUID] = field(default_factory=set)
    vectors: list[Vectors] = field(default_factory=list)
    passages: list[FoundPassage] = field(default_factory=list)


class Searcher:
    """Searches the documents of any tenant. `reranker` is None if none is configured."""

    def __init__(self, pool: Pool, embedder: Embedder, reranker: Reranker | None = None) -> None:
        self.pool, self._embedder, self.reranker = pool, embedder, reranker

    async def search(self, request: SearchRequest) -> SearchResult:
        """Return the `k` best passages. Raises NotFound for a collection or document that the reader can't see, InputError if
        re-ranking is not available and, in mode `vector`, the errors of embedding."""
        began = time.perf_counter()
        try:
            with span(names.RETRIEVAL, attributes=_attributes(request)) as this:
                result = await self._search(request)
                this.set({names.PASSAGES: len(result.passages)})
                return result
        finally:
            RETRIEVAL.of(request.mode).observe(time.perf_counter() - began)

    async def _search(self, request: SearchRequest) -> SearchResult:
        if request.rerank and self.reranker is None:
            raise InputError("This installation has no reranker. Omit rerank.", field="rerank")
        text, phrases = read_query(request.query)
        async with tenant_tx(self.pool, request.tenant_id, user_id=request.visible_user_id) as db:
            resolved = await resolve_scope(
                db, request.tenant_id, request.reader, collections=request.collections, filters=request.filters
            )
        if not text or not resolved.scope.chunks:
            return SearchResult()
        vectors, (terms, by_words) = await asyncio.gather(
            self._embed(request, resolved, text), self._find_by_words(request, resolved.scope, text, phrases)
        )
        _reject_wrong_dimensions(resolved, vectors)
        degraded = next((reason for reason in vectors.values() if isinstance(reason, str)), None)
        candidates = Candidates([by_words] if by_words.ids else [])
        async with tenant_tx(self.pool, request.tenant_id, user_id=request.visible_user_id) as db:
            await _find_nearest(db, request, resolved, vectors, candidates)
            await _read_passages(db, request, resolved, terms, candidates)
        word_share = max((passage.covered for passage in candidates.passages), default=0.0)
        found = bool(candidates.passages) and is_answered(candidates.nearest, word_share)
        best = await _select(request, text, candidates, self.reranker if request.rerank else None)
        return SearchResult(tuple(best), found and bool(best), degraded)

    async def _embed(self, request: SearchRequest, resolved: ResolvedScope, text: str) -> dict[str, list[float] | str]:
        """Return the query's vector by embedder, or a sentence that says why there is none."""
        names = {part.embedder for part in resolved.parts} if request.mode != "text" else set[str]()
        return {name: await self._embed_with(request, name, text) for name in sorted(names)}

    async def _embed_with(self, request: SearchRequest, name: str, text: str) -> list[float] | str:
        try:
            return (await self._embedder.embed([text], purpose="query", embedder=name))[0]
        except HeadraceError as error:
            if request.mode == "vector":
                raise
            log.warning("query_not_embedded", tenant_id=str(request.tenant_id), embedder=name, code=error.code)
            return f"{ONLY_WORDS} {error.message}"

    async def _find_by_words(
        self, request: SearchRequest, scope: Scope, text: str, phrases: list[str]
    ) -> tuple[QueryTerms, RankedList]:
        if request.mode == "vector":
            return QueryTerms(), RankedList("text", ())
        async with tenant_tx(self.pool, request.tenant_id, user_id=request.visible_user_id) as db:
            row = await read_words(db, request.tenant_id, request.reader, text, phrases)
            if not row.words:
                return QueryTerms(), RankedList("text", ())
            terms = weigh_terms(row.words, row.phrases, row.counts, row.chunks)
            if not terms.candidates:
                return terms, RankedList("text", ())
            rows = await find_by_words(
                db,
                scope,
                candidates=terms.candidates,
                words=terms.words,
                weights=terms.weights,
                limit=_depth(request),
            )
        return terms, RankedList("text", [row.chunk_id for row in rows], TEXT_WEIGHT)


def _attributes(request: SearchRequest) -> dict[str, Any]:
    return {
        names.OPERATION: names.RETRIEVAL,
        names.MODE: request.mode,
        names.TOP_K: request.k,
        names.QUERY_TEXT: as_json(request.query) if records_content() else None,
    }


def _reject_wrong_dimensions(resolved: ResolvedScope, vectors: dict[str, list[float] | str]) -> None:
    """Replace vectors that don't fit their space: the embedder of that name has another model now."""
    for part in resolved.parts:
        vector = vectors.get(part.embedder)
        if isinstance(vector, list) and len(vector) != part.space.dimensions:
            vectors[part.embedder] = (
                f"{ONLY_WORDS} {part.embedder} now returns vectors of another length. Change the collection's embedder to "
                "embed its documents again."
            )


async def _find_nearest(
    db: Db,
    request: SearchRequest,
    resolved: ResolvedScope,
    vectors: Mapping[str, list[float] | str],
    candidates: Candidates,
) -> None:
    """Add a list for each space for which the query has a vector."""
    for part in resolved.parts:
        vector = vectors.get(part.embedder)
        if vector is None or isinstance(vector, str):
            continue
        crosses = "multilingual" in part.space.name
        limit = _depth(request) * (LANGUAGES_DEPTH if crosses else 1)
        rows = await find_nearest(db, narrow(resolved.scope, part), part.space, vector, limit=limit)
        candidates.crossing |= {row.chunk_id for row in rows} if crosses else set()
        candidates.cosines |= {row.chunk_id: row.score for row in rows}
        candidates.nearest[part.space.name] = [row.score for row in rows]
        candidates.lists.append(RankedList("vector", [row.chunk_id for row in rows], VECTOR_WEIGHT))


async def _read_passages(
    db: Db, request: SearchRequest, resolved: ResolvedScope, terms: QueryTerms, candidates: Candidates
) -> None:
    """Fuse the lists and read their passages. Passages that have been deleted since are left out."""
    found_ids = list(ranks_by_id(candidates.lists))
    rows = await read_passages(db, request.tenant_id, request.reader, found_ids, terms.words, terms.weights)
    candidates.lists = [_across_languages(ranked, rows, candidates) for ranked in candidates.lists]
    ranks = ranks_by_id(candidates.lists)
    shares = {found: _share(row.covered, terms) for found, row in rows.items()}
    scores = fuse([replace(ranked, trust=_trust(ranked, shares)) for ranked in candidates.lists])
    if request.mmr is not None:
        for part in resolved.parts:
            candidates.vectors.append(await read_vectors(db, request.tenant_id, request.reader, part.space, list(rows)))
    for chunk_id, score in scores.items():
        if chunk_id in rows:
            cosine = candidates.cosines.get(chunk_id)
            own = max(0.0, cosine or 0.0) if request.mode == "vector" else score
            found = _passage(rows[chunk_id], own, shares[chunk_id], ranks=ranks[chunk_id], cosine=cosine)
            candidates.passages.append(found)


def _across_languages(ranked: RankedList, rows: Mapping[UUID, StoredPassage], candidates: Candidates) -> RankedList:
    """Return a list by meaning with every language on an equal footing: an embedder of many languages holds texts of one
    language for alike, so a passage is ranked by how far it stands out from the others of its own."""
    if ranked.name != "vector" or not candidates.crossing.issuperset(ranked.ids):
        return ranked
    known = [item for item in ranked.ids if item in rows]
    groups: dict[str, list[UUID]] = {}
    for item in known:
        groups.setdefault(detect_language(rows[item].text), []).append(item)
    usual = {item: fmean(candidates.cosines[one] for one in group) for group in groups.values() for item in group}
    return replace(ranked, ids=sorted(known, key=lambda item: usual[item] - candidates.cosines[item]))


def _passage(
    row: StoredPassage, score: float, covered: float, *, ranks: Mapping[str, int], cosine: float | None
) -> FoundPassage:
    fields: dict[str, Any] = msgspec.structs.asdict(row) | {"covered": covered}
    return FoundPassage(**fields, score=score, ranks=ranks, cosine=cosine)


def _share(covered: float, terms: QueryTerms) -> float:
    return min(covered / terms.total, 1.0) if terms.total else 0.0


def _trust(ranked: RankedList, shares: Mapping[UUID, float]) -> dict[UUID, float]:
    """Return the trust of each hit by words: it is low if the passage has few of the words, whatever its rank."""
    return {item: shares.get(item, 0.0) ** TRUST_EXPONENT for item in ranked.ids} if ranked.name == "text" else {}


async def _select(
    request: SearchRequest, text: str, candidates: Candidates, reranker: Reranker | None
) -> list[FoundPassage]:
    """Return the `k` best passages: re-ranked if requested, deduplicated, and diversified if requested."""
    passages = candidates.passages
    if reranker is not None:
        passages = passages[: max(MAX_RERANKED, request.k)]
        scores = await reranker.rate(text, [f"{passage.heading}\n{passage.text}".strip() for passage in passages])
        passages = [replace(passage, score=score) for passage, score in zip(passages, scores, strict=True)]
        passages.sort(key=lambda passage: -passage.score)
    passages = [passage for passage in deduplicate(passages) if passage.score >= (request.min_score or 0.0)]
    if request.mmr is None:
        return passages[: request.k]
    by_id = {passage.chunk_id: passage for passage in passages}
    scores_by_id = {passage.chunk_id: passage.score for passage in passages}
    chosen = diversify(list(by_id), scores_by_id, candidates.vectors, relevance=request.mmr, limit=request.k)
    return [by_id[chunk_id] for chunk_id in chosen]


def _depth(request: SearchRequest) -> int:
    return max(DEPTH, 2 * request.k)
