"""Measures searches: recall@5, mean reciprocal rank, nDCG@10, and how often "not in the documents" is right."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any
from uuid import UUID

from graphs.embeddings.registry import OpenEmbedder
from tests.retrieval.labelled import Question
from workers.retrieval.request import SearchRequest, SearchResult
from workers.retrieval.search import Searcher

SEARCH_MODES: dict[str, dict[str, Any]] = {
    "vector": {"mode": "vector"},
    "text": {"mode": "text"},
    "hybrid": {"mode": "hybrid"},
    "hybrid, spread out": {"mode": "hybrid", "mmr": 0.7},
}


class LocalEmbedder:
    """An embedder in this process, with the interface that searches expect."""

    def __init__(self, embedder: OpenEmbedder) -> None:
        self._embedder = embedder

    async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
        return await self._embedder.embed(list(texts))


@dataclass
class RetrievalMetrics:
    """Values by group: all, a kind, a language."""

    recalls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    reciprocals: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    gains: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, question: Question, found: Sequence[str]) -> None:
        """Add a result: the names of the passages that were found, best first."""
        places = [place for place, name in enumerate(found, 1) if name in question.relevant]
        recall = sum(place <= 5 for place in places) / len(question.relevant)
        ideal = sum(1 / math.log2(place + 1) for place in range(1, min(10, len(question.relevant)) + 1))
        gain = sum(1 / math.log2(place + 1) for place in places if place <= 10) / ideal
        for group in ("all", question.kind, question.language):
            self.recalls[group].append(recall)
            self.reciprocals[group].append(1 / places[0] if places and places[0] <= 10 else 0.0)
            self.gains[group].append(gain)

    def figures(self, group: str = "all") -> tuple[float, float, float]:
        """Return recall@5, MRR and nDCG@10 of a group."""
        return mean(self.recalls[group]), mean(self.reciprocals[group]), mean(self.gains[group])


@dataclass(frozen=True)
class Verdicts:
    """How often "not in the documents" was the result, and how often it was right."""

    absent: int
    said_absent: int
    rightly_absent: int

    @property
    def precision(self) -> float:
        """The share of "not in the documents" results that are right."""
        return self.rightly_absent / max(self.said_absent, 1)

    @property
    def recall(self) -> float:
        """The share of unanswerable questions with the result "not in the documents"."""
        return self.rightly_absent / max(self.absent, 1)


async def measure(
    searcher: Searcher, tenant_id: UUID, names: dict[UUID, str], questions: Sequence[Question], **options: Any
) -> RetrievalMetrics:
    """Search for all questions that have an answer, with these options."""
    metrics = RetrievalMetrics()
    for question in questions:
        if question.relevant:
            asked = SearchRequest(tenant_id=tenant_id, reader=None, query=question.text, **options)
            findings = await searcher.search(asked)
            metrics.add(question, [names[one.chunk_id] for one in findings.passages])
    return metrics


async def judge_absence(
    searcher: Searcher,
    tenant_id: UUID,
    questions: Sequence[Question],
    on_result: Callable[[Question, SearchResult], None] = lambda question, findings: None,
) -> Verdicts:
    """Search for all questions and count the "not in the documents" results."""
    absent = said = rightly = 0
    for question in questions:
        findings = await searcher.search(SearchRequest(tenant_id=tenant_id, reader=None, query=question.text))
        on_result(question, findings)
        absent += not question.relevant
        said += not findings.found
        rightly += not findings.found and not question.relevant
    return Verdicts(absent, said, rightly)
