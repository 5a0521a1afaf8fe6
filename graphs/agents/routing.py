"""`route` and `begin`: who answers. The router decides in a few milliseconds; the model is asked only where it is unsure."""

from typing import Any

from langgraph.runtime import Runtime

from graphs.agents.contract import PLAIN, AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.agents.model_call import Reply, call_model
from graphs.agents.prompts import opening
from graphs.agents.react import counted
from graphs.agents.state import AgentState, store
from graphs.providers.contract import ModelRequest
from graphs.routing import clarify
from graphs.routing.clarify import NONE
from graphs.routing.contract import Candidate, Context
from graphs.routing.graph_choice import choose_graph, choose_task
from schema.events import AgentRouted

SAID_BEFORE = 3
LIKELY = 0.5
"""Below it, a question that no model could assign is answered by the model alone rather than by another question."""


async def route(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Find who is to answer, or the question that has to be put first."""
    run, tell = runtime.context, Emitter(runtime.context.emit)
    text, context = run.question.text, Context(run.last_agent, _said_before(run))
    found = await run.route(text, context)
    asked: list[Reply] = []

    async def call(request: ModelRequest) -> str:
        asked.append(await call_model(run, run.plain, tell, list(request.messages), aloud=False))
        return asked[-1].text

    likely = bool(found.best) and found.best[0].score >= LIKELY
    otherwise = NONE if state.get("graph") == "auto" and not likely else None
    found = await clarify.ask_model(text, found, candidates(run), call, model="", context=context, otherwise=otherwise)
    after: AgentState = counted(state, asked[0]) if asked else {}
    if found.clarify is not None and found.agent is None:
        tell.text(found.clarify)
        return after | {"intents": [], "said": found.clarify, "finish": "stop", "trail": tell.trail}
    intents = [{"agent": intent.agent, "text": intent.text} for intent in found.intents]
    if choose_task(found) == "chat":
        intents = [{"agent": PLAIN, "text": text}]
    return after | {"intents": intents, "at": 0, "routed": found.reason, "trail": tell.trail}


def candidates(run: AgentRun) -> list[Candidate]:
    """Return the agents that may be routed to."""
    return [Candidate(a.name, a.description, a.examples) for a in run.agents.values()]


def _said_before(run: AgentRun) -> tuple[str, ...]:
    return tuple(message.text for message in run.history if message.role == "user")[-SAID_BEFORE:]


async def begin(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Give the question, or the part of it that is next, to its agent."""
    run, tell = runtime.context, Emitter(runtime.context.emit)
    intent = state["intents"][state.get("at", 0)]
    agent = run.agent(intent["agent"])
    graph = graph_of(run, agent, intent["text"])
    tell.event(AgentRouted(agent=agent.name, graph=graph, reason=state.get("routed", "")))
    fresh: AgentState = {"step": 0, "rounds": 0, "calls": [], "plan": [], "results": {}, "missing": ""}
    text = intent["text"] if len(state["intents"]) > 1 else None
    messages = store(opening(run, agent, text))
    if run.sources and not state.get("sources"):
        fresh |= {"sources": list(run.sources), "untrusted": True}
    return fresh | {"agent": agent.name, "graph": graph, "messages": messages, "trail": tell.trail}


def graph_of(run: AgentRun, agent: AgentSpec, text: str) -> str:
    """Return the graph that an agent runs: its own, or the one that the question wants."""
    if agent.graph in ("react", "plan_execute"):
        return agent.graph if run.offer(agent) or run.client_tools else "chat"
    if agent.graph == "chat" or not run.offer(agent):
        return "chat"
    return choose_graph(text)


async def next_intent(state: AgentState, runtime: Runtime[Any]) -> AgentState:
    """Go on with the next part of the question."""
    return {"at": state.get("at", 0) + 1}
