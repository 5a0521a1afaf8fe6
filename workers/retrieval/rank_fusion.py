"""One list out of several: reciprocal ranks, what says the same once, what says something new first. No database here.

Reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009. Maximal marginal relevance: Carbonell and Goldstein,
SIGIR 1998.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar
from uuid import UUID

K = 60
"""How little the first places differ from each other; the authors' figure."""
OVERLAP = 0.6
"""Share of the shorter of two neighbours from which both are one."""


@dataclass(frozen=True)
class Leg:
    """What one way of searching found, best first. `weight` is the leg's, `trust` (0–1) that of a single hit, 1 if it is not
    there."""

    name: str
    ids: Sequence[UUID]
    weight: float = 1.0
    trust: Mapping[UUID, float] = field(default_factory=dict)


class Span(Protocol):
    """A piece of a document: from `start` to `stop`, its text known by `digest`."""

    @property
    def document_id(self) -> UUID: ...
    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def digest(self) -> bytes: ...


SomeSpan = TypeVar("SomeSpan", bound=Span)


def fuse(legs: Sequence[Leg]) -> dict[UUID, float]:
    """Return every id with the sum of weight / (K + rank) over the legs, best first; 1 is the first place in legs of every
    name. Ids of one score keep their order."""
    weights: dict[str, float] = {}
    for leg in legs:
        weights[leg.name] = max(leg.weight, weights.get(leg.name, 0.0))
    best = sum(weights.values()) / (K + 1)
    scores: dict[UUID, float] = {}
    for leg in legs:
        for rank, found in enumerate(leg.ids, 1):
            scores[found] = scores.get(found, 0.0) + leg.weight * leg.trust.get(found, 1.0) / (K + rank) / best
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


def ranks(legs: Sequence[Leg]) -> dict[UUID, dict[str, int]]:
    """Return for every id its place, from 1, in each leg that found it; the better one in legs of one name."""
    places: dict[UUID, dict[str, int]] = {}
    for leg in legs:
        for rank, found in enumerate(leg.ids, 1):
            own = places.setdefault(found, {})
            own[leg.name] = min(rank, own.get(leg.name, rank))
    return places


def drop_repeats(spans: Iterable[SomeSpan]) -> list[SomeSpan]:
    """Return the spans without those whose text came before, or most of it in a neighbour."""
    kept: list[SomeSpan] = []
    digests: set[bytes] = set()
    for span in spans:
        if span.digest not in digests and not any(_is_same(span, other) for other in kept):
            kept.append(span)
            digests.add(span.digest)
    return kept


def _is_same(one: Span, other: Span) -> bool:
    if one.document_id != other.document_id:
        return False
    shared = min(one.stop, other.stop) - max(one.start, other.start)
    return shared > 0 and shared >= OVERLAP * min(one.stop - one.start, other.stop - other.start)


def diversify(
    ids: Sequence[UUID],
    scores: Mapping[UUID, float],
    spaces: Sequence[Mapping[UUID, Sequence[float]]],
    *,
    keep: float,
    most: int,
) -> list[UUID]:
    """Return `most` of the ids, each time the one whose score outweighs its likeness to those that are there.

    `keep` is the λ of the paper: 1 is the order of the scores, 0 only what is new. Scores are compared as shares of the best;
    `spaces` are vectors that may be compared, ids without one are like nothing.
    """
    best = max((scores[found] for found in ids), default=0.0) or 1.0
    likeness, measures = dict.fromkeys(ids, 0.0), [_measure(ids, vectors) for vectors in spaces]
    left, chosen = list(ids), list[UUID]()
    while left and len(chosen) < most:
        picked = max(left, key=lambda found: keep * scores[found] / best - (1 - keep) * likeness[found])
        chosen.append(picked)
        left.remove(picked)
        for measure in measures:
            for found, cosine in measure(picked).items():
                likeness[found] = max(likeness[found], cosine)
    return chosen


def _measure(ids: Sequence[UUID], vectors: Mapping[UUID, Sequence[float]]) -> Callable[[UUID], dict[UUID, float]]:
    """Return what tells the cosine of every id to one of them; nothing for an id without a vector."""
    import numpy as np

    known = [found for found in ids if found in vectors]
    if not known:
        return lambda _: {}
    matrix = np.asarray([vectors[found] for found in known], dtype=np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    rows = {found: row for row, found in enumerate(known)}

    def cosines(picked: UUID) -> dict[UUID, float]:
        if picked not in rows:
            return {}
        return dict(zip(known, (matrix @ matrix[rows[picked]]).tolist(), strict=True))

    return cosines
