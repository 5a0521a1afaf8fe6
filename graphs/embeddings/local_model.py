"""What the embedding models of our own processes share: loading on first use, batches, threads, a cache of short texts.

A model is a subclass that opens a tokenizer and a session (`minilm.py`, `e5.py`).
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from graphs.embeddings.texts import clean
from graphs.providers.errors import ModelUnknown
from schema.ttl_cache import TtlCache

BATCH_TOKENS = 512
"""Tokens per batch, including padding. More would exceed the processor's cache and be slower."""
MAX_CACHED_TEXTS = 2048
MAX_CACHED_CHARS = 300
"""Longer texts are chunks of documents, which are not embedded twice; questions and agents' examples are."""


class Session(Protocol):
    """A model that turns token ids into vectors."""

    def encode(self, ids: Any, mask: Any) -> Any:
        """Return vectors of length 1 for a batch: `ids` and `mask` are (texts, tokens)."""
        ...


Tokenize = Callable[[list[str]], list[list[int]]]


class LocalModel(ABC):
    """A model. Loads on first use, runs in threads, caches the vectors of short texts (at most 4 MB).

    Matrix products release the GIL, so the event loop keeps running. One call uses `threads`: more processes scale better,
    and with one thread per core they wait for each other as soon as another process is busy too.
    """

    engine: ClassVar[str]
    model: ClassVar[str]
    dimensions: ClassVar[int]

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[Tokenize, Session] | None = None
        self._cache: TtlCache[str, array[float]] = TtlCache(MAX_CACHED_TEXTS)
        self._idle_s: float | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._after_unload: Callable[[], None] = lambda: None

    @abstractmethod
    def _open(self) -> tuple[Tokenize, Session]:
        """Load the model. Raises ProviderUnknown if it is not installed."""

    async def embed(self, texts: Sequence[str], model: str | None = None) -> list[list[float]]:
        """Return one vector per text, in order. If all are cached, no thread is used. Raises ModelUnknown, or ProviderUnknown
        if the weights are not installed."""
        if model is not None and model.removeprefix("sentence-transformers/") != self.model:
            raise ModelUnknown(f"The engine {self.engine!r} has only {self.model}, not {model[:80]!r}.")
        cleaned = [clean(text) for text in texts]
        with self._lock:
            found = {text: self._cache.get(text) for text in cleaned}
        missing = [text for text, vector in found.items() if vector is None]
        if missing:
            fresh = await asyncio.to_thread(self._embed, missing)
            found.update(zip(missing, fresh, strict=True))
            self._unload_later()
        return [list(found[text] or ()) for text in cleaned]

    def unload_when_idle(self, idle_s: float, after: Callable[[], None] = lambda: None) -> None:
        """Let go of the weights' 60 MB whenever nothing was embedded for so long, and then call `after`. Whoever comes next
        waits a tenth of a second, or two of e5's, until they are loaded again."""
        self._idle_s, self._after_unload = idle_s, after

    def _unload_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._idle_s is not None:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._unload)

    def _unload(self) -> None:
        with self._lock:
            self._loaded = None
        self._after_unload()

    def load(self) -> None:
        """Load now; a worker calls this at start-up, so that no question has to wait for it."""
        self._get()

    def _embed(self, texts: list[str]) -> "list[array[float]]":
        tokenize, session = self._get()
        encoded = tokenize(texts)
        vectors: list[array[float]] = [array("f")] * len(texts)
        for batch in _batches([len(ids) for ids in encoded]):
            for index, vector in zip(batch, _run(session, [encoded[i] for i in batch]), strict=True):
                vectors[index] = array("f", vector.tobytes())
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                if len(text) <= MAX_CACHED_CHARS:
                    self._cache.put(text, vector)
        return vectors

    def _get(self) -> tuple[Tokenize, Session]:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._open()
            return self._loaded


def _run(session: Session, ids: list[list[int]]) -> Any:
    import numpy as np

    padded = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
    mask = np.zeros(padded.shape, dtype=np.float32)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return session.encode(padded, mask)


def _batches(lengths: list[int]) -> list[list[int]]:
    """Return batches of indices, with texts of similar length together, so that there is little padding."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches
