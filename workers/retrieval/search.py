"""A search: by meaning and by words, fused by rank, cut to what says something new, with a verdict whether it answers.

scope ─┬─ words: lexemes, their weights, the passages that hold them ─┬─ ranks fused ─ (re-ranked) ─ repeats dropped ─ (MMR)
       └─ the query's vector ─ nearest passages, a leg for each space ┘

No connection is held while a vector is made. Where none can be had, words alone answer, and the answer says so.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import msgspec
import structlog

from schema.db import Db, Pool, tenant_tx
from schema.errors import HeadraceError, InputError
from schema.queries.documents.search import (
    Scope,
    StoredPassage,
    find_nearest,
    find_words,
    read_passages,
    read_vectors,
    read_words,
)
from workers.retrieval.query_terms import QueryTerms, read_query, weigh
from workers.retrieval.rank_fusion import Leg, diversify, drop_repeats, fuse, ranks
from workers.retrieval.relevance import is_answered
from workers.retrieval.request import Embeds, FoundPassage, SearchRequest, SearchResult
from workers.retrieval.reranking import MOST as MOST_RERANKED
from workers.retrieval.reranking import Reranker
from workers.retrieval.scope import Searched, narrowed, resolve

log = structlog.get_logger()

BY_WORDS = "Searched by words alone, because meaning could not be compared:"
DEPTH = 50
"""Places of each leg that are fused, at least."""
VECTOR_WEIGHT, TEXT_WEIGHT, TRUST = 1.0, 2.5, 3.0
"""Fitted on one half of `tests/retrieval`, as is everything here that could be otherwise. A passage that holds all of the words
counts for more than one that is near; one that holds a half of them by weight (TRUST: to the third power) for a third of it."""

Vectors = Mapping[UUID, Sequence[float]]


@dataclass
class Gathered:
    """What the legs found. `nearest` are the cosines by the name of the space, `vectors` those of each space."""

    legs: list[Leg] = field(default_factory=list)
    cosines: dict[UUID, float] = field(default_factory=dict)
    nearest: dict[str, list[float]] = field(default_factory=dict)
    vectors: list[Vectors] = field(default_factory=list)
    passages: list[FoundPassage] = field(default_factory=list)


class Searcher:
    """Searches the documents of any tenant over one pool. `reranker` is None where there is none."""

    def __init__(self, pool: Pool, embedding: Embeds, reranker: Reranker | None = None) -> None:
        self.pool, self._embedding, self.reranker = pool, embedding, reranker

    async def search(self, ask: SearchRequest) -> SearchResult:
        """Return the `k` best passages. Raises NotFound for a collection or document that the reader has not, InputError for
        what can't be done here, and in mode `vector` whatever kept the vector from being made."""
        if ask.rerank and self.reranker is None:
            raise InputError("This installation has no reranker. Omit rerank.", field="rerank")
        text, phrases = read_query(ask.query)
        async with tenant_tx(self.pool, ask.tenant_id, user_id=ask.visible_user_id) as db:
            searched = await resolve(db, ask.tenant_id, ask.reader, collections=ask.collections, filters=ask.filters)
        if not text or not searched.scope.chunks:
            return SearchResult()
        vectors, (wording, text_leg) = await asyncio.gather(
            self._embed(ask, searched, text), self._find_words(ask, searched.scope, text, phrases)
        )
        _refuse_other_lengths(searched, vectors)
        degraded = next((said for said in vectors.values() if isinstance(said, str)), None)
        gathered = Gathered([text_leg] if text_leg.ids else [])
        async with tenant_tx(self.pool, ask.tenant_id, user_id=ask.visible_user_id) as db:
            await _find_nearest(db, ask, searched, vectors, gathered)
            await _read_passages(db, ask, searched, wording, gathered)
        share = max((one.covered for one in gathered.passages), default=0.0)
        found = bool(gathered.passages) and is_answered(gathered.nearest, share)
        best = await _order(ask, text, gathered, self.reranker if ask.rerank else None)
        return SearchResult(tuple(best), found and bool(best), degraded)

    async def _embed(self, ask: SearchRequest, searched: Searched, text: str) -> dict[str, list[float] | str]:
        """Return the query's vector by embedder, or the sentence that says why there is none."""
        names = {part.embedder for part in searched.parts} if ask.mode != "text" else set[str]()
        return {name: await self._embed_by(ask, name, text) for name in sorted(names)}

    async def _embed_by(self, ask: SearchRequest, name: str, text: str) -> list[float] | str:
        try:
            return (await self._embedding.embed([text], purpose="query", embedder=name))[0]
        except HeadraceError as error:
            if ask.mode == "vector":
                raise
            log.warning("query_not_embedded", tenant_id=str(ask.tenant_id), embedder=name, code=error.code)
            return f"{BY_WORDS} {error.message}"

    async def _find_words(
        self, ask: SearchRequest, scope: Scope, text: str, phrases: list[str]
    ) -> tuple[QueryTerms, Leg]:
        if ask.mode == "vector":
            return QueryTerms(), Leg("text", ())
        async with tenant_tx(self.pool, ask.tenant_id, user_id=ask.visible_user_id) as db:
            row = await read_words(db, ask.tenant_id, ask.reader, text, phrases)
            if not row.words:
                return QueryTerms(), Leg("text", ())
            wording = weigh(row.words, row.phrases, row.counts, row.chunks)
            if not wording.any_of:
                return wording, Leg("text", ())
            rows = await find_words(
                db,
                scope,
                any_of=wording.any_of,
                words=wording.words,
                weights=wording.weights,
                most=_depth(ask),
            )
        return wording, Leg("text", [row.chunk_id for row in rows], TEXT_WEIGHT)


