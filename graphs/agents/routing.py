"""`route` and `begin`: which agent answers. The router decides in milliseconds; a model is asked only when it is unsure."""

from typing import Any

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
from graphs.routing.contract import Candidate, Context
from graphs.routing.graph_choice import choose_graph, choose_task
from schema.events import AgentRouted

MAX_EARLIER_MESSAGES = 3
LIKELY_SCORE = 0.5
"""Below this score, a question that no model could assign gets a plain answer rather than a question back."""


async def route(state: AgentState, runtime: Runtime[AgentRun]) -> AgentState:
    """Choose the agents that answer, or ask the user a question first."""
    run, emitter = runtime.context, Emitter(runtime.context.emit)
    text, context = run.question.text, Context(run.last_agent, _earlier_messages(run))
    found = await run.route(text, context)
    replies: list[Reply] = []

    async def call(request: ModelRequest) -> str:
        replies.append(await call_model(run, run.chat_agent, emitter, list(request.messages), stream_text=False))
        return replies[-1].text

    likely = bool(found.best) and found.best[0].score >= LIKELY_SCORE
    fallback = NONE if state.get("graph") == "auto" and not likely else None
    found = await clarify.ask_model(text, found, candidates(run), call, model="", context=context, fallback=fallback)
    update: AgentState = add_usage(state, replies[0]) if replies else {}
    is_unclear = found.clarify is not None and found.agent is None
    about_files = any(isinstance(part, FilePart) for part in run.question.parts)  # then "What is in it?" says enough
    if is_unclear and not about_files:
        question = found.clarify or ""
        emitter.emit_text(question)
        return update | {"intents": [], "said": question, "finish": "stop", "trail": emitter.trail}
    intents = [{"agent": intent.agent, "text": intent.text} for intent in found.intents]
    update |= {"intents": intents, "at": 0, "routed": found.reason}
    if is_unclear or choose_task(found) == "chat":
        update["intents"] = [{"agent": CHAT_AGENT, "text": text}]
        if not run.client_tools:
            return await _answer_plainly({**state, **update}, runtime, emitter)
    return update | {"trail": emitter.trail}


async def _answer_plainly(state: AgentState, runtime: Runtime[AgentRun], emitter: Emitter) -> AgentState:
    """Take the two nodes that a plain answer needs at once: most questions are of this kind, and a node costs half a
    millisecond."""
    begun = await begin(state, runtime)
    answered = await think({**state, **begun}, runtime)
    return {**state, **begun, **answered, "trail": [*emitter.trail, *begun["trail"], *answered["trail"]]}


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
    emitter.emit(AgentRouted(agent=agent.name, graph=graph, reason=state.get("routed", "")))
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
