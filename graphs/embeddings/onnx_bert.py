"""A small BERT on onnxruntime: token ids to one vector of length 1 per text. Inference only.

The graph is built here and the weights are passed as they are in the mapped safetensors file: nothing is exported or cached
on disk, and it opens in a tenth of a second. The fused operators are onnxruntime's own (`Attention`,
`SkipLayerNormalization`, `BiasGelu`).

`quantised`, the weights are rounded to int8 on opening. A short text then takes a quarter of the time, because that is spent on
reading the weights from memory, and the session takes 35 MB instead of 118. The vectors differ a little (a sentence's cosine is
about 0.99), and one in ten of the nearest neighbours is lost: good for telling agents apart (`tests/routing`), not for an
index.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graphs.embeddings.bert_weights import Array, Bert, Layer, load_bert
from graphs.embeddings.onnx_bytes import FLOAT, INT8, INT32, INT64, MICROSOFT, Graph, Tensor, model, node

STATES, POSITIONS, LENGTHS, SHAPE, OUT = "states", "positions", "lengths", "shape", "out"
FLAT, THIRDS = "flat", "thirds"
EPSILON = 1e-12
AnyArray = NDArray[np.float32] | NDArray[np.int8]


class OnnxBert:
    """A session over the weights in `folder`. Threads may call it at once; each call uses `threads` of its own."""

    def __init__(self, folder: Path, *, threads: int = 1, quantised: bool = False) -> None:
        bert = load_bert(folder)
        self._words, self._positions = bert.words, bert.positions + bert.kind
        self._session = _open(bert, threads, _QuantisedWriter if quantised else _Writer)
        bert.release()  # the session has what it needs of them, arranged for its kernels

    def encode(self, ids: NDArray[np.int64], mask: Array) -> Array:
        """Return vectors of length 1 for a batch: `ids` and `mask` are (texts, tokens); the mask is 1 for a token, 0 for
        padding at the end of a text."""
        texts, tokens = ids.shape
        inputs = {
            STATES: self._words[ids].reshape(texts * tokens, -1),
            POSITIONS: np.tile(self._positions[:tokens], (texts, 1)),
            LENGTHS: mask.sum(axis=1).astype(np.int32),
            SHAPE: np.array([texts, tokens, self._words.shape[1]], dtype=np.int64),
        }
        return mean_pool(np.asarray(self._session.run([OUT], inputs)[0]), mask)


def mean_pool(states: Array, mask: Array) -> Array:
    """Return the mean over each text's tokens at length 1: `states` is (texts · tokens, width), the result (texts, width)."""
    summed = (mask[:, None, :] @ states.reshape(*mask.shape, -1))[:, 0]
    mean = summed / mask.sum(axis=1, keepdims=True)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), EPSILON)


