"""A pipeline's nodes and edges: what is checked, drawn and compiled."""

from itertools import pairwise
from typing import Any

import msgspec

from graphs.pipelines.definition import Definition, ParallelStep, RouterStep

START, END = "__start__", "__end__"


class Node(msgspec.Struct, frozen=True):
    """A node. `kind`: start, end, node (built in), join (of a parallel step), or the step's kind."""

    id: str
    kind: str
    label: str


class Edge(msgspec.Struct, frozen=True, omit_defaults=True, rename={"source": "from", "target": "to"}):
    """A directed edge; `conditional` if it is one of several, `label` says when it is taken."""

    source: str
    target: str
    label: str = ""
    conditional: bool = False


class Topology(msgspec.Struct, frozen=True):
    """A pipeline's graph, with its nodes in the order of the definition."""

    nodes: list[Node]
    edges: list[Edge]

    def successors(self) -> dict[str, list[str]]:
        """Return the nodes that each node leads to."""
        targets: dict[str, list[str]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            targets.setdefault(edge.source, []).append(edge.target)
        return targets


def join_node(step: str) -> str:
    """Return the id of the node where a parallel step's branches join; step names have no dots."""
    return f"{step}.join"


def build_topology(definition: Definition) -> Topology:
    """Return the topology of a definition in which every name must be a step's."""
    nodes = [Node(START, "start", "start")]
    edges = [Edge(START, definition.start)]
    inside = branch_steps(definition)
    for name, step in definition.steps.items():
        nodes.append(Node(name, step_kind(step), _label(name, step)))
        if isinstance(step, ParallelStep):
            nodes.append(Node(join_node(name), "join", f"{name}: all done"))
            edges += _branches(name, step)
            edges.append(Edge(join_node(name), step.next or END))
        elif isinstance(step, RouterStep):
            edges += [Edge(name, target, label, conditional=True) for label, target in step.cases.items()]
            edges.append(Edge(name, step.otherwise, "otherwise", conditional=True))
        elif name not in inside:
            edges.append(Edge(name, step.next or END))
    return Topology([*nodes, Node(END, "end", "end")], edges)


def _branches(name: str, step: ParallelStep) -> list[Edge]:
    edges: list[Edge] = []
    for label, steps in step.branches.items():
        edges.append(Edge(name, steps[0], label))
        edges += [Edge(before, after) for before, after in pairwise(steps)]
        edges.append(Edge(steps[-1], join_node(name)))
    return edges


def branch_steps(definition: Definition) -> dict[str, str]:
    """Return the steps that are in branches, with the parallel step of each."""
    return {
        inner: name
        for name, step in definition.steps.items()
        if isinstance(step, ParallelStep)
        for steps in step.branches.values()
        for inner in steps
    }


def step_kind(step: Any) -> str:
    """Return the kind of a step as in the JSON."""
    return step.__struct_config__.tag


def _label(name: str, step: Any) -> str:
    about = {"agent": "agent", "tool": "tool", "prompt": "model"}.get(step_kind(step))
    value = getattr(step, about, None) if about else None
    return f"{name}: {value}" if value else name
