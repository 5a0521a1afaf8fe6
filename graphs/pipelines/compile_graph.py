"""Compiles a definition to a LangGraph graph: a node for each step, and one more where the branches of a parallel step join."""

from collections.abc import Hashable
from typing import Any

from langgraph.graph import END as LANGGRAPH_END
from langgraph.graph import START as LANGGRAPH_START
from langgraph.graph import StateGraph

from graphs.agents.spans import traced
from graphs.pipelines.definition import Definition, ParallelStep, RouterStep
from graphs.pipelines.state import State, build_state_type, output_key
from graphs.pipelines.steps import Node, PipelineRun, build_join, build_node
from graphs.pipelines.topology import END, START, Topology, build_topology, join_node
from graphs.pipelines.validation import find_final_steps


def build_pipeline(definition: Definition) -> StateGraph[Any, Any, Any, Any]:
    """Return the graph of a valid definition."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(build_state_type(definition), context_schema=PipelineRun)
    final_steps, topology = find_final_steps(definition), build_topology(definition)
    for name, step in definition.steps.items():
        if isinstance(step, ParallelStep):
            _add_node(graph, name, build_node(name, step, is_last=False))
            _add_node(graph, join_node(name), build_join(name, step, is_last=name in final_steps))
        else:
            _add_node(graph, name, build_node(name, step, is_last=name in final_steps))
    _add_edges(graph, definition, topology)
    return graph


def _add_node(graph: StateGraph[Any, Any, Any, Any], name: str, node: Node) -> None:
    graph.add_node(node_name(name), traced(node_name(name), node, each_step_stored=True))


def _add_edges(graph: StateGraph[Any, Any, Any, Any], definition: Definition, topology: Topology) -> None:
    joins = {join_node(name): step for name, step in definition.steps.items() if isinstance(step, ParallelStep)}
    for edge in topology.edges:
        if not edge.conditional and edge.target not in joins:
            graph.add_edge(node_name(edge.source), node_name(edge.target))
    for name, step in joins.items():
        # Given a list of sources, LangGraph waits for all of them.
        graph.add_edge([node_name(steps[-1]) for steps in step.branches.values()], node_name(name))
    for name, step in definition.steps.items():
        if isinstance(step, RouterStep):
            targets: dict[Hashable, str] = {
                target: node_name(target) for target in (*step.cases.values(), step.otherwise)
            }
            graph.add_conditional_edges(node_name(name), _router_target(name), targets)


def _router_target(name: str) -> Any:
    def read_target(state: State) -> str:
        return state[output_key(name)]["next"]

    return read_target


def node_name(node_id: str) -> str:
    """Return the LangGraph name of a node, which must differ from all keys of the state."""
    return {START: LANGGRAPH_START, END: LANGGRAPH_END}.get(node_id, f"step.{node_id}")
