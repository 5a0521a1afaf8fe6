"""Runs an agent for a chat job: prepares the run, runs the graph, emits the result."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast

import msgspec

from graphs.agents.checkpointer import LeaseHolder, UnstoredState, lease_holder
from graphs.agents.citations import find_citations
from graphs.agents.contract import CHAT_AGENT, AgentRun, AgentSpec, GraphName
from graphs.agents.graphs import Thread
from graphs.agents.grounding import find_unsupported
from graphs.agents.state import AgentState, load_messages, read_used_key
from graphs.providers.contract import FilePart, ImagePart, Message, TextPart, ToolResultPart
from graphs.routing.contract import Context, Route
from graphs.runner import ChatRun, read_chat, read_options
from graphs.tool_calls import as_openai
from schema.errors import InputError, UnknownAgent
from schema.events import CitationAdded, Event, MessageCompleted, UsageRecorded
from schema.events.base import ModelUsage, Notice
from schema.events.notices import OFFLINE_MODEL, format_missed, images_not_shown, not_in_sources
from schema.postgres.outages import retry_while_down
from schema.queries.agents.agent_config import RunInputs, read_run_inputs
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from schema.thread_id import thread_name
from workers.agents import answer_cache
from workers.agents.configuration import AgentConfig, Configuration, LearnedConfig, routing_candidates
from workers.agents.context import AgentContext
from workers.agents.ledger import JobLedger
from workers.agents.memories import IN_PROMPT, UserMemories
from workers.agents.models import Models
from workers.agents.summaries import Summary, summary_for
from workers.agents.text_only import AttachedImages, append_image_names
from workers.agents.tool_context import ToolContextFactory
from workers.retrieval.documents import TenantDocuments
from workers.retrieval.search import Searcher

AUTO = "auto"
MAX_FEW_SHOTS = 3
MAX_PASSAGES = 6

Emit = Callable[[Event], None]


async def run_agent(context: AgentContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Emit) -> None:
    """Run the agent that a claimed job names, or the one that the router chooses.

    Raises InputError, UnknownAgent, ProviderError, Unavailable.
    """
    inputs = await retry_while_down(
        lambda: read_run_inputs(
            context.pool, job.tenant_id, job_id=job.id, session_id=job.session_id, user_id=job.user_id
        )
    )
    configuration = await context.configurations.get(job.tenant_id, inputs.version)
    asked = await context.attachments.read(job, read_chat(job.model, job.payload, messages))
    run, summary = await prepare_run(context, job, inputs, configuration, asked, emit)
    cached = await answer_cache.find_answer(context, job, configuration, inputs, run)
    if cached is not None:
        emit(cached)
        return
    name, state = initial_state(job, run)
    state |= summary.initial_state()
    thread = Thread(thread_name(job.tenant_id, job.user_id, job.session_id or job.id), str(job.id))
    unstored = UnstoredState(is_new_run=job.attempt == 1)
    with lease_holder(LeaseHolder(job.tenant_id, job.id, job.attempt, job.lease_owner, unstored)):
        ended = await context.agent_graphs.run(name, run, state, thread, resume=job.attempt > 1)
    completed = _completed(run, ended)
    for citation in completed.citations or ():
        emit(msgspec.convert(citation, CitationAdded))
    emit(completed)
    emit(usage_from_state(job, ended))
    await answer_cache.store_answer(context, job, configuration, inputs, run, ended, completed)


def initial_state(job: ClaimedJob, run: AgentRun) -> tuple[str, AgentState]:
    """Return the name of the graph to run, and its initial state."""
    name = job.agent
    if name is None:
        return "react", {"said": "", "at": 0, "intents": [{"agent": CHAT_AGENT, "text": run.question.text}]}
    if name == AUTO:
        return "auto", {"said": "", "graph": "auto", "intents": []}
    agent = run.agents.get(name)
    if agent is None:
        raise UnknownAgent(f"Agent {name[:80]!r} no longer exists or its grant was revoked.", field="agent")
    if agent.graph == "supervisor":
        return "supervisor", {"said": "", "intents": []}
    graph = "react" if agent.graph in ("react", "chat") else "plan_execute"
    return graph, {"said": "", "at": 0, "intents": [{"agent": name, "text": run.question.text}]}


async def prepare_run(
    context: AgentContext,
    job: ClaimedJob,
    inputs: RunInputs,
    configuration: Configuration,
    asked: ChatRun,
    emit: Emit,
) -> tuple[AgentRun, Summary]:
    """Return the run of a claimed job, and the summary of the messages that the model no longer sees."""
    question, before, after = _split(asked.messages)
    question, images = append_image_names(question)
    agents = _agent_specs(configuration, job, asked)
    options = dict(asked.options)
    client_tools = tuple(options.pop("tools", None) or ())
    tool_contexts = ToolContextFactory(
        context,
        job,
        configuration,
        inputs,
        images=AttachedImages(images),
    )
    asked_for = bool(job.payload.get("asked_model"))
    models = Models(
        context.models,
        job.tenant_id,
        configuration,
        inputs.credentials,
        catalog=await context.models.catalogs.at(job.models_version),
        default=job.model,
        asked_for=asked_for,
        own_keys_only=job.is_own_key_in_budget,
        hosts=await context.models.egress.hosts(job.tenant_id, "providers") if inputs.credentials else (),
    )
    history = asked.shown(before, await models.window())
    shown = sum(message.role in ("user", "assistant") for message in history)  # as summaries count
    summary = await summary_for(context, job, inputs, models, before, shown)
    sources, nearest = await _search_documents(context.searcher, job, question.text)
    run = AgentRun(
        agents=agents,
        tools=tool_contexts.tools(),
        question=question,
        history=history,
        continued=after,
        request=read_options(job.model.partition("/")[2], options),
        chain=models.chain,
        route=partial(_route, context, job, configuration),
        chosen=context.router.chosen_by(f"{job.tenant_id} {job.model}"),
        ledger=JobLedger(context.pool, job),
        context=tool_contexts.context,
        emit=emit,
        breakers=context.models.breakers,
        persona=_persona_prompt(configuration.settings.get("persona") or {}),
        summary=summary.text,
        memories=await _recall_memories(context, job, inputs, question.text),
        last_agent=inputs.last_agent,
        max_tools=int(configuration.settings.get("offered_tools") or 5),
        priorities=tool_contexts.priorities(),
        likeness=context.router.likeness,
        client_tools=client_tools,
        sources=sources,
        nearest=nearest,
        saw_no_images=models.saw_no_images,
        chat_agent=_chat_agent(job, asked),
    )
    return run, summary


async def _search_documents(
    searcher: Searcher, job: ClaimedJob, text: str
) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]]]:
    """Return numbered passages from the collections that the chat names, None if it names none; and the nearest ones if none
    is relevant. Raises NotFound if one was deleted in the meantime."""
    collections = job.payload.get("collections")
    if not collections:
        return None, []
    documents = TenantDocuments(
        searcher,
        tenant_id=job.tenant_id,
        user_id=job.user_id,
        collections=collections,
    )
    passages = await documents.search(text, collection=None, k=MAX_PASSAGES)
    nearest = [asdict(passage) for passage in passages if passage.near_miss]
    found = [passage for passage in passages if not passage.near_miss]
    return [{"number": number, **asdict(passage)} for number, passage in enumerate(found, 1)], nearest


async def _route(
    context: AgentContext, job: ClaimedJob, configuration: Configuration, text: str, routing: Context
) -> Route:
    await context.routed.note(job.tenant_id)
    return await context.router.route(text, routing_candidates(configuration), routing)


def _split(messages: Sequence[Message]) -> tuple[Message, list[Message], list[Message]]:
    """Return the last message of the user, the messages before it, and those after it: calls of the client's tools, and
    their results."""
    at = max((i for i, message in enumerate(messages) if message.role == "user"), default=None)
    if at is None:
        raise InputError("messages contains no user message to answer.", field="messages")
    return messages[at], list(messages[:at]), list(messages[at + 1 :])


def _chat_agent(job: ClaimedJob, asked: ChatRun) -> AgentSpec:
    output_format = job.payload.get("output_format")
    agent = AgentSpec(name=CHAT_AGENT, graph="chat", output_format=output_format)
    return agent if output_format else _in_json(agent, asked)


def _asked_json(asked: ChatRun) -> dict[str, Any] | None:
    """Return the request's `response_format` if it asks for JSON."""
    wanted = asked.options.get("response_format")
    return wanted if isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema") else None