def _open(bert: Bert, threads: int, writer: "type[_Writer]") -> ort.InferenceSession:
    graph, weights = _build_graph(bert, writer)
    options = session_options(threads)
    values = [ort.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    return ort.InferenceSession(model(graph), options, providers=["CPUExecutionProvider"])


def session_options(threads: int) -> ort.SessionOptions:
    """Return the options of a session whose calls use this many threads each."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps the largest batch's memory for good, and is no faster
    # Idle threads sleep instead of spinning: other work shares these cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _build_graph(bert: Bert, new_writer: "type[_Writer]") -> tuple[Graph, dict[str, AnyArray]]:
    """Return the graph and its weights by name. States are (texts · tokens, width), except where attention needs texts."""
    width = bert.words.shape[1]
    writer = new_writer(
        Graph(
            inputs=[
                Tensor(STATES, FLOAT, ("rows", width)),
                Tensor(POSITIONS, FLOAT, ("rows", width)),
                Tensor(LENGTHS, INT32, ("texts",)),
                Tensor(SHAPE, INT64, (3,)),
            ],
            outputs=[Tensor(OUT, FLOAT, ("rows", width))],
            constants={FLAT: (-1, width)},
        )
    )
    states = writer.normalised(STATES, POSITIONS, bert.norm, "embedded")
    for number, layer in enumerate(bert.layers):
        last = number == len(bert.layers) - 1
        states = _add_layer(writer, layer, states, f"layer{number}", OUT if last else f"layer{number}", bert.heads)
    return writer.graph, writer.weights


def _add_layer(writer: "_Writer", layer: Layer, states: str, name: str, out: str, heads: int) -> str:
    batched = writer.add("Reshape", (states, SHAPE), f"{name}.batched")
    mixed = writer.attention(batched, layer, name, heads)
    flat = writer.add("Reshape", (mixed, FLAT), f"{name}.flat")
    projected = writer.linear(flat, layer.out, layer.out_bias, f"{name}.projected")
    attended = writer.normalised(projected, states, layer.out_norm, f"{name}.attended")
    expanded = writer.linear(attended, layer.up, None, f"{name}.expanded")
    activated = writer.add(
        "BiasGelu", (expanded, writer.weight(f"{name}.up_bias", layer.up_bias)), f"{name}.activated", MICROSOFT
    )
    contracted = writer.linear(activated, layer.down, layer.down_bias, f"{name}.contracted")
    return writer.normalised(contracted, attended, layer.down_norm, out)


class _Writer:
    """Collects nodes and their weights; every method returns the name of what it added."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.weights: dict[str, AnyArray] = {}

    def add(self, op: str, inputs: tuple[str, ...], output: str, domain: str = "", **options: float) -> str:
        self.graph.nodes.append(node(op, inputs, output, domain=domain, options=options))
        return output

    def weight(self, name: str, values: AnyArray) -> str:
        self.graph.weights.append(Tensor(name, INT8 if values.dtype == np.int8 else FLOAT, values.shape))
        self.weights[name] = values
        return name

    def attention(self, x: str, layer: Layer, name: str, heads: int) -> str:
        qkv = self.weight(f"{name}.qkv", np.ascontiguousarray(layer.qkv.T))
        inputs = (x, qkv, self.weight(f"{name}.qkv_bias", layer.qkv_bias), LENGTHS)
        return self.add("Attention", inputs, f"{name}.mixed", MICROSOFT, num_heads=heads)

    def linear(self, x: str, weight: Array, bias: Array | None, output: str) -> str:
        inputs = (x, self.weight(f"{output}.weight", weight))
        if bias is not None:
            inputs = (*inputs, self.weight(f"{output}.bias", bias))
        return self.add("Gemm", inputs, output, transB=1)

    def normalised(self, x: str, skip: str, norm: tuple[Array, Array], output: str) -> str:
        scale, shift = self.weight(f"{output}.scale", norm[0]), self.weight(f"{output}.shift", norm[1])
        return self.add("SkipLayerNormalization", (x, skip, scale, shift), output, MICROSOFT, epsilon=EPSILON)


class _QuantisedWriter(_Writer):
    """Rounds the weights of each output to 255 steps; what they are multiplied with is rounded at run time."""

    def attention(self, x: str, layer: Layer, name: str, heads: int) -> str:
        width = layer.qkv.shape[1]
        self.graph.constants[THIRDS] = (width, width, width)
        three = [f"{name}.query", f"{name}.key", f"{name}.value"]
        qkv = self.linear(x, layer.qkv, layer.qkv_bias, f"{name}.qkv")
        self.graph.nodes.append(node("Split", (qkv, THIRDS), *three, options={"axis": 2}))
        inputs = (*three, "", LENGTHS)
        return self.add("MultiHeadAttention", inputs, f"{name}.mixed", MICROSOFT, num_heads=heads)

    def linear(self, x: str, weight: Array, bias: Array | None, output: str) -> str:
        step = np.abs(weight).max(axis=1) / 127
        rounded = np.rint(weight / step[:, None]).astype(np.int8)
        weights = (
            self.weight(f"{output}.weight", np.ascontiguousarray(rounded.T)),
            self.weight(f"{output}.step", step.astype(np.float32)),
        )
        last = () if bias is None else (self.weight(f"{output}.bias", bias),)
        return self.add("DynamicQuantizeMatMul", (x, *weights, "", *last), output, MICROSOFT)
