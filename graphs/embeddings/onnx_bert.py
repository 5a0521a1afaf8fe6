"""A small BERT on onnxruntime: token ids to one vector of length 1 per text. Inference only, fp32 only.

The graph is built here and the weights are passed as they are in the mapped safetensors file: nothing is exported or cached
on disk, and it opens in a tenth of a second. int8 would lose one in ten of the nearest neighbours. The fused operators are
onnxruntime's own (`Attention`, `SkipLayerNormalization`, `BiasGelu`).
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graphs.embeddings.bert_weights import Array, Bert, Layer, load_bert
from graphs.embeddings.onnx_bytes import FLOAT, INT32, INT64, MICROSOFT, Graph, Tensor, model, node

STATES, POSITIONS, LENGTHS, SHAPE, OUT, FLAT = "states", "positions", "lengths", "shape", "out", "flat"
EPSILON = 1e-12


class OnnxBert:
    """A session over the weights in `folder`. Threads may call it at once; each call uses `threads` of its own."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        bert = load_bert(folder)
        self._words, self._positions = bert.words, bert.positions + bert.kind
        self._session = _open(bert, threads)

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
        return _mean_pool(np.asarray(self._session.run([OUT], inputs)[0]), mask)


def _mean_pool(states: Array, mask: Array) -> Array:
    """Return the mean over each text's tokens at length 1: `states` is (texts · tokens, width), the result (texts, width)."""
    summed = (mask[:, None, :] @ states.reshape(*mask.shape, -1))[:, 0]
    mean = summed / mask.sum(axis=1, keepdims=True)
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), EPSILON)


def _open(bert: Bert, threads: int) -> ort.InferenceSession:
    graph, weights = _build_graph(bert)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads sleep instead of spinning: other work shares these cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [ort.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    return ort.InferenceSession(model(graph), options, providers=["CPUExecutionProvider"])


def _build_graph(bert: Bert) -> tuple[Graph, dict[str, Array]]:
    """Return the graph and its weights by name. States are (texts · tokens, width), except where attention needs texts."""
    width = bert.words.shape[1]
    writer = _Writer(
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
    qkv = writer.weight(f"{name}.qkv", np.ascontiguousarray(layer.qkv.T))
    inputs = (batched, qkv, writer.weight(f"{name}.qkv_bias", layer.qkv_bias), LENGTHS)
    mixed = writer.add("Attention", inputs, f"{name}.mixed", MICROSOFT, num_heads=heads)
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
        self.weights: dict[str, Array] = {}

    def add(self, op: str, inputs: tuple[str, ...], output: str, domain: str = "", **options: float) -> str:
        self.graph.nodes.append(node(op, inputs, output, domain=domain, options=options))
        return output

    def weight(self, name: str, values: Array) -> str:
        self.graph.weights[name] = values.shape
        self.weights[name] = values
        return name

    def linear(self, x: str, weight: Array, bias: Array | None, output: str) -> str:
        inputs = (x, self.weight(f"{output}.weight", weight))
        if bias is not None:
            inputs = (*inputs, self.weight(f"{output}.bias", bias))
        return self.add("Gemm", inputs, output, transB=1)

    def normalised(self, x: str, skip: str, norm: tuple[Array, Array], output: str) -> str:
        scale, shift = self.weight(f"{output}.scale", norm[0]), self.weight(f"{output}.shift", norm[1])
        return self.add("SkipLayerNormalization", (x, skip, scale, shift), output, MICROSOFT, epsilon=EPSILON)
