"""The topologies of the compiled built-in pipelines. `python -m tests.graphs.compiled_topologies` writes `builtin.json`."""

import msgspec

from graphs.agents.graphs import BUILDERS
from graphs.pipelines.builtin import BUILTIN, TOPOLOGY_FILE
from graphs.pipelines.topology import END, START, Edge, Node, Topology

KINDS = {START: "start", END: "end"}
CHAT = Topology(
    [Node(START, "start", "start"), Node("answer", "node", "answer"), Node(END, "end", "end")],
    [Edge(START, "answer", conditional=False), Edge("answer", END, conditional=False)],
)


def compiled_topologies() -> dict[str, Topology]:
    """Return the topology of every built-in pipeline, read from its compiled graph; a plain chat has none."""
    return {name: CHAT if name == "chat" else _topology(BUILDERS[name]().compile()) for name in BUILTIN}


def _topology(compiled: object) -> Topology:
    graph = compiled.get_graph()
    nodes = [Node(id, KINDS.get(id, "node"), KINDS.get(id, id)) for id in graph.nodes]
    # LangGraph keeps edges in sets.
    edges = sorted((edge.source, edge.target, bool(edge.conditional)) for edge in graph.edges)
    return Topology(nodes, [Edge(source, target, conditional=conditional) for source, target, conditional in edges])


def encoded_topologies() -> bytes:
    """Return the required content of `builtin.json`."""
    return msgspec.json.format(msgspec.json.encode(compiled_topologies()), indent=1) + b"\n"


if __name__ == "__main__":
    TOPOLOGY_FILE.write_bytes(encoded_topologies())
