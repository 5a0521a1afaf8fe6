"""How the nodes are connected, and how a run starts, or resumes where another worker was killed.

    supervisor, auto:  route ─▶ begin ─▶ think ⇄ use_tools ─▶ next_intent ─▶ begin … ─▶ end
                                   └──▶ plan ─▶ act ─▶ verify ─▶ answer ─▶ next_intent
    react:             begin ─▶ think ⇄ use_tools
    plan_execute:      begin ─▶ plan ─▶ act ─▶ verify ─▶ answer

`supervisor` and `auto` are the same graph; with `auto`, what the router finds to be for no agent is answered without a graph
(`answer_alone`): most questions are of this kind, and LangGraph takes as much CPU to run one as half a plain chat.

The functions that choose the next node are coroutines, since LangGraph calls any other in a thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from graphs.agents.checkpointer import start_anew
from graphs.agents.contract import AgentRun
from graphs.agents.emitter import replay_trail
from graphs.agents.plan_execute import MAX_ROUNDS, act, answer, plan, verify
from graphs.agents.react import think, use_tools
from graphs.agents.routing import answer_alone, begin, next_intent, route
from graphs.agents.spans import traced
from graphs.agents.state import AgentState
from graphs.data_marks import DataMark

CompiledGraph = CompiledStateGraph[Any, AgentRun, Any, Any]
Node = Literal["think", "plan"]


async def _after_route(state: AgentState) -> Literal["begin", "end"]:
    return "begin" if state["intents"] else "end"


async def _after_begin(state: AgentState) -> Node:
    return "plan" if state["graph"] == "plan_execute" else "think"


async def _after_think(state: AgentState) -> Literal["use_tools", "next_intent", "end"]:
    if state.get("calls"):
        return "use_tools"
    return "next_intent" if _has_more(state) else "end"


async def _after_tools(state: AgentState) -> Literal["think", "end"]:
    return "end" if state.get("client_calls") else "think"


async def _after_plan(state: AgentState) -> Literal["act", "think", "answer"]:
    if state["plan"]:
        return "act"
    return "answer" if state.get("results") else "think"


async def _after_verify(state: AgentState) -> Literal["plan", "answer"]:
    return "plan" if state.get("missing") and state["rounds"] < MAX_ROUNDS else "answer"


async def _after_answer(state: AgentState) -> Literal["next_intent", "end"]:
    return "next_intent" if _has_more(state) else "end"


def _has_more(state: AgentState) -> bool:
    return not state.get("client_calls") and state.get("at", 0) + 1 < len(state["intents"])


def _add_react_nodes(graph: StateGraph[Any, Any, Any, Any]) -> None:
    graph.add_node("think", traced("think", think))
    graph.add_node("use_tools", traced("use_tools", use_tools))
    targets: dict[Any, str] = {"use_tools": "use_tools", "end": END}
    if "next_intent" in graph.nodes:
        targets["next_intent"] = "next_intent"
    graph.add_conditional_edges("think", _after_think, targets)
    graph.add_conditional_edges("use_tools", _after_tools, {"think": "think", "end": END})


def _add_plan_execute_nodes(graph: StateGraph[Any, Any, Any, Any]) -> None:
    for name, node in {"plan": plan, "act": act, "verify": verify, "answer": answer}.items():
        graph.add_node(name, traced(name, node))
    graph.add_conditional_edges("plan", _after_plan, {"act": "act", "think": "think", "answer": "answer"})
    graph.add_edge("act", "verify")
    graph.add_conditional_edges("verify", _after_verify, {"plan": "plan", "answer": "answer"})
    targets: dict[Any, str] = {"next_intent": "next_intent", "end": END}
    graph.add_conditional_edges("answer", _after_answer, targets if "next_intent" in graph.nodes else {"end": END})


def build_react() -> StateGraph[Any, Any, Any, Any]:
    """Alternate between thinking and calling tools."""
    graph = StateGraph(AgentState, context_schema=AgentRun)
    graph.add_node("begin", traced("begin", begin))
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "think")
    _add_react_nodes(graph)
    return graph


def build_plan_execute() -> StateGraph[Any, Any, Any, Any]:
    """Plan, run the steps in parallel, verify, answer. `think` answers what needs no plan."""
    graph = StateGraph(AgentState, context_schema=AgentRun)
    graph.add_node("begin", traced("begin", begin))
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", _after_begin, {"plan": "plan", "think": "think"})
    _add_react_nodes(graph)
    _add_plan_execute_nodes(graph)
    return graph


def build_supervisor() -> StateGraph[Any, Any, Any, Any]:
    """Route the question, and let each agent answer its part."""
    graph = StateGraph(AgentState, context_schema=AgentRun)
    for name, node in {"route": route, "begin": begin, "next_intent": next_intent}.items():
        graph.add_node(name, traced(name, node))
    graph.add_edge(START, "route")
    graph.add_conditional_edges("route", _after_route, {"begin": "begin", "end": END})
    graph.add_conditional_edges("begin", _after_begin, {"plan": "plan", "think": "think"})
    graph.add_edge("next_intent", "begin")
    _add_react_nodes(graph)
    _add_plan_execute_nodes(graph)
    return graph


BUILDERS: dict[str, Callable[[], StateGraph[Any, Any, Any, Any]]] = {
    "react": build_react,
    "plan_execute": build_plan_execute,
    "supervisor": build_supervisor,
    "auto": build_supervisor,
}


@dataclass(frozen=True)
class Thread:
    """Where the checkpoints of a run are: the thread's name, and the job that it belongs to."""

    name: str
    job_id: str


class AgentGraphs:
    """The compiled graphs of a process; each serves all runs."""

    def __init__(self, checkpointer: BaseCheckpointSaver[Any] | None) -> None:
        self._checkpointer = checkpointer
        self._compiled: dict[str, CompiledGraph] = {}

    def get(self, name: str) -> CompiledGraph:
        """Return the graph of this name, compiled on first use."""
        if name not in self._compiled:
            self._compiled[name] = BUILDERS[name]().compile(checkpointer=self._checkpointer, name=name)
        return self._compiled[name]

    async def run(self, name: str, run: AgentRun, state: AgentState, thread: Thread, *, resume: bool) -> AgentState:
        """Run a graph to its end and return the final state. With `resume`, continue where the job's state was stored, if it
        was, and replay the events so far. Raises what the nodes raise."""
        config: Any = {
            "configurable": {"thread_id": thread.name},
            "metadata": {"job_id": thread.job_id},
            "recursion_limit": 100,
        }
        input_state: AgentState | None = {"mark": DataMark.new().code, **state}
        if resume and self._checkpointer is not None:
            snapshot = await self.get(name).aget_state(config)
            if snapshot.values and (snapshot.metadata or {}).get("job_id") == thread.job_id:
                replay_trail(snapshot.values.get("trail", ()), run.emit)
                input_state = None  # resume; a run that has already ended returns its final state
            else:
                start_anew()
        if name == "auto" and input_state is not None:
            run, input_state, is_answered = await answer_alone(run, input_state)
            if is_answered:
                return input_state
        durability: Any = "sync" if self._checkpointer is not None else None
        return cast(AgentState, await self.get(name).ainvoke(input_state, config, context=run, durability=durability))