def _refuse_other_lengths(searched: Searched, vectors: dict[str, list[float] | str]) -> None:
    """Take out vectors that are not of their space: the embedder of that name makes others now."""
    for part in searched.parts:
        vector = vectors.get(part.embedder)
        if isinstance(vector, list) and len(vector) != part.space.dimensions:
            vectors[part.embedder] = (
                f"{BY_WORDS} vectors of {part.embedder} have another length now. Change the collection's embedder, so that "
                "its documents are embedded again."
            )


async def _find_nearest(
    db: Db, ask: SearchRequest, searched: Searched, vectors: Mapping[str, list[float] | str], gathered: Gathered
) -> None:
    """Add a leg for each space whose vector could be made."""
    for part in searched.parts:
        vector = vectors.get(part.embedder)
        if vector is None or isinstance(vector, str):
            continue
        rows = await find_nearest(db, narrowed(searched.scope, part), part.space, vector, most=_depth(ask))
        gathered.cosines |= {row.chunk_id: row.score for row in rows}
        gathered.nearest[part.space.name] = [row.score for row in rows]
        gathered.legs.append(Leg("vector", [row.chunk_id for row in rows], VECTOR_WEIGHT))


async def _read_passages(
    db: Db, ask: SearchRequest, searched: Searched, wording: QueryTerms, gathered: Gathered
) -> None:
    """Read what the legs found and fuse them; what has been removed since is left out."""
    places = ranks(gathered.legs)
    rows = await read_passages(db, ask.tenant_id, ask.reader, list(places), wording.words, wording.weights)
    shares = {found: _share(row.covered, wording) for found, row in rows.items()}
    scores = fuse([replace(leg, trust=_trust(leg, shares)) for leg in gathered.legs])
    if ask.mmr is not None:
        for part in searched.parts:
            gathered.vectors.append(await read_vectors(db, ask.tenant_id, ask.reader, part.space, list(rows)))
    for chunk_id, score in scores.items():
        if chunk_id in rows:
            cosine = gathered.cosines.get(chunk_id)
            own = max(0.0, cosine or 0.0) if ask.mode == "vector" else score
            found = _passage(rows[chunk_id], own, shares[chunk_id], ranks=places[chunk_id], cosine=cosine)
            gathered.passages.append(found)


def _passage(
    row: StoredPassage, score: float, covered: float, *, ranks: Mapping[str, int], cosine: float | None
) -> FoundPassage:
    told: dict[str, Any] = msgspec.structs.asdict(row) | {"covered": covered}
    return FoundPassage(**told, score=score, ranks=ranks, cosine=cosine)


def _share(covered: float, wording: QueryTerms) -> float:
    return min(covered / wording.total, 1.0) if wording.total else 0.0


def _trust(leg: Leg, shares: Mapping[UUID, float]) -> dict[UUID, float]:
    """A passage that holds little of what was asked for is little of a hit, though no other holds more."""
    return {found: shares.get(found, 0.0) ** TRUST for found in leg.ids} if leg.name == "text" else {}


async def _order(ask: SearchRequest, text: str, gathered: Gathered, reranker: Reranker | None) -> list[FoundPassage]:
    """Return the `k` best: read again by the cross-encoder, without repeats, and spread out where that is wished."""
    passages = gathered.passages
    if reranker is not None:
        passages = passages[: max(MOST_RERANKED, ask.k)]
        scores = await reranker.rate(text, [f"{one.heading}\n{one.text}".strip() for one in passages])
        passages = [replace(one, score=score) for one, score in zip(passages, scores, strict=True)]
        passages.sort(key=lambda one: -one.score)
    passages = [one for one in drop_repeats(passages) if one.score >= (ask.min_score or 0.0)]
    if ask.mmr is None:
        return passages[: ask.k]
    by_id = {one.chunk_id: one for one in passages}
    scored = {one.chunk_id: one.score for one in passages}
    chosen = diversify(list(by_id), scored, gathered.vectors, keep=ask.mmr, most=ask.k)
    return [by_id[chunk_id] for chunk_id in chosen]


def _depth(ask: SearchRequest) -> int:
    return max(DEPTH, 2 * ask.k)
