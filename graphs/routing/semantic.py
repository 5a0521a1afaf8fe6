"""Embeddings for the router: of candidates' texts, which are kept, and of utterances.

Kept by text, so a new example costs one embedding: in this process, and in a store that other processes and later ones read.
What an embedder has not learned is embedded as its word-by-word translation. Not for: which candidate a vector points to
(`classifiers.py`).
"""

import random
import re
from collections.abc import Mapping, Sequence
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


class WordVectorEmbedder(Protocol):
    """Makes vectors of texts' words alone; `graphs.embeddings.word_vectors.WordVectors`."""

    def embed(self, texts: Sequence[str]) -> Array:
        """Return vectors of length 1, (texts, dimensions)."""
        ...


class VectorStore(Protocol):
    """Keeps vectors for other processes and later ones, by the text that was embedded. Without its server it finds nothing and
    keeps nothing (fails open)."""

    async def find(self, texts: Sequence[str]) -> list[bytes | None]:
        """Return what was kept for each text."""
        ...

    async def keep(self, vectors: Mapping[str, bytes]) -> None:
        """Keep these."""
        ...


class VectorCache:
    """The vectors of candidates' texts: in this process, in the store, or embedded now."""

    def __init__(self, embedder: TextEmbedder, store: VectorStore | None = None) -> None:
        self._embedder, self._store = embedder, store
        self._cache: TtlCache[str, Array] = TtlCache(MAX_CACHED_TEXTS)

    async def embed_examples(self, texts: Sequence[str]) -> Array:
        """Return the vectors of candidates' texts, (texts, dimensions), of length 1. Raises what the embedder raises."""
        found = {text: vector for text in texts if (vector := self._cache.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        found |= await self._from_store(missing)
        missing = [text for text in missing if text not in found]
        random.shuffle(missing)  # processes that start together then embed different texts, and find each other's
        for start in range(0, len(missing), EMBED_BATCH_SIZE):
            found |= await self._embed_or_find(missing[start : start + EMBED_BATCH_SIZE], again=start > 0)
        return np.stack([found[text] for text in texts])

    async def _embed_or_find(self, batch: list[str], *, again: bool) -> dict[str, Array]:
        found = await self._from_store(batch) if again else {}
        missing = [text for text in batch if text not in found]
        if not missing:
            return found
        packed = {text: pack_vector(v) for text, v in zip(missing, await self.embed_utterances(missing), strict=True)}
        if self._store is not None:
            await self._store.keep({self._prepare(text): data for text, data in packed.items()})
        return found | {text: self._put(text, data) for text, data in packed.items()}

    async def _from_store(self, texts: Sequence[str]) -> dict[str, Array]:
        if self._store is None or not texts:
            return {}
        stored = await self._store.find([self._prepare(text) for text in texts])
        return {text: self._put(text, data) for text, data in zip(texts, stored, strict=True) if data}

    def _put(self, text: str, packed: bytes) -> Array:
        vector = unpack_vector(packed)
        self._cache.put(text, vector)
        return vector

    async def embed_utterances(self, texts: Sequence[str]) -> Array:
        """Return the vectors of utterances, which are not cached. Raises what the embedder raises."""
        rows = await self._embedder.embed([self._prepare(text) for text in texts])
        matrix = np.array(rows, dtype=np.float32).reshape(len(texts), -1)
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)

    def _prepare(self, text: str) -> str:
        return text_to_embed(head_and_tail(text, MAX_UTTERANCE_CHARS), english_only=self._embedder.english_only)


def word_vectors_of(glance: WordVectorEmbedder, texts: Sequence[str]) -> Array:
    """Return the vectors of texts' words, (texts, dimensions)."""
    return glance.embed([text_to_embed(head_and_tail(text, MAX_UTTERANCE_CHARS), english_only=False) for text in texts])


def pack_vector(vector: Array) -> bytes:
    """Return a vector as it is kept: numbers of two bytes, which change a cosine by a millionth."""
    return vector.astype("<f2").tobytes()


def unpack_vector(packed: bytes) -> Array:
    """Return a vector of length 1, the same in whichever process it was embedded."""
    vector = np.frombuffer(packed, "<f2").astype(np.float32)
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-12))


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
    marked = re.sub(r"‹(\w+)›", r"\1", mark_codes(_NAMES.sub("", text)))
    return " ".join(marked.split())
