"""What a search is asked, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, get_args
from uuid import UUID

from schema.queries.documents.search import Filters

Mode = Literal["hybrid", "vector", "text"]
MODES: tuple[Mode, ...] = get_args(Mode)


class Embeds(Protocol):
    """Makes vectors; in the API process a worker does it."""

    async def embed(self, texts: Sequence[str], *, purpose: Literal["query"], embedder: str) -> list[list[float]]:
        """Return a vector for each text, made by the embedder of this name."""
        ...


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """What is searched for, and how. `reader` sees shared documents and the own private ones; `visible_user_id` is what
    row-level security confines the transaction to (`Principal.visible_user_id`). `mmr` is how much the score counts against
    what is new (0–1); with `rerank` a cross-encoder reads the best again."""

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
    """A passage. `score` is 0–1: in mode `vector` the cosine, re-ranked the cross-encoder's, else the fused ranks, 1 being
    first in every leg. `ranks` are the places in `vector` and `text`, `cosine` the likeness in meaning where it was compared,
    `covered` the share of the query's words, by weight, that the passage holds, 0 in mode `vector`."""

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
    """Passages, best first. `found`: something among them answers; without it the answer is not in the documents.
    `degraded` says why the search was done by words alone."""

    passages: Sequence[FoundPassage] = ()
    found: bool = False
    degraded: str | None = None
