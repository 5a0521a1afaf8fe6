"""How good searches are: recall@5, mean reciprocal rank and nDCG@10, and how often "not in the documents" is right."""

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

PLANS: dict[str, dict[str, Any]] = {
    "vector": {"mode": "vector"},
    "text": {"mode": "text"},
    "hybrid": {"mode": "hybrid"},
    "hybrid, spread out": {"mode": "hybrid", "mmr": 0.7},
}


class Local:
    """An embedder of this process as searches ask for one."""

    def __init__(self, embedder: OpenEmbedder) -> None:
        self._embedder = embedder

    async def embed(self, texts: Sequence[str], *, purpose: str, embedder: str) -> list[list[float]]:
        return await self._embedder.embed(list(texts))


@dataclass
class Measured:
    """Sums by group: all, a kind, a language."""

    recalls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    reciprocals: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    gains: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, question: Question, found: Sequence[str]) -> None:
        """Count the names of the passages that were found, best first."""
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
    """How often something was found, or not, as it should be."""

    absent: int
    said_absent: int
    rightly_absent: int

    @property
    def precision(self) -> float:
        """Of the times that "not in the documents" was said: how many are right."""
        return self.rightly_absent / max(self.said_absent, 1)

    @property
    def recall(self) -> float:
        """Of the questions without an answer: of how many it was said."""
        return self.rightly_absent / max(self.absent, 1)


async def measure(
    searcher: Searcher, tenant_id: UUID, names: dict[UUID, str], questions: Sequence[Question], **how: Any
) -> Measured:
    """Ask all questions that have an answer, in one way."""
    measured = Measured()
    for question in questions:
        if question.relevant:
            asked = SearchRequest(tenant_id=tenant_id, reader=None, query=question.text, **how)
            findings = await searcher.search(asked)
            measured.add(question, [names[one.chunk_id] for one in findings.passages])
    return measured


async def judge(
    searcher: Searcher,
    tenant_id: UUID,
    questions: Sequence[Question],
    heard: Callable[[Question, SearchResult], None] = lambda question, findings: None,
) -> Verdicts:
    """Ask all questions and count what was said of each."""
    absent = said = rightly = 0
    for question in questions:
        findings = await searcher.search(SearchRequest(tenant_id=tenant_id, reader=None, query=question.text))
        heard(question, findings)
        absent += not question.relevant
        said += not findings.found
        rightly += not findings.found and not question.relevant
    return Verdicts(absent, said, rightly)
