"""Putting the best candidates in a better order with a cross-encoder, which reads question and passage together.

Optional: slower than all the rest of a search, and its weights come from the local cache of Hugging Face. Only workers
open one.
"""

import asyncio
import importlib
import math
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from graphs.providers.errors import ModelUnknown, ProviderUnknown

MOST = 50
"""Candidates that are read again."""
BATCH = 8


class Reranker(Protocol):
    """Something that reads passages beside the question."""

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers, 0–1, in order."""
        ...


class CrossEncoder:
    """A cross-encoder of sentence-transformers by its name or folder, loaded at its first use, one call at a time."""

    def __init__(self, model: str, *, download: bool = False) -> None:
        self.model = model
        self._download = download
        self._lock = threading.Lock()
        self._loaded: Any = None

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers, 0–1. Raises ModelUnknown, or ProviderUnknown where torch is missing."""
        if not texts:
            return []
        return await asyncio.to_thread(self._rate, query, list(texts))

    def _rate(self, query: str, texts: list[str]) -> list[float]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._open()
            pairs = [(query, text) for text in texts]
            logits = self._loaded.predict(pairs, batch_size=BATCH, show_progress_bar=False, activation_fn=_as_it_is)
        return [1 / (1 + math.exp(-float(logit))) for logit in logits]

    def _open(self) -> Any:
        try:
            engine = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise ProviderUnknown("Reranking requires sentence-transformers, which is not installed.") from error
        try:
            return engine.CrossEncoder(self.model, device="cpu", local_files_only=not self._download, num_labels=1)
        except (OSError, ValueError) as error:
            raise ModelUnknown(f"{self.model!r} is not on this machine, or is not a cross-encoder.") from error


def _as_it_is(logits: Any) -> Any:
    return logits
