"""Vectors of texts for the router: of candidates' texts, kept by content, and of what is said.

Kept per text, so a new example costs one embedding and not all again; bounded, and made again after a restart.
Vietnamese is embedded as its gloss. Not for: which candidate a vector speaks for (`heads.py`).
"""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from graphs.language.detection import detect_language
from graphs.language.patterns import mark_codes
from graphs.language.tokenization import ends_of, has_diacritics
from graphs.language.translate_words import translate_words
from graphs.routing.classifiers import Array
from schema.ttl_cache import TtlCache

KEPT_TEXTS = 8192
"""12 MB with vectors of 384 numbers."""
AT_ONCE = 16
"""Texts per call of the embedder, about 60 ms; between two calls others get their turn."""
SPOKEN = 240
"""Characters of a text that are embedded, half of them from its end if it is longer."""

_CAPITALISED = r"[A-ZĐÀ-Ỹ][a-zà-ỹđ]+"
_NAMES = re.compile(rf"(?<=[\w,] ){_CAPITALISED}(?: {_CAPITALISED})*")


class Embeds(Protocol):
    """What is needed of an embedder; `graphs.embeddings.registry.OpenEmbedder` is one."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        ...


class Vectors:
    """The vectors of one process."""

    def __init__(self, embedder: Embeds) -> None:
        self._embedder = embedder
        self._kept: TtlCache[str, Array] = TtlCache(KEPT_TEXTS)

    def missing(self, texts: Sequence[str]) -> int:
        """How many of these would have to be embedded."""
        return sum(text not in self._kept for text in set(texts))

    async def of(self, texts: Sequence[str]) -> Array:
        """The vectors of candidates' texts, (texts, dimensions), of length 1. Raises what the embedder raises."""
        found = {text: vector for text in texts if (vector := self._kept.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(missing), AT_ONCE):
            piece = missing[start : start + AT_ONCE]
            found.update(zip(piece, await self.spoken(piece), strict=True))
            for text in piece:
                self._kept.put(text, found[text])
        return np.stack([found[text] for text in texts])

    async def spoken(self, texts: Sequence[str]) -> Array:
        """The vectors of utterances, which are not kept here. Raises what the embedder raises."""
        rows = await self._embedder.embed([in_english(ends_of(text, SPOKEN)) for text in texts])
        matrix = np.array(rows, dtype=np.float32).reshape(len(texts), -1)
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)


def in_english(text: str) -> str:
    """What of a text is embedded: the gloss of a Vietnamese one, any other as it is; numbers and codes by their kind, and
    without the names inside a sentence, which say who is meant and not what."""
    plain = _NAMES.sub("", text)
    english = translate_words(plain) if has_diacritics(plain) or detect_language(text) == "vi" else plain
    marked = re.sub(r"‹(\w+)›", lambda kind: f"{kind[1].replace('_', ' ')} number", mark_codes(english))
    return " ".join(marked.split())
