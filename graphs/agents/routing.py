"""`route` and `begin`: which agent answers. The router decides in milliseconds; a model is asked only when it is unsure.

Most questions are for no agent, which the router alone can tell. `answer_alone` answers these before a graph is run.
"""

from dataclasses import replace
from typing import Any, cast

from langgraph.runtime import Runtime

from graphs.agents.contract import CHAT_AGENT, AgentRun, AgentSpec
from graphs.agents.emitter import Emitter
from graphs.agents.model_call import Reply, call_model
from graphs.agents.prompts import opening_messages
from graphs.agents.react import add_usage, think
from graphs.agents.state import AgentState, data_mark, dump_messages
from graphs.providers.contract import FilePart, ModelRequest
from graphs.routing import clarify
from graphs.routing.clarify import NONE
from graphs.routing.contract import Candidate, Context, Route
from graphs.routing.graph_choice import choose_graph, choose_task
from schema.events import AgentRouted
from schema.events.base import RoutingScore

MAX_EARLIER_MESSAGES = 3
LIKELY_SCORE = 0.5
"""Below this score, a question that no model could assign gets a plain answer rather than a question back."""


async def route(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Choose the agents that answer, or ask the user a question first."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    text = run.question.text
    found, update = await _decide(run, state, emitter)
    is_unclear = found.clarify is not None and found.agent is None
    if is_unclear and not _is_about_files(run):
        question = found.clarify or ""
        emitter.emit_text(question)
        return update | {"intents": [], "said": question, "finish": "stop", "trail": emitter.trail}
    intents = [{"agent": intent.agent, "text": intent.text} for intent in found.intents]
    if is_unclear or choose_task(found) == "chat":
        intents = [{"agent": CHAT_AGENT, "text": text}]
    routed = {"routed": found.reason, "scores": routing_scores(found)}
    return update | cast(AgentState, {"intents": intents, "at": 0, **routed, "trail": emitter.trail})


async def _decide(run: AgentRun, state: AgentState, emitter: Emitter) -> tuple[Route, AgentState]:
    """Return the route of the run's question, which a model decides where the router is unsure, and what that used."""
    text, context = run.question.text, _routing_context(run)
    found = run.routed or await run.route(text, context)
    replies: list[Reply] = []

    async def call(request: ModelRequest) -> str:
        said = await call_model(
            run,
            run.chat_agent,
            emitter,
            list(request.messages),
            response_format=request.response_format,
            stream_text=False,
            max_tokens=request.max_tokens,
        )
        replies.append(said)
        return said.text

    likely = bool(found.best) and found.best[0].score >= LIKELY_SCORE
    fallback = NONE if state.get("graph") == "auto" and not likely else None
    found = await clarify.ask_model(
        text, found, candidates(run), call, model="", context=context, fallback=fallback, chosen=run.chosen
    )
    return found, add_usage(state, replies[0]) if replies else {}


async def answer_alone(run: AgentRun, state: AgentState) -> tuple[AgentRun, AgentState, bool]:
    """Route the question of a run that starts. If it is for no agent, answer it by the model alone, with what `begin` and
    `think` do, and return the last state and True: as in a plain chat there is nothing to decide between steps and no state to
    keep. Otherwise a graph is to be run, with the run and the state that are returned, which know the route."""
    emitter = Emitter(run.emit)
    found, used = await _decide(run, state, emitter)
    state = cast(AgentState, {**state, **used, "trail": emitter.trail})
    asks_back = found.clarify is not None and not _is_about_files(run)
    if asks_back or choose_task(found) != "chat" or run.client_tools:
        return replace(run, routed=found), state, False
    intent = {"agent": CHAT_AGENT, "text": run.question.text}
    routed: AgentState = {
        **state,
        "intents": [intent],
        "at": 0,
        "routed": found.reason,
        "scores": routing_scores(found),
    }
    begun = {**routed, **await begin(routed, Runtime(context=run))}
    answered = await think(cast(AgentState, begun), Runtime(context=run))
    trail = [*state["trail"], *begun["trail"], *answered["trail"]]
    return run, cast(AgentState, {**begun, **answered, "trail": trail}), True


def routing_scores(found: Route) -> list[tuple[str, float]]:
    """Return what the router thought of each agent, the likeliest first; also of one that it was sure of at once."""
    scores = {one.agent: round(one.score, 3) for one in found.best}
    by_model = found.reason in (clarify.AGENT_BY_MODEL, clarify.NO_AGENT_BY_MODEL)
    if not by_model and not found.needs_model and found.clarify is None:
        scores.setdefault(found.agent or CHAT_AGENT, round(found.confidence, 3))
    return sorted(scores.items(), key=lambda one: -one[1])


def _is_about_files(run: AgentRun) -> bool:
    """Whether files came with the question: then "What is in it?" says enough."""
    return any(isinstance(part, FilePart) for part in run.question.parts)


def _routing_context(run: AgentRun) -> Context:
    return Context(run.last_agent, _earlier_messages(run))


def candidates(run: AgentRun) -> list[Candidate]:
    """Return the agents as candidates for the router."""
    return [Candidate(a.name, a.description, a.examples) for a in run.agents.values()]


def _earlier_messages(run: AgentRun) -> tuple[str, ...]:
    return tuple(message.text for message in run.history if message.role == "user")[-MAX_EARLIER_MESSAGES:]


async def begin(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Hand the question, or its next part, to its agent."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    intent = state["intents"][state.get("at", 0)]
    agent = run.agent(intent["agent"])
    graph = select_graph(run, agent, intent["text"])
    scores = [RoutingScore(*one) for one in state.get("scores") or ()] or None
    emitter.emit(AgentRouted(agent=agent.name, graph=graph, reason=state.get("routed", ""), scores=scores))
    update: AgentState = {"step": 0, "rounds": 0, "calls": [], "plan": [], "results": {}, "missing": ""}
    text = intent["text"] if len(state["intents"]) > 1 else None
    untrusted = state.get("untrusted", False)
    messages = dump_messages(opening_messages(run, agent, data_mark(state), text, untrusted=untrusted))
    if run.sources and not state.get("sources"):
        update |= {"sources": list(run.sources), "untrusted": True}
    return update | {"agent": agent.name, "graph": graph, "messages": messages, "trail": emitter.trail}


def select_graph(run: AgentRun, agent: AgentSpec, text: str) -> str:
    """Return the graph that an agent runs: its own, or the one that suits the question."""
    if agent.graph in ("react", "plan_execute"):
        return agent.graph if run.offered_tools(agent) or run.client_tools else "chat"
    if agent.graph == "chat" or not run.offered_tools(agent):
        return "chat"
    return choose_graph(text)


async def next_intent(state: AgentState, runtime: Runtime[Any]) -> AgentState:
    """Move on to the next part of the question."""
    return {"at": state.get("at", 0) + 1}
