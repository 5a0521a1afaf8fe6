"""Encodes ONNX files: the part of the format that a graph with external weights needs.

ONNX is one protobuf message that the runtime reads from memory, so a few dozen nodes need neither the package `onnx` (18 MB)
nor protobuf. Field numbers and types are those of the ONNX project's `onnx.proto3`.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
"""Tensor types (`TensorProto.DataType`)."""
BYTES = {FLOAT: 4, INT8: 1, UINT8: 1}
"""Sizes of the types that weights may have."""
MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's fused operators (its `docs/ContribOperators.md`)."""

IR_VERSION, OPSET, MICROSOFT_OPSET = 8, 17, 1
_EXTERNAL = 1

Size = int | str
"""The length of a dimension, or a name for one that is only known at run time."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named value: its type and its shape."""

    name: str
    kind: int
    shape: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order in which they run. `weights` are external data that the session is given by name; `constants` are
    int64 vectors inside the file."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    nodes: list[bytes] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    constants: dict[str, tuple[int, ...]] = field(default_factory=dict)


def node(
    op: str, inputs: Sequence[str], *outputs: str, domain: str = "", options: Mapping[str, float] | None = None
) -> bytes:
    """Encode a node: `outputs` = op(inputs). An optional input that is left out is ""."""
    parts = [_text(1, name) for name in inputs]
    parts += [_text(2, name) for name in outputs]
    parts += [_text(4, op), *(_part(5, _attribute(*item)) for item in (options or {}).items())]
    return b"".join(parts) + (_text(7, domain) if domain else b"")


def model(graph: Graph) -> bytes:
    """Encode the whole file. The runtime validates it on opening."""
    parts = [_part(1, item) for item in graph.nodes]
    parts.append(_text(2, "graph"))
    parts += [_part(5, _weight(weight)) for weight in graph.weights]
    parts += [_part(5, _constant(name, values)) for name, values in graph.constants.items()]
    parts += [_part(11, _value(item)) for item in graph.inputs]
    parts += [_part(12, _value(item)) for item in graph.outputs]
    opsets = _number(2, OPSET), _text(1, MICROSOFT) + _number(2, MICROSOFT_OPSET)
    return _number(1, IR_VERSION) + _part(7, b"".join(parts)) + b"".join(_part(8, opset) for opset in opsets)


def _weight(weight: Tensor) -> bytes:
    sizes = [int(size) for size in weight.shape]
    length = math.prod(sizes) * BYTES[weight.kind]
    # The location is never opened: the session is given the data.
    location = {"location": weight.name, "offset": "0", "length": str(length)}
    entries = [_part(13, _text(1, key) + _text(2, value)) for key, value in location.items()]
    dims = b"".join(_number(1, size) for size in sizes)
    return dims + _number(2, weight.kind) + _text(8, weight.name) + b"".join(entries) + _number(14, _EXTERNAL)


def _constant(name: str, values: tuple[int, ...]) -> bytes:
    data = b"".join(value.to_bytes(8, "little", signed=True) for value in values)
    return _number(1, len(values)) + _number(2, INT64) + _text(8, name) + _part(9, data)


def _value(tensor: Tensor) -> bytes:
    dims = [_part(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in tensor.shape]
    kind = _number(1, tensor.kind) + _part(2, b"".join(dims))
    return _text(1, tensor.name) + _part(2, _part(1, kind))


def _attribute(name: str, value: float) -> bytes:
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
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
