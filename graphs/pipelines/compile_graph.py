"""A definition as a LangGraph graph: a node for each step, one more where the branches of a parallel step meet."""

from typing import Any

from langgraph.graph import END as LAST
from langgraph.graph import START as FIRST
from langgraph.graph import StateGraph

from graphs.pipelines.definition import Definition, ParallelStep, RouterStep
from graphs.pipelines.state import State, output_of, state_of
from graphs.pipelines.steps import PipelineRun, build_join, build_node
from graphs.pipelines.topology import END, START, Topology, join_of, topology_of
from graphs.pipelines.validation import last_steps


def build_pipeline(definition: Definition) -> StateGraph[Any, Any, Any, Any]:
    """Return the graph of a definition that was found right."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(state_of(definition), context_schema=PipelineRun)
    lasts, topology = last_steps(definition), topology_of(definition)
    for name, step in definition.steps.items():
        if isinstance(step, ParallelStep):
            graph.add_node(node_of(name), build_node(name, step, is_last=False))
            graph.add_node(node_of(join_of(name)), build_join(name, step, is_last=name in lasts))
        else:
            graph.add_node(node_of(name), build_node(name, step, is_last=name in lasts))
    _add_ways(graph, definition, topology)
    return graph


def _add_ways(graph: StateGraph[Any, Any, Any, Any], definition: Definition, topology: Topology) -> None:
    joins = {join_of(name): step for name, step in definition.steps.items() if isinstance(step, ParallelStep)}
    for edge in topology.edges:
        if not edge.conditional and edge.target not in joins:
            graph.add_edge(node_of(edge.source), node_of(edge.target))
    for name, step in joins.items():
        # A list of sources: the join waits for all of them.
        graph.add_edge([node_of(steps[-1]) for steps in step.branches.values()], node_of(name))
    for name, step in definition.steps.items():
        if isinstance(step, RouterStep):
            targets = {target: node_of(target) for target in (*step.cases.values(), step.otherwise)}
            graph.add_conditional_edges(node_of(name), _chosen(name), targets)  # type: ignore[arg-type]


def _chosen(name: str) -> Any:
    def chosen(state: State) -> str:
        return state[output_of(name)]["next"]

    return chosen


def node_of(place: str) -> str:
    """Return the name of a place's node, which must differ from all names in the state."""
    return {START: FIRST, END: LAST}.get(place, f"step.{place}")