def _in_json(agent: AgentSpec, asked: ChatRun) -> AgentSpec:
    """Return the agent with the client's format instead of its own, where a tool may be called or it has one of its own: a
    format that the vendor enforces would rule calls out, so the agent is told, and its answer is checked. Any other has the
    format enforced by its vendor."""
    response_format = _asked_json(asked)
    if response_format is None or not (agent.tools or agent.output_format or asked.options.get("tools")):
        return agent
    schema = (response_format.get("json_schema") or {}).get("schema")
    return replace(agent, output_format="structured_json", output_schema=schema, renderer=None)


def _agent_specs(configuration: Configuration, job: ClaimedJob, asked: ChatRun) -> dict[str, AgentSpec]:
    """Return the tenant's agents: with the output format that the request names, if any, and the job's own with its graph."""
    learned: dict[str, list[LearnedConfig]] = defaultdict(list)
    for one in configuration.learned:
        learned[one.agent].append(one)
    agents = {name: _agent_spec(config, learned[name]) for name, config in configuration.agents.items()}
    if output_format := job.payload.get("output_format"):
        agents = {name: _in_format(agent, output_format) for name, agent in agents.items()}
    else:
        agents = {name: _in_json(agent, asked) for name, agent in agents.items()}
    if (graph := job.payload.get("graph")) and job.agent in agents:
        agents[job.agent] = replace(agents[job.agent], graph=graph)
    return agents


