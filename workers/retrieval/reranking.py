"""Re-ranking of the best candidates with a cross-encoder, which reads the query and a passage together.

Optional: it is slower than the rest of a search, and needs weights in the local Hugging Face cache. Only workers load one.
"""

import asyncio
import importlib
import math
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from graphs.providers.errors import ModelUnknown, ProviderUnknown

MAX_RERANKED = 50
BATCH_SIZE = 8


class Reranker(Protocol):
    """Rates passages against a query."""

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers the query, 0–1, in order."""
        ...


class CrossEncoder:
    """A sentence-transformers cross-encoder, by name or folder. Loaded at first use; calls run one at a time."""

    def __init__(self, model: str, *, download: bool = False) -> None:
        self.model = model
        self._download = download
        self._lock = threading.Lock()
        self._model: Any = None

    async def rate(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return how well each text answers the query, 0–1. Raises ModelUnknown, or ProviderUnknown without torch."""
        if not texts:
            return []
        return await asyncio.to_thread(self._rate, query, list(texts))

    def _rate(self, query: str, texts: list[str]) -> list[float]:
        with self._lock:
            if self._model is None:
                self._model = self._load()
            pairs = [(query, text) for text in texts]
            logits = self._model.predict(pairs, batch_size=BATCH_SIZE, show_progress_bar=False, activation_fn=_identity)
        return [1 / (1 + math.exp(-float(logit))) for logit in logits]

    def _load(self) -> Any:
        try:
            engine = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise ProviderUnknown("Reranking requires sentence-transformers, which is not installed.") from error
        try:
            return engine.CrossEncoder(self.model, device="cpu", local_files_only=not self._download, num_labels=1)
        except (OSError, ValueError) as error:
            raise ModelUnknown(f"{self.model!r} is not on this machine, or is not a cross-encoder.") from error


def _identity(logits: Any) -> Any:
    return logits
