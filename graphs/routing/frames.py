"""What kind of answer a text asks for, before what it is about: live figures, documents, a picture's text, what everybody knows
(or small talk), or nothing that can be told.

A linear model over the text's vector and its words, the same for every tenant. It was fitted on `tests/routing/data`
(`python -m tests.routing fit` writes `frames.json`) with the vectors of multilingual-e5-small; with another embedder its words
alone decide.
"""

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphs.language.patterns import mark_codes
from graphs.language.tokenization import normalise

FRAMES = ("live", "documents", "picture", "nobody", "vague")
LIVE, DOCUMENTS, PICTURE, NOBODY, VAGUE = range(5)
SPACE = "e5/multilingual-e5-small"
"""The space of the vectors that it was fitted with."""
FILE = Path(__file__).with_name("frames.json")
WORD_VECTOR_FILE = Path(__file__).with_name("glance.json")
_WORD = re.compile(r"‹\w+›|\w+|[?]")

Array = NDArray[np.float32]


class FrameModel:
    """The fitted model. `words` are (weight of a word, its row); `vector` is (dimensions, frames)."""

    def __init__(self, fitted: dict[str, Any]) -> None:
        self._words = {word: (rarity, np.array(row, np.float32)) for word, (rarity, row) in fitted["words"].items()}
        self._vector = np.array(fitted["vector"], np.float32)
        self._mean = np.array(fitted["mean"], np.float32)
        self._bias = np.array(fitted["bias"], np.float32)

    def probabilities(self, text: str, vector: Array | None) -> list[float]:
        """Return the probability of each of FRAMES."""
        total = self._bias + self._by_words(text)
        if vector is not None and len(vector) == len(self._mean):
            total = total + centre(vector, self._mean) @ self._vector
        exponentials = np.exp(total - total.max())
        found: list[float] = (exponentials / exponentials.sum()).tolist()
        return found

    def _by_words(self, text: str) -> Array:
        found = [self._words[word] for word in frame_words(text) if word in self._words]
        if not found:
            return np.zeros(len(FRAMES), np.float32)
        length = math.sqrt(sum(rarity * rarity for rarity, _ in found))
        return np.sum([rarity / length * row for rarity, row in found], axis=0)


def frame_words(text: str) -> list[str]:
    """Return the words that the model looks at, each once."""
    return list(dict.fromkeys(_WORD.findall(normalise(mark_codes(text)))))


def centre(vectors: Array, mean: Array) -> Array:
    """Return the vectors without what all texts share, at length 1."""
    moved = vectors - mean
    return moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-9)


@cache
def frame_model(file: Path = FILE) -> FrameModel:
    """Return the fitted model, or with WORD_VECTOR_FILE the one for vectors of words."""
    return FrameModel(json.loads(file.read_text()))
