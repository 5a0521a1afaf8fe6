"""Searching the documents that the caller may read: shared ones and the caller's own.

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

from api.auth.principals import MayReadDocuments, Principal
from api.documents.schemas import check_metadata
from api.http.errors import problems
from api.http.limit_errors import counted_as, require_rate
from api.openapi.operations import described
from api.resources import AppResources
from schema.queries.documents.search import Filters
from workers.embedding.client import EmbeddingClient
from workers.limits.rates import SEARCHES
from workers.retrieval.request import FoundPassage, Mode, SearchRequest
from workers.retrieval.search import Searcher

EMBED_TIMEOUT_S = 2.0
"""How long a worker may take for the query's vector; it takes 10 ms when it is not busy."""

NAMES = Meta(min_length=1, max_length=100, description="Names or ids of collections to search; all if omitted.")


class FiltersIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Conditions that documents must meet."""

    created_after: (
        Annotated[datetime, Meta(tz=True, description="Only documents uploaded at or after this time.")] | None
    ) = None
    created_before: (
        Annotated[datetime, Meta(tz=True, description="Only documents uploaded before this time.")] | None
    ) = None
    language: (
        Annotated[
            str, Meta(min_length=2, max_length=10, examples=["en"], description="Only documents in this language.")
        ]
        | None
    ) = None
    metadata: Annotated[
        dict[str, Any],
        Meta(
            description="Only documents with these values: for each key a value, or a list of which one must match. If a "
            "document has a list, one of its values must match.",
            examples=[{"year": 2026}],
        ),
    ] = msgspec.field(default_factory=dict)


class SearchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A search."""

    query: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=10_000,
            examples=["How long is the notice period?"],
            description="A question or keywords. Words in double quotes are matched as a phrase.",
        ),
    ]
    collections: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], NAMES] | None = None
    documents: (
        Annotated[list[UUID], Meta(min_length=1, max_length=1000, description="Ids of documents to search.")] | None
    ) = None
    filters: Annotated[
        FiltersIn | None, Meta(description="Conditions that documents must meet.", extra={"max_bytes": 64 * 1024})
    ] = None
    k: Annotated[int, Meta(ge=1, le=50, description="Maximum number of passages to return.")] = 10
    mode: Annotated[Mode, Meta(description="Search by meaning (`vector`), by words (`text`), or by both.")] = "hybrid"
    mmr: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=1,
                description="Maximal marginal relevance: 1 ranks by relevance alone, lower values favour diversity.",
            ),
        ]
        | None
    ) = None
    rerank: Annotated[
        bool, Meta(description="Rank the best passages again with a cross-encoder, if the installation has one.")
    ] = False
    min_score: Annotated[float, Meta(ge=0, le=1, description="Leave out passages with a lower score.")] | None = None


class RanksOut(msgspec.Struct, frozen=True, kw_only=True):
    """Ranks of a passage in the two searches."""

    vector: Annotated[int | None, Meta(description="Rank by meaning, from 1; null if it was not found that way.")] = (
        None
    )
    text: Annotated[int | None, Meta(description="Rank by words, from 1; null if it was not found that way.")] = None


