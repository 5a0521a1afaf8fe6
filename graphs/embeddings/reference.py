"""sentence-transformers as an embedder: any of its models, at the price of torch.

all-MiniLM-L6-v2 uses the installed weights; other models come from Hugging Face's local cache, or from its hub if allowed.
Importing torch takes seconds and 400 MB, so only workers that embed should open this.
"""

import asyncio
import importlib
import threading
from collections.abc import Sequence
from typing import Any

from graphs.embeddings import minilm
from graphs.embeddings.texts import clean
from graphs.providers.errors import ModelUnknown, ProviderUnknown

ENGINE = "sentence-transformers"
BATCH_SIZE = 8  # on a CPU, small batches of similar length are fastest


class SentenceTransformers:
    """One model of sentence-transformers, loaded on first use. One call at a time, because torch uses all cores."""

    engine = ENGINE

    def __init__(self, model: str = minilm.MODEL, *, download: bool = False) -> None:
        self.model = model
        self._download = download
        self._lock = threading.Lock()
        self._loaded: Any = None

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        """Return one vector of length 1 per text, in order. Raises ModelUnknown, or ProviderUnknown if torch is missing."""
        if model not in (None, self.model):
            raise ModelUnknown(f"This engine was opened for {self.model}, not {str(model)[:80]!r}.")
        if not texts:
            return []
        return await asyncio.to_thread(self._embed, [clean(text) for text in texts])

    def load(self) -> None:
        """Load now; a worker calls this at start-up."""
        with self._lock:
            self._get()

    def _embed(self, texts: list[str]) -> list[list[float]]:
        with self._lock:
            found = self._get().encode(texts, batch_size=BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False)
        return found.tolist()

    def _get(self) -> Any:
        if self._loaded is None:
            self._loaded = self._open()
        return self._loaded

    def _open(self) -> Any:
        try:
            engine = importlib.import_module("sentence_transformers")
        except ImportError as exc:
            raise ProviderUnknown(f"The engine {ENGINE!r} needs torch, which is not installed.") from exc
        known = self.model.removeprefix("sentence-transformers/") == minilm.MODEL
        try:
            path = str(minilm.find_weights()) if known else self.model
            return engine.SentenceTransformer(path, device="cpu", local_files_only=not self._download)
        except (OSError, ValueError) as exc:
            raise ModelUnknown(f"{self.model!r} is not on this machine, or is not an embedding model.") from exc
