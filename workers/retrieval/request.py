"""The request and the result of a search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, get_args
from uuid import UUID

from schema.queries.documents.search import Filters

Mode = Literal["hybrid", "vector", "text"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Embedder(Protocol):
    """Embeds queries; in an API process, by asking a worker."""

    async def embed(self, texts: Sequence[str], *, purpose: Literal["query"], embedder: str) -> list[list[float]]:
        """Return a vector for each text, by the embedder of this name."""
        ...


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What to search for, and how. `reader` sees shared documents and their own private ones; `visible_user_id` limits the
    transaction by row-level security (`Principal.visible_user_id`). `mmr` (0–1) weighs relevance against novelty; with
    `rerank`, a cross-encoder re-ranks the best passages."""

    tenant_id: UUID
    reader: UUID | None
    query: str
    visible_user_id: UUID | None = None
    collections: Sequence[str] | None = None
    filters: Filters = field(default_factory=Filters)
    k: int = 10
    mode: Mode = "hybrid"
    mmr: float | None = None
    rerank: bool = False
    min_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class FoundPassage:
    """A passage. `score` is 0–1: the cosine in mode `vector`, the cross-encoder's rating if re-ranked, else the fused rank,
    where 1 is first in every list. `ranks` are the ranks by `vector` and `text`; `cosine` is None if not compared;
    `covered` is the passage's share of the query's words, by weight, and 0 in mode `vector`."""

    chunk_id: UUID
    document_id: UUID
    collection_id: UUID
    collection: str
    document: str
    title: str
    text: str
    heading: str
    place: int
    start: int
    stop: int
    digest: bytes
    created_at: datetime
    private: bool
    score: float
    covered: float
    page: int | None = None
    page_end: int | None = None
    source_url: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    cosine: float | None = None


@dataclass(frozen=True)
class SearchResult:
    """Passages, best first. `found`: whether they answer the query. `degraded`: why only words were searched."""

    passages: Sequence[FoundPassage] = ()
    found: bool = False
    degraded: str | None = None