def _in_format(agent: AgentSpec, output_format: str) -> AgentSpec:
    """Return the agent with another output format than its own, for which its schema and renderer were made."""
    if agent.output_format == output_format:
        return agent
    return replace(agent, output_format=output_format, output_schema=None, renderer=None)


def _agent_spec(config: AgentConfig, learned: Sequence[LearnedConfig]) -> AgentSpec:
    approved = tuple((one.question, one.answer) for one in learned if one.answer is not None)
    return AgentSpec(
        name=config.name,
        description=config.description,
        prompt=config.prompt,
        graph=cast(GraphName, config.graph),
        tools=tuple(config.tools),
        models=tuple(config.models),
        examples=(*config.examples, *(one.question for one in learned)),
        few_shots=approved[-MAX_FEW_SHOTS:],
        output_format=config.output_format,
        output_schema=config.output_schema,
        renderer=config.renderer,
        max_steps=config.max_steps,
    )


def _persona_prompt(persona: Mapping[str, Any]) -> str:
    """Return the part of a prompt that describes the tenant's persona."""
    lines = [persona.get("system_prompt") or ""]
    if traits := persona.get("traits"):
        lines.append(f"You are {', '.join(traits)}.")
    if style := persona.get("style"):
        lines.append(f"Your style: {style}")
    return "\n".join(line for line in lines if line)


async def _recall_memories(context: AgentContext, job: ClaimedJob, inputs: RunInputs, text: str) -> list[str]:
    if job.user_id is None or not inputs.memories or not text.strip():
        return []
    found = await UserMemories(context.pool, context.embedder, job.tenant_id, job.user_id).recall(text, IN_PROMPT)
    return [memory.text for memory in found]


def _completed(run: AgentRun, state: AgentState) -> MessageCompleted:
    calls = [as_openai(call) for call in state.get("client_calls") or ()]
    several = len(state.get("intents") or ()) > 1
    agent = run.agents.get(state.get("agent", ""))
    return MessageCompleted(
        text=state.get("said", ""),
        finish_reason="tool_calls" if calls else state.get("finish", "stop"),
        tool_calls=calls or None,
        agent=agent.name if agent is not None else None,
        data=None if several else state.get("data"),
        renderer=agent.renderer if agent is not None and not several else None,
        citations=msgspec.to_builtins(find_citations(state.get("said", ""), state.get("sources") or ())) or None,
        refusal=state.get("refusal") or None,
        extra=state.get("extra") or None,
        vendor=state.get("vendor") or None,
        resolved_model=state.get("resolved_model") or None,
        system_fingerprint=state.get("system_fingerprint") or None,
        service_tier=state.get("service_tier") or None,
        notice=_notice(run, state),
    )


def _notice(run: AgentRun, state: AgentState) -> Notice | None:
    """Return what the caller must know of the answer besides its text."""
    model = state.get("model", "")
    if missed := state.get("missed"):
        return format_missed(*missed)
    if unsupported := _find_unsupported(run, state):
        return not_in_sources(unsupported)
    has_images = any(isinstance(part, ImagePart) for part in run.question.parts)
    return images_not_shown(model) if has_images and model in run.saw_no_images and model != OFFLINE_MODEL else None


def _find_unsupported(run: AgentRun, state: AgentState) -> list[str]:
    """Return the figures and quotations of an answer that rests on tools or documents, and that are not in them. Of several
    answers only the last one's results are known, so these are not checked."""
    rests = state.get("asked_tools") or state.get("sources")
    if not rests or len(state.get("intents") or ()) > 1 or state.get("model") == OFFLINE_MODEL:
        return []
    seen = [message for message in load_messages(state["messages"]) if message.role != "assistant"]
    parts = [part for message in (*seen, *run.history) for part in message.parts]
    texts = [part.text for part in parts if isinstance(part, (TextPart, FilePart, ToolResultPart))]
    results = [json.dumps(result, ensure_ascii=False) for result in (state.get("results") or {}).values()]
    return find_unsupported(state.get("said", ""), [*texts, *results])


COUNTS = (
    *("input_tokens", "output_tokens", "own_key_input_tokens", "own_key_output_tokens"),
    *("cached_tokens", "cache_write_tokens", "reasoning_tokens", "cache_write_1h_tokens"),
)
"""The counts of a model in a state's `used`, in their order."""


def _model_usage(key: str, counts: Sequence[int]) -> ModelUsage:
    model, prompt = read_used_key(key)
    return ModelUsage(
        model=model, prompt_tokens=prompt, **dict(zip(COUNTS, counts, strict=False))
    )  # older workers stored fewer


def usage_from_state(job: ClaimedJob, state: Mapping[str, Any]) -> UsageRecorded:
    """Return the usage of a run, from its last state."""
    used, model = state.get("used") or {}, state.get("model") or job.model
    return UsageRecorded(
        models=[_model_usage(key, counts) for key, counts in used.items()] if used.keys() - {model} else None,
        model=model,
        estimated=state.get("estimated", False),
        **{name: state.get(name, 0) for name in COUNTS},
    )
