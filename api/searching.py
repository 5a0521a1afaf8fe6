"""Searching the documents that the caller may read (A5, D5): shared ones and the caller's own.

This process loads no weights: a worker makes the query's vector. Where none does, words alone answer, and `degraded` says so.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Router, post
from litestar.params import JSONBody
from msgspec import Meta

from api.describing import described
from api.documents.shapes import Metadata, check_metadata
from api.errors import problems
from api.principals import MayReadDocuments, Principal
from api.resources import Opened
from schema.queries.search import Filters
from workers.embedding import EmbeddingClient
from workers.retrieval.asking import Ask, Found, Mode
from workers.retrieval.searching import Searcher

EMBED_S = 2.0
"""How long a worker may take for the query's vector; it takes 10 ms when it is not busy."""

Share = Annotated[float, Meta(ge=0, le=1)]
NAMES = Meta(min_length=1, max_length=100)


class FiltersIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What documents must be like. `created_after` is included, `created_before` is not. `metadata`: each key must have the
    value, or one of a list of values; of a document's list one is enough."""

    created_after: Annotated[datetime, Meta(tz=True)] | None = None
    created_before: Annotated[datetime, Meta(tz=True)] | None = None
    language: Annotated[str, Meta(min_length=2, max_length=10, examples=["en"])] | None = None
    metadata: Metadata = msgspec.field(default_factory=dict)


class SearchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search. `collections` are named by name or id. What stands in quotes in `query` counts as a phrase. `mmr`: with 1 the
    best come first, with less rather what the others don't say. With `rerank` the installation's cross-encoder, if it has one,
    reads the best again. Passages below `min_score` are left out."""

    query: Annotated[str, Meta(min_length=1, max_length=10_000, examples=["How long is the notice period?"])]
    collections: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], NAMES] | None = None
    documents: Annotated[list[UUID], Meta(min_length=1, max_length=1000)] | None = None
    filters: FiltersIn | None = None
    k: Annotated[int, Meta(ge=1, le=50)] = 10
    mode: Mode = "hybrid"
    mmr: Share | None = None
    rerank: bool = False
    min_score: Share | None = None


class PlacesOut(msgspec.Struct, frozen=True, kw_only=True):
    """The place of a passage, from 1, by meaning and by words; null where it was not found so."""

    vector: int | None = None
    text: int | None = None


class FoundOut(msgspec.Struct, frozen=True, kw_only=True):
    """A passage. `score` is 0–1: the fused ranks, where 1 is first in both; in mode `vector` the cosine; the cross-encoder's
    after `rerank`. `cosine` is how near it is in meaning, where that was compared, `covered` how much of the query's words it
    holds, rare ones counting more; 0 in mode `vector`. `start` and `stop` are its span in the document's text."""

    chunk_id: UUID
    document_id: UUID
    document: str
    title: str
    collection: str
    page: int | None
    page_end: int | None
    heading: str
    text: str
    start: int
    stop: int
    score: float
    ranks: PlacesOut
    cosine: float | None
    covered: float
    private: bool
    metadata: dict[str, Any]
    source_url: str | None
    created_at: datetime


class FindingsOut(msgspec.Struct, frozen=True, kw_only=True):
    """Passages, best first. With `found` false none of them answers: it is not in the documents. `degraded` says why only
    words were compared."""

    query: str
    found: bool
    passages: list[FoundOut]
    degraded: str | None
    took_ms: float


EXAMPLE = {"query": "How long is the notice period?", "filters": {"metadata": {"kind": "lease"}}, "k": 5}


@post(
    "/",
    status_code=200,
    opt=described(example=EXAMPLE),
    responses=problems("not_found", "unavailable"),
    summary="Search documents by meaning and by words",
)
async def search(data: JSONBody[SearchIn], principal: MayReadDocuments, resources: Opened) -> FindingsOut:
    """The passages of the documents that you may read which fit best: shared ones and your own."""
    began = time.perf_counter()
    asked = Asked(resources.embedding, principal.tenant_id)
    searcher = Searcher(resources.ports.pool, asked, asked if resources.settings.reranker else None)
    findings = await searcher.search(_ask_of(data, principal))
    return FindingsOut(
        query=data.query,
        found=findings.found,
        passages=[passage_of(one) for one in findings.passages],
        degraded=findings.degraded,
        took_ms=round((time.perf_counter() - began) * 1e3, 1),
    )


def _ask_of(data: SearchIn, principal: Principal) -> Ask:
    asked = data.filters or FiltersIn()
    check_metadata(asked.metadata, "filters.metadata")
    filters = Filters(
        documents=data.documents,
        created_after=asked.created_after,
        created_before=asked.created_before,
        language=asked.language,
        metadata=asked.metadata,
    )
    return Ask(
        tenant_id=principal.tenant_id,
        reader=principal.user_id,
        visible_user_id=principal.visible_user_id,
        query=data.query,
        collections=data.collections,
        filters=filters,
        k=data.k,
        mode=data.mode,
        mmr=data.mmr,
        rerank=data.rerank,
        min_score=data.min_score,
    )


class Asked:
    """Vectors and ratings for a tenant's queries: workers are asked for them, or the embedder's provider."""

    def __init__(self, embedding: EmbeddingClient, tenant_id: UUID) -> None:
        self._embedding, self._tenant_id = embedding, tenant_id

    async def embed(self, texts: Sequence[str], *, purpose: Literal["query"], embedder: str) -> list[list[float]]:
        """Return a vector for each text. Raises what `EmbeddingClient.embed` does."""
        lane = str(self._tenant_id)
        return await self._embedding.embed(texts, purpose=purpose, embedder=embedder, lane=lane, timeout_s=EMBED_S)

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers, 0–1. Raises what `EmbeddingClient.rate` does."""
        return await self._embedding.rate(query, texts, lane=str(self._tenant_id))


def passage_of(found: Found) -> FoundOut:
    """Return a passage as it is shown."""
    same: dict[str, Any] = {
        name: getattr(found, name) for name in FoundOut.__struct_fields__ if name not in ("ranks", "metadata")
    }
    same |= {name: None if same[name] is None else round(same[name], 4) for name in ("score", "cosine", "covered")}
    return FoundOut(**same, ranks=PlacesOut(**found.ranks), metadata=dict(found.metadata))


routes = Router("/search", route_handlers=[search], tags=["documents"])
