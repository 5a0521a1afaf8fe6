"""Where the boxes of a drawing stand: layers from top to bottom, few crossings, ways back along the side.

The usual steps for layered drawings (Sugiyama, Tagawa, Toda 1981), each in its simplest form: ways that close a circle are
turned around, a place stands one layer below the lowest that leads to it, ways over several layers get points in between,
and each layer is ordered by the mean position of its neighbours, a few times down and up.
"""

from dataclasses import dataclass
from itertools import pairwise

from graphs.pipelines.topology import Topology

GAP_X, GAP_Y, HEIGHT = 36, 56, 36
CHAR = 7.4
"""Width of a character at 13 pixels, a little more than the mean of usual fonts."""
PADDING = 28
MIN_WIDTH = 72
SWEEPS = 8

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A place's box: its middle, and its size."""

    x: float
    y: float
    width: float
    height: float = HEIGHT


@dataclass(frozen=True)
class Layout:
    """Boxes by place, the points of each way in order of the topology's edges, and the size of it all. Pixels."""

    boxes: dict[str, Box]
    lines: list[list[Point]]
    width: float
    height: float


def lay_out(topology: Topology, labels: dict[str, str]) -> Layout:
    """Return where everything stands; `labels` are the texts that boxes must have room for."""
    back = _back_edges(topology)
    ways = [(e.target, e.source) if i in back else (e.source, e.target) for i, e in enumerate(topology.edges)]
    layer = _layers(list(labels), [way for way in ways if way[0] != way[1]])
    chains, rows = _chains(ways, layer, list(labels))
    _order(rows, chains)
    widths = {name: max(MIN_WIDTH, len(text) * CHAR + PADDING) for name, text in labels.items()}
    boxes = _boxes(rows, widths)
    lines = [_line([boxes[name] for name in chain], reverse=i in back) for i, chain in enumerate(chains)]
    width = max(box.x + box.width / 2 for box in boxes.values()) + GAP_X
    return Layout({name: boxes[name] for name in labels}, lines, width, len(rows) * (HEIGHT + GAP_Y))


def _back_edges(topology: Topology) -> set[int]:
    """Return the numbers of the ways that close a circle, seen from the start."""
    leaving: dict[str, list[int]] = {node.id: [] for node in topology.nodes}
    for number, edge in enumerate(topology.edges):
        leaving[edge.source].append(number)
    back, done = set[int](), set[str]()
    for root in leaving:
        trail, waiting = list[str](), [(root, -1)]
        while waiting:
            place, by = waiting.pop()
            if by == -2:
                done.add(trail.pop())
            elif place in trail:
                back.add(by)
            elif place not in done:
                trail.append(place)
                waiting.append((place, -2))
                waiting += [(topology.edges[number].target, number) for number in reversed(leaving[place])]
    return back


def _layers(names: list[str], ways: list[tuple[str, str]]) -> dict[str, int]:
    layer = dict.fromkeys(names, 0)
    for _ in names:  # the ways have no circles, so this many rounds are enough
        before = dict(layer)
        for source, target in ways:
            layer[target] = max(layer[target], layer[source] + 1)
        if layer == before:
            break
    return layer


def _chains(
    ways: list[tuple[str, str]], layer: dict[str, int], names: list[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Return each way as the places and in-between points that it goes through, and what stands in each layer."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name in names:
        rows[layer[name]].append(name)
    chains = []
    for number, (source, target) in enumerate(ways):
        between = [f"{number}:{at}" for at in range(layer[source] + 1, layer[target])]
        for at, point in enumerate(between, layer[source] + 1):
            rows[at].append(point)
        chains.append([source, *between, target])
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
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            place = {name: at / max(len(r) - 1, 1) for r in rows for at, name in enumerate(r)}
            row.sort(key=lambda name: _mean([place[n] for n in near.get(name, [])], place[name]))


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _boxes(rows: list[list[str]], widths: dict[str, float]) -> dict[str, Box]:
    """Return boxes with each layer in the middle; points in between are boxes without a size."""
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
    """Return the points of a way through these boxes. A place that leads to itself gets a loop at its right."""
    first, last = boxes[0], boxes[-1]
    if first is last:
        x, y = first.x + first.width / 2, first.y
        return [(x, y - 8), (x + GAP_X / 2, y), (x, y + 8)]
    aside = 0.0
    if reverse and len(boxes) == 2:  # beside the way that leads down between the same two
        aside = min(first.width, last.width) / 4
    points = [(first.x + aside, first.y + first.height / 2)]
    points += [(box.x, box.y) for box in boxes[1:-1]]
    points.append((last.x + aside, last.y - last.height / 2))
    return points[::-1] if reverse else points