class PassageOut(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that was found."""

    chunk_id: Annotated[UUID, Meta(description="Id of the passage.")]
    document_id: Annotated[UUID, Meta(description="Id of its document.")]
    document: Annotated[str, Meta(description="File name of its document.")]
    title: Annotated[str, Meta(description="Title of its document.")]
    collection: Annotated[str, Meta(description="Name of its collection.")]
    page: Annotated[int | None, Meta(description="First page of the passage; null if there are no pages.")]
    page_end: Annotated[int | None, Meta(description="Last page of the passage; null if there are no pages.")]
    heading: Annotated[str, Meta(description="Headings above the passage, joined by ` > `; empty if none.")]
    text: Annotated[str, Meta(description="Text of the passage.")]
    start: Annotated[int, Meta(description="Offset of its first character in the document's text.")]
    stop: Annotated[int, Meta(description="Offset behind its last character in the document's text.")]
    score: Annotated[
        float,
        Meta(
            description="Relevance, 0 to 1. Mode `hybrid` and `text`: the fused ranks (1: first in all); `vector`: the cosine "
            "similarity; after `rerank`: the cross-encoder's score."
        ),
    ]
    ranks: Annotated[RanksOut, Meta(description="Ranks in the two searches.")]
    cosine: Annotated[float | None, Meta(description="Cosine similarity to the query; null if not compared.")]
    covered: Annotated[
        float,
        Meta(description="Share of the query's words in the passage, weighted by rarity, 0 to 1; 0 in mode `vector`."),
    ]
    private: Annotated[bool, Meta(description="Whether only you can see the document.")]
    metadata: Annotated[dict[str, Any], Meta(description="Metadata of the document.")]
    source_url: Annotated[str | None, Meta(description="The URL it was fetched from; null if it was uploaded.")]
    created_at: Annotated[datetime, Meta(description="When the document was uploaded.")]


class SearchResultsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a search."""

    query: Annotated[str, Meta(description="The query.")]
    found: Annotated[bool, Meta(description="Whether the passages are likely to contain an answer.")]
    passages: Annotated[list[PassageOut], Meta(description="Passages, most relevant first.")]
    degraded: Annotated[
        str | None, Meta(description="Why the search was done by words alone; null if it was done as requested.")
    ]
    took_ms: Annotated[float, Meta(description="Duration of the search in milliseconds.")]


EXAMPLE = {"query": "How long is the notice period?", "filters": {"metadata": {"kind": "lease"}}, "k": 5}
FOUND_EXAMPLE: dict[str, Any] = {
    "query": "How long is the notice period?",
    "found": True,
    "passages": [
        {
            "chunk_id": "019a5ca2-2d30-7e61-8f72-809102b3c4d5",
            "document_id": "019a5ca2-0b10-7d21-8e32-4f5061728394",
            "document": "lease.pdf",
            "title": "Lease of the mill",
            "collection": "contracts",
            "page": 4,
            "page_end": 4,
            "heading": "Lease of the mill > Termination",
            "text": "Either party may terminate the lease with three months' notice to the end of a quarter.",
            "start": 8120,
            "stop": 8207,
            "score": 0.98,
            "ranks": {"vector": 1, "text": 2},
            "cosine": 0.71,
            "covered": 0.64,
            "private": False,
            "metadata": {"kind": "lease"},
            "source_url": None,
            "created_at": "2026-05-04T08:15:30Z",
        }
    ],
    "degraded": None,
    "took_ms": 18.4,
}


@post(
    "/",
    status_code=200,
    opt=counted_as(SEARCHES) | described(example=EXAMPLE, response=FOUND_EXAMPLE),
    responses=problems("not_found", "unavailable", "rate_limit_exceeded"),
    summary="Search documents",
)
async def search_documents(
    data: JSONBody[SearchIn], principal: MayReadDocuments, resources: AppResources
) -> SearchResultsOut:
    """Returns the most relevant passages of the documents that you can read, by meaning and by words."""
    require_rate(resources.rates, principal.tenant, SEARCHES)
    started = time.perf_counter()
    asked = TenantEmbedder(resources.embedding, principal.tenant_id)
    searcher = Searcher(resources.core.pool, asked, asked if resources.settings.reranker else None)
    findings = await searcher.search(_search_request(data, principal))
    return SearchResultsOut(
        query=data.query,
        found=findings.found,
        passages=[passage_out(one) for one in findings.passages],
        degraded=findings.degraded,
        took_ms=round((time.perf_counter() - started) * 1e3, 1),
    )


def _search_request(data: SearchIn, principal: Principal) -> SearchRequest:
    asked = data.filters or FiltersIn()
    check_metadata(asked.metadata, "filters.metadata")
    filters = Filters(
        documents=data.documents,
        created_after=asked.created_after,
        created_before=asked.created_before,
        language=asked.language,
        metadata=asked.metadata,
    )
    return SearchRequest(
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


class TenantEmbedder:
    """Embeds and rates texts for a tenant's searches, through workers or the embedder's provider."""

    def __init__(self, embedding: EmbeddingClient, tenant_id: UUID) -> None:
        self._embedding, self._tenant_id = embedding, tenant_id

    async def embed(self, texts: Sequence[str], *, purpose: Literal["query"], embedder: str) -> list[list[float]]:
        """Return a vector for each text. Raises what `EmbeddingClient.embed` does."""
        lane = str(self._tenant_id)
        return await self._embedding.embed(
            texts, purpose=purpose, embedder=embedder, lane=lane, timeout_s=EMBED_TIMEOUT_S
        )

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers, 0–1. Raises what `EmbeddingClient.rate` does."""
        return await self._embedding.rate(query, texts, lane=str(self._tenant_id))


def passage_out(found: FoundPassage) -> PassageOut:
    """Return a passage as it is returned to clients."""
    same: dict[str, Any] = {
        name: getattr(found, name) for name in PassageOut.__struct_fields__ if name not in ("ranks", "metadata")
    }
    same |= {name: None if same[name] is None else round(same[name], 4) for name in ("score", "cosine", "covered")}
    return PassageOut(**same, ranks=RanksOut(**found.ranks), metadata=dict(found.metadata))


routes = Router("/search", route_handlers=[search_documents], tags=["documents"])
