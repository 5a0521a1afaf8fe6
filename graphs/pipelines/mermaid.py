"""A topology as Mermaid text, which GitHub, GitLab and most wikis draw."""

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
BOX = ('["', '"]')
LONGEST = 60


def draw_mermaid(topology: Topology) -> str:
    """Return the flowchart. Names of places are numbers, so that no label can be taken for syntax."""
    numbers = {node.id: f"n{number}" for number, node in enumerate(topology.nodes)}
    lines = ["flowchart TD"]
    for node in topology.nodes:
        left, right = SHAPES.get(node.kind, BOX)
        lines.append(f"    {numbers[node.id]}{left}{_escaped(node.label)}{right}")
    for edge in topology.edges:
        arrow = "-.->" if edge.conditional else "-->"
        label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
        lines.append(f"    {numbers[edge.source]} {arrow}{label} {numbers[edge.target]}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Return a label in which only letters, digits and spaces stand for themselves; the rest are Mermaid's entities."""
    words = " ".join(text.split())
    shown = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
    return "".join(c if c.isalnum() or c in " ._-" else f"#{ord(c)};" for c in shown)
