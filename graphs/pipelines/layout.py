"""Lays out a drawing: layers from top to bottom, few crossings, back edges along the side.

The usual steps of layered graph drawing (Sugiyama, Tagawa, Toda 1981), each in its simplest form: edges that close a cycle
are reversed, a node lies one layer below the lowest that leads to it, edges across several layers get dummy nodes, and each
layer is ordered by the mean position of its neighbours, a few times down and up.
"""

from dataclasses import dataclass
from itertools import pairwise

from graphs.pipelines.topology import Topology

GAP_X, GAP_Y, HEIGHT = 36, 56, 36
CHAR = 7.4
"""Width of a character at 13 pixels, a little above the mean of common fonts."""
PADDING = 28
MIN_WIDTH = 72
SWEEPS = 8

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """The box of a node: its centre and its size."""

    x: float
    y: float
    width: float
    height: float = HEIGHT


@dataclass(frozen=True)
class Layout:
    """Boxes by node, the points of each edge in the topology's order, and the size of the drawing. In pixels."""

    boxes: dict[str, Box]
    lines: list[list[Point]]
    width: float
    height: float


def lay_out(topology: Topology, labels: dict[str, str]) -> Layout:
    """Return the positions; `labels` are the texts that the boxes must have room for."""
    back_edges = _back_edges(topology)
    edges = [(e.target, e.source) if i in back_edges else (e.source, e.target) for i, e in enumerate(topology.edges)]
    layer = _layers(list(labels), [edge for edge in edges if edge[0] != edge[1]])
    chains, rows = _chains(edges, layer, list(labels))
    _order(rows, chains)
    widths = {name: max(MIN_WIDTH, len(text) * CHAR + PADDING) for name, text in labels.items()}
    boxes = _boxes(rows, widths)
    lines = [_line([boxes[name] for name in chain], reverse=i in back_edges) for i, chain in enumerate(chains)]
    width = max(box.x + box.width / 2 for box in boxes.values()) + GAP_X
    return Layout({name: boxes[name] for name in labels}, lines, width, len(rows) * (HEIGHT + GAP_Y))


def _back_edges(topology: Topology) -> set[int]:
    """Return the indices of the edges that close a cycle, seen from the start."""
    outgoing: dict[str, list[int]] = {node.id: [] for node in topology.nodes}
    for number, edge in enumerate(topology.edges):
        outgoing[edge.source].append(number)
    back_edges, done = set[int](), set[str]()
    for root in outgoing:
        path, stack = list[str](), [(root, -1)]
        while stack:
            node, edge_index = stack.pop()
            if edge_index == -2:
                done.add(path.pop())
            elif node in path:
                back_edges.add(edge_index)
            elif node not in done:
                path.append(node)
                stack.append((node, -2))
                stack += [(topology.edges[number].target, number) for number in reversed(outgoing[node])]
    return back_edges


def _layers(names: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    layer = dict.fromkeys(names, 0)
    for _ in names:  # the edges have no cycles, so this many rounds are enough
        before = dict(layer)
        for source, target in edges:
            layer[target] = max(layer[target], layer[source] + 1)
        if layer == before:
            break
    return layer


def _chains(
    edges: list[tuple[str, str]], layer: dict[str, int], names: list[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Return each edge as the nodes and dummy nodes that it passes, and the nodes of each layer."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in names:
        rows[layer[name]].append(name)
    chains = []
    for number, (source, target) in enumerate(edges):
        dummies = [f"{number}:{layer_index}" for layer_index in range(layer[source] + 1, layer[target])]
        for layer_index, point in enumerate(dummies, layer[source] + 1):
            rows[layer_index].append(point)
        chains.append([source, *dummies, target])
    return chains, rows


def _order(rows: list[list[str]], chains: list[list[str]]) -> None:
    """Order each layer in place by the mean position of the neighbours above, then below, and so on."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    for sweep in range(SWEEPS):
        neighbours = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            node = {name: layer_index / max(len(r) - 1, 1) for r in rows for layer_index, name in enumerate(r)}
            row.sort(key=lambda name: _mean([node[n] for n in neighbours.get(name, [])], node[name]))


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _boxes(rows: list[list[str]], widths: dict[str, float]) -> dict[str, Box]:
    """Return boxes with each layer centred; dummy nodes are boxes without a size."""
    totals = [sum(widths.get(name, 0.0) for name in row) + GAP_X * (len(row) + 1) for row in rows]
    boxes: dict[str, Box] = {}
    for number, row in enumerate(rows):
        x = (max(totals) - totals[number]) / 2 + GAP_X
        for name in row:
            width = widths.get(name, 0.0)
            y = number * (HEIGHT + GAP_Y) + GAP_Y / 2 + HEIGHT / 2
            boxes[name] = Box(x + width / 2, y, width, HEIGHT if name in widths else 0.0)
            x += width + GAP_X
    return boxes


def _line(boxes: list[Box], *, reverse: bool) -> list[Point]:
    """Return the points of an edge through these boxes. A node that leads to itself gets a loop on its right."""
    first, last = boxes[0], boxes[-1]
    if first is last:
        x, y = first.x + first.width / 2, first.y
        return [(x, y - 8), (x + GAP_X / 2, y), (x, y + 8)]
    offset = 0.0
    if reverse and len(boxes) == 2:  # beside the edge that leads down between the same two
        offset = min(first.width, last.width) / 4
    points = [(first.x + offset, first.y + first.height / 2)]
    points += [(box.x, box.y) for box in boxes[1:-1]]
    points.append((last.x + offset, last.y - last.height / 2))
    return points[::-1] if reverse else points
