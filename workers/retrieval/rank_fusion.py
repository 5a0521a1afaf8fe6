"""Merges ranked lists: reciprocal rank fusion, deduplication, and diversification. No database here.

Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009. Maximal marginal relevance: Carbonell and Goldstein,
SIGIR 1998.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from uuid import UUID

K = 60
"""Dampens the difference between the first ranks; the authors' value."""
MAX_OVERLAP = 0.6
"""Two passages that share this much of the shorter one count as duplicates."""


@dataclass(frozen=True)
class RankedList:
    """What one search method found, best first. `weight` is the list's, `trust` (0–1) that of single hits; its default is 1."""

    name: str
    ids: Sequence[UUID]
    weight: float = 1.0
    trust: Mapping[UUID, float] = field(default_factory=dict)


class Span(Protocol):
    """A part of a document, from `start` to `stop`; `digest` identifies its text."""

    @property
    def document_id(self) -> UUID: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def digest(self) -> bytes: ...


SpanType = TypeVar("SpanType", bound=Span)


def fuse(lists: Sequence[RankedList]) -> dict[UUID, float]:
    """Return the sum of weight / (K + rank) over the lists by id, best first. 1 means first in the lists of every name.
    Ids with equal scores keep their order."""
    weights: dict[str, float] = {}
    for ranked in lists:
        weights[ranked.name] = max(ranked.weight, weights.get(ranked.name, 0.0))
    best = sum(weights.values()) / (K + 1)
    scores: dict[UUID, float] = {}
    for ranked in lists:
        for rank, item in enumerate(ranked.ids, 1):
            scores[item] = scores.get(item, 0.0) + ranked.weight * ranked.trust.get(item, 1.0) / (K + rank) / best
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def ranks_by_id(lists: Sequence[RankedList]) -> dict[UUID, dict[str, int]]:
    """Return the rank of every id, from 1, by the name of the list; the best one if several lists have one name."""
    ranks: dict[UUID, dict[str, int]] = {}
    for ranked in lists:
        for rank, item in enumerate(ranked.ids, 1):
            own = ranks.setdefault(item, {})
            own[ranked.name] = min(rank, own.get(ranked.name, rank))
    return ranks


def deduplicate(spans: Iterable[SpanType]) -> list[SpanType]:
    """Return the spans without those whose text, or most of it, is in an earlier one."""
    kept: list[SpanType] = []
    digests: set[bytes] = set()
    for span in spans:
        if span.digest not in digests and not any(_overlaps(span, other) for other in kept):
            kept.append(span)
            digests.add(span.digest)
    return kept


def _overlaps(one: Span, other: Span) -> bool:
    if one.document_id != other.document_id:
        return False
    shared = min(one.stop, other.stop) - max(one.start, other.start)
    return shared > 0 and shared >= MAX_OVERLAP * min(one.stop - one.start, other.stop - other.start)


def diversify(
    ids: Sequence[UUID],
    scores: Mapping[UUID, float],
    spaces: Sequence[Mapping[UUID, Sequence[float]]],
    *,
    relevance: float,
    limit: int,
) -> list[UUID]:
    """Return up to `limit` ids, each chosen by its score less its similarity to those chosen before.

    `relevance` is the λ of the paper: 1 orders by score alone, 0 by novelty alone. Scores are normalized by the best one.
    `spaces` are sets of comparable vectors; an id without a vector is similar to none.
    """
    best = max((scores[item] for item in ids), default=0.0) or 1.0
    similarity, measures = dict.fromkeys(ids, 0.0), [_cosines_to(ids, vectors) for vectors in spaces]
    remaining, chosen = list(ids), list[UUID]()
    while remaining and len(chosen) < limit:
        picked = max(remaining, key=lambda item: relevance * scores[item] / best - (1 - relevance) * similarity[item])
        chosen.append(picked)
        remaining.remove(picked)
        for cosines_to in measures:
            for item, cosine in cosines_to(picked).items():
                similarity[item] = max(similarity[item], cosine)
    return chosen


def _cosines_to(ids: Sequence[UUID], vectors: Mapping[UUID, Sequence[float]]) -> Callable[[UUID], dict[UUID, float]]:
    """Return a function from one id to the cosines of all; its result is empty for an id without a vector."""
    import numpy as np

    known = [item for item in ids if item in vectors]
    if not known:
        return lambda _: {}
    matrix = np.asarray([vectors[item] for item in known], dtype=np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    rows = {item: row for row, item in enumerate(known)}

    def cosines(picked: UUID) -> dict[UUID, float]:
        if picked not in rows:
            return {}
        return dict(zip(known, (matrix @ matrix[rows[picked]]).tolist(), strict=True))

    return cosines
