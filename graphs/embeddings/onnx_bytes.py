"""ONNX files as bytes: as much of the format as a graph needs whose weights come from elsewhere.

ONNX is one protobuf message, and the runtime reads it from memory, so neither the package `onnx` (18 MB) nor protobuf is
needed to say a few dozen nodes. Numbers of fields and types are those of `onnx.proto3` of the ONNX project.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FLOAT, INT32, INT64 = 1, 6, 7
"""Kinds of tensors (`TensorProto.DataType`)."""
MICROSOFT = "com.microsoft"
"""The domain of the fused operators that onnxruntime brings (its `docs/ContribOperators.md`)."""

IR_VERSION, OPSET, MICROSOFT_OPSET = 8, 17, 1
_EXTERNAL = 1

Size = int | str
"""The length of a dimension, or a name for one that is known only when it runs."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value by name: its kind and its shape."""

    name: str
    kind: int
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order in which they run. `weights` are given to the session by name (external data in ONNX's words);
    `constants` are vectors of int64 that stand in the file."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    nodes: list[bytes] = field(default_factory=list)
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    constants: dict[str, tuple[int, ...]] = field(default_factory=dict)


def node(
    op: str, inputs: Sequence[str], output: str, *, domain: str = "", options: Mapping[str, float] | None = None
) -> bytes:
    """One step of a graph: `output` = op(inputs)."""
    said = [_text(1, name) for name in inputs]
    said += [_text(2, output), _text(4, op), *(_part(5, _option(*item)) for item in (options or {}).items())]
    return b"".join(said) + (_text(7, domain) if domain else b"")


def model(graph: Graph) -> bytes:
    """The whole file. The runtime checks it when it is opened."""
    said = [_part(1, one) for one in graph.nodes]
    said.append(_text(2, "graph"))
    said += [_part(5, _weight(name, shape)) for name, shape in graph.weights.items()]
    said += [_part(5, _constant(name, values)) for name, values in graph.constants.items()]
    said += [_part(11, _value(one)) for one in graph.inputs]
    said += [_part(12, _value(one)) for one in graph.outputs]
    opsets = _number(2, OPSET), _text(1, MICROSOFT) + _number(2, MICROSOFT_OPSET)
    return _number(1, IR_VERSION) + _part(7, b"".join(said)) + b"".join(_part(8, opset) for opset in opsets)


def _weight(name: str, shape: tuple[int, ...]) -> bytes:
    length = 4
    for size in shape:
        length *= size
    place = {"location": name, "offset": "0", "length": str(length)}  # never opened: the session is given the data
    entries = [_part(13, _text(1, key) + _text(2, value)) for key, value in place.items()]
    dims = b"".join(_number(1, size) for size in shape)
    return dims + _number(2, FLOAT) + _text(8, name) + b"".join(entries) + _number(14, _EXTERNAL)


def _constant(name: str, values: tuple[int, ...]) -> bytes:
    data = b"".join(value.to_bytes(8, "little", signed=True) for value in values)
    return _number(1, len(values)) + _number(2, INT64) + _text(8, name) + _part(9, data)


def _value(tensor: Tensor) -> bytes:
    dims = [_part(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in tensor.shape]
    kind = _number(1, tensor.kind) + _part(2, b"".join(dims))
    return _text(1, tensor.name) + _part(2, _part(1, kind))


def _option(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode())


def _part(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
