"""Embeddings for the router: of candidates' texts, which are cached, and of utterances.

Cached by text, so a new example costs one embedding; bounded, and empty after a restart. What an
embedder has not learned is embedded as its word-by-word translation. Not for: which candidate a vector points to
(`classifiers.py`).
"""

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from graphs.language.detection import detect_language
from graphs.language.patterns import mark_codes
from graphs.language.tokenization import has_diacritics, head_and_tail
from graphs.language.translate_words import translate_words
from graphs.routing.classifiers import Array
from schema.ttl_cache import TtlCache

MAX_CACHED_TEXTS = 8192
"""12 MB with vectors of 384 numbers."""
EMBED_BATCH_SIZE = 16
"""Texts per call of the embedder, about 60 ms; other callers get their turn in between."""
MAX_UTTERANCE_CHARS = 240
"""Of a text that are embedded; from a longer text, half of them from its end."""

_CAPITALISED = r"[A-ZĐÀ-Ỹ][a-zà-ỹđ]+"
_NAMES = re.compile(rf"(?<=[\w,] ){_CAPITALISED}(?: {_CAPITALISED})*")


class TextEmbedder(Protocol):
    """The part of an embedder that the router needs; `graphs.embeddings.registry.OpenEmbedder` has it."""

    @property
    def english_only(self) -> bool:
        """Whether Vietnamese has to be translated for it."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector per text."""
        ...


class VectorCache:
    """The vectors of candidates' texts in one process."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self._embedder = embedder
        self._cache: TtlCache[str, Array] = TtlCache(MAX_CACHED_TEXTS)

    async def embed_examples(self, texts: Sequence[str]) -> Array:
        """Return the vectors of candidates' texts, (texts, dimensions), of length 1. Raises what the embedder raises."""
        found = {text: vector for text in texts if (vector := self._cache.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(missing), EMBED_BATCH_SIZE):
            batch = missing[start : start + EMBED_BATCH_SIZE]
            found.update(zip(batch, await self.embed_utterances(batch), strict=True))
            for text in batch:
                self._cache.put(text, found[text])
        return np.stack([found[text] for text in texts])

    async def embed_utterances(self, texts: Sequence[str]) -> Array:
        """Return the vectors of utterances, which are not cached. Raises what the embedder raises."""
        english_only = self._embedder.english_only
        shortened = [head_and_tail(text, MAX_UTTERANCE_CHARS) for text in texts]
        rows = await self._embedder.embed([text_to_embed(text, english_only=english_only) for text in shortened])
        matrix = np.array(rows, dtype=np.float32).reshape(len(texts), -1)
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)


def text_to_embed(text: str, *, english_only: bool) -> str:
    """Return the text to embed. Vietnamese is translated word by word for an embedder that knows only English; without its
    diacritics, which every embedder has learned little of, for any."""
    plain = _NAMES.sub("", text)
    accented = has_diacritics(plain)
    translated = (accented and english_only) or (not accented and detect_language(text) == "vi")
    return marked_text(translate_words(plain) if translated else plain)


def marked_text(text: str) -> str:
    """Return the text to embed: numbers and codes are replaced by their kind, and names inside a sentence are left out, because
    they say who is meant and not what."""
    marked = re.sub(r"‹(\w+)›", lambda kind: f"{kind[1].replace('_', ' ')} number", mark_codes(_NAMES.sub("", text)))
    return " ".join(marked.split())
