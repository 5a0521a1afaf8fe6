"""A small classifier per set of candidates: ridge regression from wording and meaning to "whose is it?".

Trained in milliseconds on what the candidates' rows say (description, examples, keywords), each time a set is new; so
a new agent, or an example learned from feedback, counts at once. The targets are 1 for the owner and 0 for the others;
texts of a candidate with many weigh less each. One with `meaning` (vectors of texts), one without, for when no vectors
are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphs.routing.signals import Item, LexicalIndex, Vector

Array = NDArray[np.float32]
MEANING_SHARE = 1.0
RIDGE = 2.0
BIAS = 0.3
BALANCE = 0.75
"""0: every text counts alike; 1: every candidate does, however many texts it has."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """Weights of terms, (terms, candidates), and of the likeness to each item, (items, candidates)."""

    places: dict[str, int]
    terms: Array
    bias: Array
    items: Array | None

    def score(self, vector: Vector, cosines: Array | None) -> list[float]:
        """About 1 for the candidate whose it is, about 0 for the others. `cosines` are those with the items."""
        total = self.bias * np.float32(BIAS)
        if known := [(self.places[t], v) for t, v in vector.items() if t in self.places]:
            places, values = zip(*known, strict=True)
            total = total + np.array(values, np.float32) @ self.terms[list(places)]
        if self.items is not None and cosines is not None:
            total = total + likeness(cosines) @ self.items
        return total.tolist()


def likeness(cosines: Array) -> Array:
    """What meaning adds to the likeness of two texts."""
    return np.float32(MEANING_SHARE) * cosines


def train(
    lexical: LexicalIndex, items: Sequence[Item], size: int, meanings: Array | None, *, folded: bool
) -> Classifier:
    """The head of one view. `meanings` is (items, dimensions), rows of length 1; None for wording alone."""
    places, rows = _rows([lexical.vector(item.text, folded=folded) for item in items])
    kernel = rows @ rows.T + np.float32(BIAS * BIAS)
    if meanings is not None:
        kernel += likeness(meanings @ meanings.T)
    dual = _solve(kernel, np.array([item.owner for item in items]), size)
    return Classifier(places, rows.T @ dual, dual.sum(axis=0) * np.float32(BIAS), None if meanings is None else dual)


def _solve(kernel: Array, owners: "NDArray[Any]", size: int) -> Array:
    """What each item adds to the score of each candidate, (items, candidates)."""
    target = np.zeros((len(owners), size), np.float32)
    target[np.arange(len(owners)), owners] = 1
    importance = np.bincount(owners, minlength=size)[owners] ** -BALANCE
    ridge = RIDGE * importance.mean() / importance
    return np.linalg.solve(kernel + np.diag(ridge).astype(np.float32), target)


def _rows(vectors: Sequence[Vector]) -> tuple[dict[str, int], Array]:
    names = dict.fromkeys(term for vector in vectors for term in vector)
    places = {term: place for place, term in enumerate(names)}
    rows = np.zeros((len(vectors), len(places)), np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        row[[places[term] for term in vector]] = list(vector.values())
    return places, rows
