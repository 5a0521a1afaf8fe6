"""A small classifier per candidate set: ridge regression from words and embeddings to the owner of a text.

Trained in milliseconds on the candidates' rows (description, examples, keywords) whenever a set is new, so a new agent or an
example learned from feedback counts at once. Targets are 1 for the owner and 0 for the others; the more texts a candidate
has, the less each weighs. There is one classifier with embeddings, and one without for when there are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphs.routing.signals import Item, LexicalIndex, Vector

Array = NDArray[np.float32]
EMBEDDING_WEIGHT = 1.0
RIDGE = 2.0
BIAS = 0.3
BALANCE = 0.75
"""0: every text has the same weight; 1: every candidate has, however many texts it has."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """Weights of terms, (terms, candidates), and of the similarity to each item, (items, candidates)."""

    columns: dict[str, int]
    terms: Array
    bias: Array
    items: Array | None

    def score(self, vector: Vector, cosines: Array | None) -> list[float]:
        """Return about 1 for the owner and about 0 for the other candidates. `cosines` are those with the items."""
        total = self.bias * np.float32(BIAS)
        if known := [(self.columns[t], v) for t, v in vector.items() if t in self.columns]:
            columns, values = zip(*known, strict=True)
            total = total + np.array(values, np.float32) @ self.terms[list(columns)]
        if self.items is not None and cosines is not None:
            total = total + weight_similarity(cosines) @ self.items
        return total.tolist()


def weight_similarity(cosines: Array) -> Array:
    """Return what embeddings add to the similarity of two texts."""
    return np.float32(EMBEDDING_WEIGHT) * cosines


def train(
    lexical: LexicalIndex, items: Sequence[Item], size: int, vectors: Array | None, *, folded: bool
) -> Classifier:
    """Train the classifier of one view. `vectors` is (items, dimensions), rows of length 1; None for words alone."""
    columns, rows = _rows([lexical.vector(item.text, folded=folded) for item in items])
    kernel = rows @ rows.T + np.float32(BIAS * BIAS)
    if vectors is not None:
        kernel += weight_similarity(vectors @ vectors.T)
    dual = _solve(kernel, np.array([item.owner for item in items]), size)
    return Classifier(columns, rows.T @ dual, dual.sum(axis=0) * np.float32(BIAS), None if vectors is None else dual)


def _solve(kernel: Array, owners: "NDArray[Any]", size: int) -> Array:
    """Return what each item adds to the score of each candidate, (items, candidates)."""
    target = np.zeros((len(owners), size), np.float32)
    target[np.arange(len(owners)), owners] = 1
    importance = np.bincount(owners, minlength=size)[owners] ** -BALANCE
    ridge = RIDGE * importance.mean() / importance
    return np.linalg.solve(kernel + np.diag(ridge).astype(np.float32), target)


def _rows(vectors: Sequence[Vector]) -> tuple[dict[str, int], Array]:
    names = dict.fromkeys(term for vector in vectors for term in vector)
    columns = {term: column for column, term in enumerate(names)}
    rows = np.zeros((len(vectors), len(columns)), np.float32)
    for row, vector in zip(rows, vectors, strict=True):
        row[[columns[term] for term in vector]] = list(vector.values())
    return columns, rows
