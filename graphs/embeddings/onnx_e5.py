"""multilingual-e5-small on onnxruntime with its 4-bit weights as they are in the file: token ids to one vector per text.

`MatMulNBits` multiplies packed weights directly (32 of them share a scale), so the session takes little more than the 11 MB of
the weights; the vectors of words stay in the mapped file, which all processes of a machine share.
"""

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graphs.embeddings.bert_weights import Array
from graphs.embeddings.e5_file import BLOCK, E5File
from graphs.embeddings.onnx_bert import mean_pool, session_options
from graphs.embeddings.onnx_bytes import FLOAT, INT32, INT64, MICROSOFT, UINT8, Graph, Tensor, model, node

STATES, LENGTHS, SHAPE, OUT = "states", "lengths", "shape", "out"
FLAT, THIRDS = "flat", "thirds"
ACCURACY = 4
"""Inputs are rounded to int8, each block of a token by itself, so a vector does not depend on what it is computed beside."""

AnyArray = NDArray[np.float32] | NDArray[np.uint8]


class OnnxE5:
    """A session over the mapped file. Threads may call it at once; each call uses `threads` of its own."""

    def __init__(self, file: E5File, *, threads: int = 1) -> None:
        self._file = file
        width = file.width
        places = file.tensors["emb.pos"].reshape(-1, width)
        self._positions = places + file.tensors["emb.type"][:width]
        writer = _Writer(file)
        graph = writer.build()
        values = [ort.OrtValue.ortvalue_from_numpy(weight) for weight in writer.weights.values()]
        options = session_options(threads)
        options.add_external_initializers(list(writer.weights), values)
        self._session = ort.InferenceSession(model(graph), options, providers=["CPUExecutionProvider"])

    def encode(self, ids: NDArray[np.int64], mask: Array) -> Array:
        """Return vectors of length 1 for a batch: `ids` and `mask` are (texts, tokens); the mask is 1 for a token, 0 for
        padding at the end of a text."""
        texts, tokens = ids.shape
        states = self._file.words(ids) + self._positions[:tokens]
        inputs = {
            STATES: states.reshape(texts * tokens, -1),
            LENGTHS: mask.sum(axis=1).astype(np.int32),
            SHAPE: np.array([texts, tokens, self._file.width], dtype=np.int64),
        }
        return mean_pool(np.asarray(self._session.run([OUT], inputs)[0]), mask)


class _Writer:
    """Writes the graph and collects its weights; every method returns the name of what it added."""

    def __init__(self, file: E5File) -> None:
        self._file = file
        self.weights: dict[str, AnyArray] = {}
        width = file.width
        self._graph = Graph(
            inputs=[
                Tensor(STATES, FLOAT, ("rows", width)),
                Tensor(LENGTHS, INT32, ("texts",)),
                Tensor(SHAPE, INT64, (3,)),
            ],
            outputs=[Tensor(OUT, FLOAT, ("rows", width))],
            constants={FLAT: (-1, width), THIRDS: (width, width, width)},
        )

    def build(self) -> Graph:
        """Return the graph. States are (texts · tokens, width), except where attention needs texts."""
        scale, shift = self._weight("emb.ln.w"), self._weight("emb.ln.b")
        options = {"axis": 1, "epsilon": self._file.epsilon}
        states = self._add("LayerNormalization", (STATES, scale, shift), "embedded", "", **options)
        for number in range(self._file.layers):
            states = self._layer(states, f"l{number}", OUT if number == self._file.layers - 1 else f"l{number}")
        return self._graph

    def _layer(self, states: str, name: str, out: str) -> str:
        qkv = self._linear(states, [f"{name}.q", f"{name}.k", f"{name}.v"], f"{name}.qkv")
        three = [f"{name}.{part}s" for part in ("query", "key", "value")]
        self._graph.nodes.append(node("Split", (qkv, THIRDS), *three, options={"axis": 1}))
        texts = [self._add("Reshape", (part, SHAPE), f"{part}.texts", "") for part in three]
        mixed = self._add(
            "MultiHeadAttention", (*texts, "", LENGTHS), f"{name}.mixed", MICROSOFT, num_heads=self._file.heads
        )
        flat = self._add("Reshape", (mixed, FLAT), f"{name}.flat", "")
        projected = self._linear(flat, [f"{name}.ao"], f"{name}.projected")
        attended = self._normalised(projected, states, f"{name}.aln", f"{name}.attended")
        expanded = self._linear(attended, [f"{name}.fi"], f"{name}.expanded")
        activated = self._add("Gelu", (expanded,), f"{name}.activated", MICROSOFT)
        contracted = self._linear(activated, [f"{name}.fo"], f"{name}.contracted")
        return self._normalised(contracted, attended, f"{name}.oln", out)

    def _linear(self, x: str, names: list[str], output: str) -> str:
        """Add the product of `x` with the matrices of these names, one below the other, plus their biases."""
        blocks = np.concatenate([self._file.matrix(f"{one}.w").reshape(-1) for one in names])
        bias = np.concatenate([self._file.tensors[f"{one}.b"] for one in names])
        outputs, inputs = len(bias), len(blocks) * BLOCK // len(bias)
        packed = self._put(f"{output}.packed", _repack(blocks["packed"]).reshape(outputs, -1, BLOCK // 2))
        scales = self._put(f"{output}.scales", blocks["scale"].astype(np.float32))
        bias_name = self._put(f"{output}.bias", bias)
        options = {"K": inputs, "N": outputs, "bits": 4, "block_size": BLOCK, "accuracy_level": ACCURACY}
        return self._add("MatMulNBits", (x, packed, scales, "", "", bias_name), output, MICROSOFT, **options)

    def _normalised(self, x: str, skip: str, norm: str, output: str) -> str:
        inputs = (x, skip, self._weight(f"{norm}.w"), self._weight(f"{norm}.b"))
        return self._add("SkipLayerNormalization", inputs, output, MICROSOFT, epsilon=self._file.epsilon)

    def _weight(self, name: str) -> str:
        return self._put(name, np.array(self._file.tensors[name]))

    def _put(self, name: str, values: AnyArray) -> str:
        self._graph.weights.append(Tensor(name, UINT8 if values.dtype == np.uint8 else FLOAT, values.shape))
        self.weights[name] = values
        return name

    def _add(self, op: str, inputs: tuple[str, ...], output: str, domain: str, **options: float) -> str:
        self._graph.nodes.append(node(op, inputs, output, domain=domain, options=options))
        return output


def _repack(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return blocks of 4-bit numbers with neighbours in one byte; in the file, a byte has the numbers i and i + 16."""
    low, high = packed & 15, packed >> 4
    numbers = np.concatenate([low, high], axis=1)
    return np.ascontiguousarray(numbers[:, 0::2] | (numbers[:, 1::2] << 4)).astype(np.uint8)
