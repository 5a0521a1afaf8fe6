"""How the nodes are put together, and how a run goes: from its start, or on from where another worker was killed.

    supervisor, auto:  route ─▶ begin ─▶ think ⇄ use_tools ─▶ next_intent ─▶ begin … ─▶ end
                                   └──▶ plan ─▶ act ─▶ verify ─▶ answer ─▶ next_intent
    react:             begin ─▶ think ⇄ use_tools
    plan_execute:      begin ─▶ plan ─▶ act ─▶ verify ─▶ answer

`auto` lets the model alone answer what is no agent's; `supervisor` and `auto` are the same graph with other candidates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from graphs.agents.contract import AgentRun
from graphs.agents.emitter import replay_trail
from graphs.agents.plan_execute import ROUNDS, act, answer, plan, verify
from graphs.agents.react import think, use_tools
from graphs.agents.routing import begin, next_intent, route
from graphs.agents.state import AgentState

Compiled = CompiledStateGraph[Any, AgentRun, Any, Any]
Node = Literal["think", "plan"]


def _after_route(state: AgentState) -> Literal["begin", "end"]:
    return "begin" if state["intents"] else "end"


def _after_begin(state: AgentState) -> Node:
    return "plan" if state["graph"] == "plan_execute" else "think"


def _after_think(state: AgentState) -> Literal["use_tools", "next_intent", "end"]:
    if state.get("calls"):
        return "use_tools"
    return "next_intent" if _has_more(state) else "end"


def _after_tools(state: AgentState) -> Literal["think", "end"]:
    return "end" if state.get("client_calls") else "think"


def _after_plan(state: AgentState) -> Literal["act", "think", "answer"]:
    if state["plan"]:
        return "act"
    return "answer" if state.get("results") else "think"


def _after_verify(state: AgentState) -> Literal["plan", "answer"]:
    return "plan" if state.get("missing") and state["rounds"] < ROUNDS else "answer"


def _after_answer(state: AgentState) -> Literal["next_intent", "end"]:
    return "next_intent" if _has_more(state) else "end"


def _has_more(state: AgentState) -> bool:
    return not state.get("client_calls") and state.get("at", 0) + 1 < len(state["intents"])


def _react(graph: StateGraph[Any, Any, Any, Any]) -> None:
    graph.add_node("think", think)
    graph.add_node("use_tools", use_tools)
    ends: dict[Any, str] = {"use_tools": "use_tools", "end": END}
    if "next_intent" in graph.nodes:
        ends["next_intent"] = "next_intent"
    graph.add_conditional_edges("think", _after_think, ends)
    graph.add_conditional_edges("use_tools", _after_tools, {"think": "think", "end": END})


def _plan_execute(graph: StateGraph[Any, Any, Any, Any]) -> None:
    for name, node in {"plan": plan, "act": act, "verify": verify, "answer": answer}.items():
        graph.add_node(name, node)
    graph.add_conditional_edges("plan", _after_plan, {"act": "act", "think": "think", "answer": "answer"})
    graph.add_edge("act", "verify")
    graph.add_conditional_edges("verify", _after_verify, {"plan": "plan", "answer": "answer"})
    ends: dict[Any, str] = {"next_intent": "next_intent", "end": END}
    graph.add_conditional_edges("answer", _after_answer, ends if "next_intent" in graph.nodes else {"end": END})


def build_react() -> StateGraph[Any, Any, Any, Any]:
    """Think and look up in turns."""
    graph = StateGraph(AgentState, context_schema=AgentRun)
    graph.add_node("begin", begin)
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "think")
    _react(graph)
    return graph


def build_plan_execute() -> StateGraph[Any, Any, Any, Any]:
    """Plan, do it side by side, look whether it is enough, answer. `think` answers what needs no plan."""
    graph = StateGraph(AgentState, context_schema=AgentRun)
    graph.add_node("begin", begin)
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", _after_begin, {"plan": "plan", "think": "think"})
    _react(graph)
    _plan_execute(graph)
    return graph


def build_supervisor() -> StateGraph[Any, Any, Any, Any]:
    """Find who answers, and let each answer its part."""
    graph = StateGraph(AgentState, context_schema=AgentRun)
    for name, node in {"route": route, "begin": begin, "next_intent": next_intent}.items():
        graph.add_node(name, node)
    graph.add_edge(START, "route")
    graph.add_conditional_edges("route", _after_route, {"begin": "begin", "end": END})
    graph.add_conditional_edges("begin", _after_begin, {"plan": "plan", "think": "think"})
    graph.add_edge("next_intent", "begin")
    _react(graph)
    _plan_execute(graph)
    return graph


BUILDERS: dict[str, Callable[[], StateGraph[Any, Any, Any, Any]]] = {
    "react": build_react,
    "plan_execute": build_plan_execute,
    "supervisor": build_supervisor,
    "auto": build_supervisor,
}


@dataclass(frozen=True)
class Thread:
    """Where a run is kept: the thread's name, and the job that it is of."""

    name: str
    job_id: str


class AgentGraphs:
    """The compiled graphs of a process, each of which serves all runs."""

    def __init__(self, saver: BaseCheckpointSaver[Any] | None) -> None:
        self._saver = saver
        self._built: dict[str, Compiled] = {}

    def get(self, name: str) -> Compiled:
        """Return a graph by its name, built at its first use."""
        if name not in self._built:
            self._built[name] = BUILDERS[name]().compile(checkpointer=self._saver, name=name)
        return self._built[name]

    async def run(self, name: str, run: AgentRun, state: AgentState, thread: Thread, *, resume: bool) -> AgentState:
        """Run a graph to its end and return the last state. With `resume` it goes on behind the last node that ended, if any
        has, and tells again what was told so far. Raises what its nodes raise."""
        graph = self.get(name)
        config: Any = {
            "configurable": {"thread_id": thread.name},
            "metadata": {"job_id": thread.job_id},
            "recursion_limit": 100,
        }
        given: AgentState | None = state
        if resume and self._saver is not None:
            kept = await graph.aget_state(config)
            if kept.values and (kept.metadata or {}).get("job_id") == thread.job_id:
                replay_trail(kept.values.get("trail", ()), run.emit)
                given = None  # also where nothing seems to be left: then the last values come back
        durability: Any = "sync" if self._saver is not None else None
        return await graph.ainvoke(given, config, context=run, durability=durability)  # type: ignore[return-value]
