"""Draws a topology as an SVG image: one file without scripts, links or external fonts; every text is escaped."""

from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from graphs.pipelines.layout import HEIGHT, Box, Layout, Point, lay_out
from graphs.pipelines.topology import Edge, Node, Topology

MAX_LABEL = 40
STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2933;text-anchor:middle;dominant-baseline:central}
.way{fill:none;stroke:#66788a;stroke-width:1.4}.maybe{stroke-dasharray:5 4}
.said{font-size:11px;fill:#52606d;paint-order:stroke;stroke:#fff;stroke-width:4px}
rect,polygon{fill:#f5f7fa;stroke:#9aa5b1}.agent{fill:#e3f2fd;stroke:#4a90c2}.tool{fill:#e8f5e9;stroke:#5aa469}
.prompt{fill:#fff8e1;stroke:#d0a215}.router{fill:#fce4ec;stroke:#c2185b}.parallel,.join{fill:#ede7f6;stroke:#7e57c2}"""


def draw_svg(topology: Topology, title: str) -> str:
    """Return the image; long labels are shortened, with the full text as a tooltip."""
    labels = {node.id: _shorten(node.label) for node in topology.nodes}
    layout = lay_out(topology, labels)
    width, height = round(layout.width), round(layout.height)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" aria-label={quoteattr(_plain(title))}>',
            f"<title>{_text(title)}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M0 0 8 4 0 8z" fill="#66788a"/></marker></defs>',
            '<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>',
            *(_draw_edge(edge, points) for edge, points in zip(topology.edges, layout.lines, strict=True)),
            *(_draw_node(node, labels[node.id], layout) for node in topology.nodes),
            *(
                _draw_edge_label(edge, points)
                for edge, points in zip(topology.edges, layout.lines, strict=True)
                if edge.label
            ),
            "</svg>\n",
        ]
    )


def _draw_node(node: Node, label: str, layout: Layout) -> str:
    box = layout.boxes[node.id]
    tip = f"<title>{_text(node.label)}</title>"
    words = f'<text x="{box.x:.1f}" y="{box.y:.1f}">{_text(label)}</text>'
    return f'<g class="place">{tip}{_draw_shape(node.kind, box)}{words}</g>'


def _draw_shape(kind: str, box: Box) -> str:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    if kind == "router":
        corners = [(left - 6, box.y), (left + 8, top), (left + box.width - 8, top), (left + box.width + 6, box.y)]
        corners += [(left + box.width - 8, top + box.height), (left + 8, top + box.height)]
        return f'<polygon class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'
    round_ = HEIGHT / 2 if kind in ("start", "end") else 5
    attributes = f'x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{round_}"'
    return f'<rect class="{kind if kind.isalpha() else "node"}" {attributes}/>'


def _draw_edge(edge: Edge, points: list[Point]) -> str:
    """Return a curve that leaves and arrives vertically."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in pairwise(points):
        middle = (y + to_y) / 2
        path += f" C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
    return f'<path class="way{" maybe" if edge.conditional else ""}" d="{path}" marker-end="url(#head)"/>'


def _draw_edge_label(edge: Edge, points: list[Point]) -> str:
    """Return an edge's label, placed nearer to its target because several edges may leave one node."""
    (x, y), (to_x, to_y) = points[0], points[1]
    x, y = x + (to_x - x) * 0.6, y + (to_y - y) * 0.6
    return f'<text class="said" x="{x:.1f}" y="{y:.1f}">{_text(_shorten(edge.label, 24))}</text>'


def _shorten(text: str, max_length: int = MAX_LABEL) -> str:
    words = _plain(text)
    return words if len(words) <= max_length else words[: max_length - 1] + "…"


def _plain(text: str) -> str:
    """Return a text on one line, without characters that XML can't contain."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _text(text: str) -> str:
    return escape(_plain(text))
