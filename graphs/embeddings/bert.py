"""The forward pass of a small BERT in numpy: token ids to one normalised vector per text.

It exists so that embeddings work without torch (754 MB, four seconds to import). The same sums as
sentence-transformers makes for all-MiniLM-L6-v2: encoder, mean over the tokens, length 1. Only inference, only fp32.

The weights are mapped from the safetensors file, not read: worker processes on one machine share its pages.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
EPSILON = 1e-12
FEW_ROWS = 40
_TYPES = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoder layer. Weights lie as (out, in), the way torch saves them; `qkv` is query, key and value in one."""

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
    """The weights of a model, and how many heads its attention has."""

    words: Array
    positions: Array
    kind: Array
    norm: tuple[Array, Array]
    layers: tuple[Layer, ...]
    heads: int


def load_bert(folder: Path) -> Bert:
    """Map the model in `folder` (`model.safetensors`, `config.json`). Raises OSError or KeyError if it isn't one."""
    weights = map_tensors(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    positions = weights["embeddings.position_embeddings.weight"]
    return Bert(
        words=weights["embeddings.word_embeddings.weight"],
        positions=positions,
        kind=weights["embeddings.token_type_embeddings.weight"][0],
        norm=_norm(weights, "embeddings.LayerNorm"),
        layers=tuple(_layer(weights, f"encoder.layer.{i}") for i in range(config["num_hidden_layers"])),
        heads=config["num_attention_heads"],
    )


def map_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file as views of the mapped file: 8 bytes of length, a JSON header, the data."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
    found = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        # np.asarray: a plain view; operations on the memmap subclass are slower and return memmaps
        found[name] = np.asarray(data[start:end]).view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


def encode(bert: Bert, ids: NDArray[np.int64], mask: Array) -> Array:
    """Vectors of length 1 for a batch: `ids` and `mask` are (texts, tokens), the mask 1 for a token, 0 for padding."""
    texts, tokens = ids.shape
    x = bert.words[ids] + bert.positions[:tokens] + bert.kind
    x = _normalised(x.reshape(texts * tokens, -1), bert.norm)
    hidden = (np.float32(1) - mask[:, None, None, :]) * np.float32(-1e9)
    for layer in bert.layers:
        x = _normalised(x + _attention(layer, x, hidden, bert.heads), layer.out_norm)
        inner = _gelu(_linear(x, layer.up, layer.up_bias))
        x = _normalised(x + _linear(inner, layer.down, layer.down_bias), layer.down_norm)
    return pooled(x, mask)


def pooled(x: Array, mask: Array) -> Array:
    """The mean over each text's tokens, length 1: `x` is (texts · tokens, width), the result (texts, width)."""
    summed = (mask[:, None, :] @ x.reshape(*mask.shape, -1))[:, 0]
    mean = summed / mask.sum(axis=1, keepdims=True)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), EPSILON)


def _attention(layer: Layer, x: Array, hidden: Array, heads: int) -> Array:
    texts, tokens = hidden.shape[0], hidden.shape[-1]
    size = x.shape[-1] // heads
    qkv = _linear(x, layer.qkv, layer.qkv_bias).reshape(texts, tokens, 3, heads, size).transpose(2, 0, 3, 1, 4)
    scores = qkv[0] @ qkv[1].transpose(0, 1, 3, 2) * np.float32(1 / math.sqrt(size)) + hidden
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed = (scores @ qkv[2]).transpose(0, 2, 1, 3).reshape(texts * tokens, -1)
    return _linear(mixed, layer.out, layer.out_bias)


def _linear(x: Array, weight: Array, bias: Array) -> Array:
    """x·Wᵀ + b. For a question's few tokens OpenBLAS is 1.6 times faster the other way round, W·xᵀ; for many, slower."""
    if x.shape[0] <= FEW_ROWS:
        return (weight @ np.ascontiguousarray(x.T)).T + bias
    return x @ weight.T + bias


def _normalised(x: Array, scale: tuple[Array, Array]) -> Array:
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[-1])
    return x / np.sqrt(variance + np.float32(EPSILON)) * scale[0] + scale[1]


def _gelu(x: Array) -> Array:
    """x·Φ(x). The error function is Abramowitz & Stegun 7.1.26, wrong by at most 1.5e-7: less than fp32 rounding
    adds up to. numpy has none, and SciPy would be 35 MB for one function."""
    z = np.abs(x) * np.float32(1 / math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = np.float32(1.061405429) * t - np.float32(1.453152027)
    for factor in (1.421413741, -0.284496736, 0.254829592):
        poly = poly * t + np.float32(factor)
    erf = 1 - poly * t * np.exp(-z * z)
    return x * np.float32(0.5) * (1 + np.copysign(erf, x))


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
