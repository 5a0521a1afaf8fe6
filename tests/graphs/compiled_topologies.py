"""The built-in pipelines as LangGraph has them compiled. `python -m tests.graphs.compiled_topologies` writes `builtin.json`."""

import msgspec

from graphs.agents.graphs import BUILDERS
from graphs.chat.graph import build_chat
from graphs.pipelines.builtin import BUILTIN, FILE
from graphs.pipelines.topology import END, START, PlaceOf, Topology, Way

KINDS = {START: "start", END: "end"}


def compiled_topologies() -> dict[str, Topology]:
    """Return the topology of every built-in pipeline, read from its compiled graph."""
    return {name: _topology(build_chat() if name == "chat" else BUILDERS[name]().compile()) for name in BUILTIN}


def _topology(compiled: object) -> Topology:
    drawn = compiled.get_graph()
    nodes = [PlaceOf(id, KINDS.get(id, "node"), KINDS.get(id, id)) for id in drawn.nodes]
    # LangGraph keeps ways in sets.
    edges = sorted((edge.source, edge.target, bool(edge.conditional)) for edge in drawn.edges)
    return Topology(nodes, [Way(source, target, conditional=maybe) for source, target, maybe in edges])


def encoded() -> bytes:
    """Return what `builtin.json` must hold."""
    return msgspec.json.format(msgspec.json.encode(compiled_topologies()), indent=1) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(encoded())
