"""Draws a topology as Mermaid text, which GitHub, GitLab and most wikis render."""

from graphs.pipelines.topology import Topology

SHAPES = {
    "start": ('(["', '"])'),
    "end": ('(["', '"])'),
    "router": ('{"', '"}'),
    "parallel": ('[/"', '"/]'),
    "join": ('[\\"', '"\\]'),
    "agent": ('("', '")'),
    "tool": ('[["', '"]]'),
}
DEFAULT_SHAPE = ('["', '"]')
MAX_LABEL = 60


def draw_mermaid(topology: Topology) -> str:
    """Return the flowchart. Nodes are named by numbers, so that no label can be taken for syntax."""
    numbers = {node.id: f"n{number}" for number, node in enumerate(topology.nodes)}
    lines = ["flowchart TD"]
    for node in topology.nodes:
        left, right = SHAPES.get(node.kind, DEFAULT_SHAPE)
        lines.append(f"    {numbers[node.id]}{left}{_escape(node.label)}{right}")
    for edge in topology.edges:
        arrow = "-.->" if edge.conditional else "-->"
        label = f'|"{_escape(edge.label)}"|' if edge.label else ""
        lines.append(f"    {numbers[edge.source]} {arrow}{label} {numbers[edge.target]}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """Return a label with everything but letters, digits, spaces and ._- escaped as Mermaid entities."""
    text = " ".join(text.split())
    label = text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"
    return "".join(c if c.isalnum() or c in " ._-" else f"#{ord(c)};" for c in label)
