"""The weights of a small BERT for `onnx_bert.py`.

They are memory-mapped from the safetensors file, so worker processes on one machine share the pages.
"""

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_TYPES = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoder layer. Weights are (out, in), as torch saves them; `qkv` is query, key and value concatenated."""

    qkv: Array
    qkv_bias: Array
    out: Array
    out_bias: Array
    out_norm: tuple[Array, Array]
    up: Array
    up_bias: Array
    down: Array
    down_bias: Array
    down_norm: tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Bert:
    """The weights of a model, and its number of attention heads."""

    words: Array
    positions: Array
    kind: Array
    norm: tuple[Array, Array]
    layers: tuple[Layer, ...]
    heads: int
    mapped: mmap.mmap
    """The file; its pages are in memory only while they are used."""

    def release(self) -> None:
        """Let the pages go that were read so far; they are read again when they are needed."""
        if hasattr(mmap, "MADV_DONTNEED"):  # Linux, macOS
            self.mapped.madvise(mmap.MADV_DONTNEED)


def load_bert(folder: Path) -> Bert:
    """Map the model in `folder` (`model.safetensors`, `config.json`). Raises OSError or KeyError if it isn't one."""
    weights, mapped = map_tensors(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    positions = weights["embeddings.position_embeddings.weight"]
    return Bert(
        words=weights["embeddings.word_embeddings.weight"],
        positions=positions,
        kind=weights["embeddings.token_type_embeddings.weight"][0],
        norm=_norm(weights, "embeddings.LayerNorm"),
        layers=tuple(_layer(weights, f"encoder.layer.{i}") for i in range(config["num_hidden_layers"])),
        heads=config["num_attention_heads"],
        mapped=mapped,
    )


def map_tensors(path: Path) -> tuple[dict[str, Any], mmap.mmap]:
    """Return the tensors of a safetensors file (8 bytes of length, a JSON header, the data) as views of the mapped file, and
    that."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    data = np.frombuffer(mapped, dtype=np.uint8, offset=8 + length)
    found = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        found[name] = data[start:end].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return found, mapped


def _layer(weights: dict[str, Any], name: str) -> Layer:
    own = f"{name}.attention.self"
    three = ("query", "key", "value")
    return Layer(
        qkv=np.concatenate([weights[f"{own}.{part}.weight"] for part in three]),
        qkv_bias=np.concatenate([weights[f"{own}.{part}.bias"] for part in three]),
        out=weights[f"{name}.attention.output.dense.weight"],
        out_bias=weights[f"{name}.attention.output.dense.bias"],
        out_norm=_norm(weights, f"{name}.attention.output.LayerNorm"),
        up=weights[f"{name}.intermediate.dense.weight"],
        up_bias=weights[f"{name}.intermediate.dense.bias"],
        down=weights[f"{name}.output.dense.weight"],
        down_bias=weights[f"{name}.output.dense.bias"],
        down_norm=_norm(weights, f"{name}.output.LayerNorm"),
    )


def _norm(weights: dict[str, Any], name: str) -> tuple[Array, Array]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
