"""Places and the ways between them: what is checked, drawn and compiled of a pipeline."""

from itertools import pairwise
from typing import Any

import msgspec

from graphs.pipelines.definition import Definition, ParallelStep, RouterStep

START, END = "__start__", "__end__"


class PlaceOf(msgspec.Struct, frozen=True):
    """A place of a graph. `kind`: start, end, node (built in), join (of a parallel step), or the step's kind."""

    id: str
    kind: str
    label: str


class Way(msgspec.Struct, frozen=True, omit_defaults=True, rename={"source": "from", "target": "to"}):
    """A way from one place to another; `conditional` if it is one of several, `label` says when it is taken."""

    source: str
    target: str
    label: str = ""
    conditional: bool = False


class Topology(msgspec.Struct, frozen=True):
    """The whole drawing. Nodes are in the order in which they were written down."""

    nodes: list[PlaceOf]
    edges: list[Way]

    def onward(self) -> dict[str, list[str]]:
        """Return where each place leads to."""
        ways: dict[str, list[str]] = {node.id: [] for node in self.nodes}
        for edge in self.edges:
            ways.setdefault(edge.source, []).append(edge.target)
        return ways


def join_of(step: str) -> str:
    """Return the place where the branches of a parallel step meet; no step's name has a dot."""
    return f"{step}.join"


def topology_of(definition: Definition) -> Topology:
    """Return the places of a pipeline and the ways between them; every name in it must be a step's."""
    nodes = [PlaceOf(START, "start", "start")]
    edges = [Way(START, definition.start)]
    inside = branch_steps(definition)
    for name, step in definition.steps.items():
        nodes.append(PlaceOf(name, kind_of(step), _label(name, step)))
        if isinstance(step, ParallelStep):
            nodes.append(PlaceOf(join_of(name), "join", f"{name}: all done"))
            edges += _branches(name, step)
            edges.append(Way(join_of(name), step.next or END))
        elif isinstance(step, RouterStep):
            edges += [Way(name, target, label, conditional=True) for label, target in step.cases.items()]
            edges.append(Way(name, step.otherwise, "otherwise", conditional=True))
        elif name not in inside:
            edges.append(Way(name, step.next or END))
    return Topology([*nodes, PlaceOf(END, "end", "end")], edges)


def _branches(name: str, step: ParallelStep) -> list[Way]:
    edges: list[Way] = []
    for label, steps in step.branches.items():
        edges.append(Way(name, steps[0], label))
        edges += [Way(before, after) for before, after in pairwise(steps)]
        edges.append(Way(steps[-1], join_of(name)))
    return edges


def branch_steps(definition: Definition) -> dict[str, str]:
    """Return the steps that stand in branches, with the parallel step of each."""
    return {
        inner: name
        for name, step in definition.steps.items()
        if isinstance(step, ParallelStep)
        for steps in step.branches.values()
        for inner in steps
    }


def kind_of(step: Any) -> str:
    """Return the kind of a step as it is written down."""
    return step.__struct_config__.tag


def _label(name: str, step: Any) -> str:
    about = {"agent": "agent", "tool": "tool", "prompt": "model"}.get(kind_of(step))
    value = getattr(step, about, None) if about else None
    return f"{name}: {value}" if value else name
