"""Caches answers to questions that stand alone, for the same agent under the same configuration.

    question ──▶ same words? ──no──▶ similar, and same meaning? ──no──▶ run the agent ──▶ store, if cacheable
                     └─yes─────────────────────┴─yes──▶ return the stored answer, marked `cached`

Only answers without side effects, whose tools all succeeded, are stored. Answers that depend on tools, memories or
documents are for the same user only, and without a user they are not stored. An agent's `cache_s` says for how long;
for `auto` it is the tenant's setting, and at most what the agents that answered allow.

If Postgres or the embedder is unavailable, the agent is run as usual (fails open).
"""

import hashlib
from typing import Any

import msgspec
import psycopg
import structlog

from graphs.agents.contract import CHAT_AGENT, AgentRun
from graphs.agents.state import AgentState
from graphs.embeddings.texts import clean
from graphs.providers.contract import TextPart
from schema.errors import HeadraceError
from schema.events import AgentRouted, CitationAdded, MessageCompleted, MessageDelta, ToolFinished
from schema.events.base import Notice
from schema.events.notices import notice_for_model
from schema.metrics.catalog import ANSWER_CACHE
from schema.metrics.figures import FIGURES
from schema.postgres.connections import tenant_tx
from schema.queries.agents import cached_answers
from schema.queries.agents.agent_config import RunInputs
from schema.queries.jobs.attempts import ClaimedJob
from workers.agents.configuration import Configuration
from workers.agents.context import AgentContext
from workers.agents.question_similarity import MAX_CHARS, MIN_SIMILARITY, is_same_question, question_digest

log = structlog.get_logger()

AUTO = "auto"
CANDIDATES = 5
"""How many similar questions are compared by words; the nearest often differs in a number only."""
CACHED_REASON = "A stored answer to the same question is used."
"""The reason in `agent.routed`."""


class CachedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer as it is stored. `context` is a digest of what else it depends on, and must be equal to return it: the
    model, the memories of the user, and the state of the documents that were searched."""

    context: str
    text: str
    graph: str
    agent: str | None = None
    data: Any = None
    renderer: dict[str, Any] | None = None
    citations: list[dict[str, Any]] | None = None
    notice: Notice | None = None


async def find_answer(
    context: AgentContext, job: ClaimedJob, configuration: Configuration, inputs: RunInputs, run: AgentRun
) -> MessageCompleted | None:
    """Return a stored answer to the same question, or to one of the same meaning, after emitting its routing and its
    text. An attempt that takes over continues its own run instead. Raises nothing."""
    if job.attempt > 1 or not _ttl_s(configuration, job.agent) or not _is_standalone(job, run):
        return None
    try:
        found = await _find(context, job, configuration, run, _fingerprint(job, inputs, run))
    except (HeadraceError, psycopg.Error) as error:
        log.warning("answer_lookup_failed", job_id=str(job.id), error=type(error).__name__)
        return None
    ANSWER_CACHE.of("miss" if found is None else "hit").inc()
    FIGURES.note_lookup(str(job.tenant_id), hit=found is not None)
    if found is None:
        return None
    run.emit(AgentRouted(agent=found.agent or CHAT_AGENT, graph=found.graph, reason=CACHED_REASON))
    run.emit(MessageDelta(text=found.text))
    for citation in found.citations or ():
        run.emit(msgspec.convert(citation, CitationAdded))
    return MessageCompleted(
        text=found.text,
        agent=found.agent,
        data=found.data,
        renderer=found.renderer,
        cached=True,
        citations=found.citations,
        notice=found.notice,
    )


async def store_answer(
    context: AgentContext,
    job: ClaimedJob,
    configuration: Configuration,
    inputs: RunInputs,
    run: AgentRun,
    ended: AgentState,
    completed: MessageCompleted,
) -> None:
    """Store an answer, if it is cacheable. It is used once the job has succeeded. Raises nothing."""
    ttl_s = _ttl_s(configuration, job.agent, _answered(ended))
    if not ttl_s or not _is_standalone(job, run) or not _is_cacheable(ended, completed):
        return
    personal = ended.get("asked_tools", False) or bool(run.memories) or run.sources is not None
    if personal and job.user_id is None:
        return
    answer = CachedAnswer(
        context=_fingerprint(job, inputs, run),
        text=completed.text,
        graph=ended.get("graph", CHAT_AGENT),
        agent=completed.agent,
        data=completed.data,
        renderer=completed.renderer,
        citations=completed.citations,
        notice=notice_for_model(ended.get("model") or job.model),
    )
    try:
        await _store(context, job, configuration, run, answer, str(job.user_id) if personal else "", ttl_s)
    except (HeadraceError, psycopg.Error) as error:
        log.warning("answer_not_stored", job_id=str(job.id), error=type(error).__name__)


def _ttl_s(configuration: Configuration, agent: str | None, answered: frozenset[str] = frozenset()) -> int:
    """Return how long answers of an agent are stored; 0 if not at all. `answered` are the agents that took part."""
    named = configuration.settings.get("cache_s") or 0 if agent == AUTO else _cache_s(configuration, agent)
    return min([int(named), *(_cache_s(configuration, name) for name in answered if name in configuration.agents)])


def _cache_s(configuration: Configuration, agent: str | None) -> int:
    found = configuration.agents.get(agent) if agent is not None else None
    return found.cache_s if found is not None else 0


def _answered(ended: AgentState) -> frozenset[str]:
    return frozenset(intent["agent"] for intent in ended.get("intents") or ())


def _is_standalone(job: ClaimedJob, run: AgentRun) -> bool:
    """Whether the answer depends on the text of the question only: no history, no images, no options."""
    if run.history or run.continued or run.client_tools or run.summary:
        return False
    if any(job.payload.get(name) for name in ("options", "asked_model", "system", "output_format")):
        return False
    is_text = all(isinstance(part, TextPart) for part in run.question.parts)
    return is_text and 0 < len(run.question.text.strip()) <= MAX_CHARS


def _is_cacheable(ended: AgentState, completed: MessageCompleted) -> bool:
    """Whether a run ended with a complete answer, without side effects and without failed tools."""
    if completed.finish_reason != "stop" or completed.tool_calls or completed.refusal or not completed.text.strip():
        return False
    failed = any(name == ToolFinished.type and not told.get("ok") for name, told in ended.get("trail") or ())
    return bool(ended.get("intents")) and not (ended.get("acted") or ended.get("missed") or failed)


def _fingerprint(job: ClaimedJob, inputs: RunInputs, run: AgentRun) -> str:
    depends_on = msgspec.json.encode([job.model, list(run.memories), _document_version(job, inputs, run)])
    return hashlib.sha256(depends_on).hexdigest()


def _document_version(job: ClaimedJob, inputs: RunInputs, run: AgentRun) -> list[Any] | None:
    """Return which documents the answer may depend on, and their version; None if nothing searches documents."""
    collections = job.payload.get("collections")
    agents = run.agents.values() if job.agent == AUTO else [run.agent(job.agent or CHAT_AGENT)]
    tools = {name for agent in agents for name in agent.tools if name in run.tools}
    if collections is None and not any(run.tools[name].spec.finds_passages for name in tools):
        return None
    return [collections, inputs.knowledge]


async def _find(
    context: AgentContext, job: ClaimedJob, configuration: Configuration, run: AgentRun, fingerprint: str
) -> CachedAnswer | None:
    question, own = clean(run.question.text), [str(job.user_id)] if job.user_id else []
    digest = question_digest(question)
    query: dict[str, Any] = {
        "agent": job.agent,
        "scopes": own if run.memories or run.sources is not None else ["", *own],
        "version": configuration.version,
        "context": fingerprint,
    }
    async with tenant_tx(context.pool, job.tenant_id) as db:
        found = await cached_answers.find_exact(db, job.tenant_id, **query, digest=digest)
    if found is None:
        found = await _nearest(context, job, query, question)
    if found is None:
        return None
    if job.session_id is not None:  # only messages get feedback
        async with tenant_tx(context.pool, job.tenant_id) as db:
            await cached_answers.add_repeat(db, job.tenant_id, job.id, found.id, digest=digest, question=question)
    return msgspec.convert(found.answer, CachedAnswer)


async def _nearest(
    context: AgentContext, job: ClaimedJob, query: dict[str, Any], question: str
) -> cached_answers.FoundAnswer | None:
    """Return the most similar stored question that has the same meaning."""
    (embedding,) = await context.embedder.embed([question])
    async with tenant_tx(context.pool, job.tenant_id) as db:
        rows = await cached_answers.list_nearest(
            db, job.tenant_id, **query, embedder=context.embedder.space, embedding=embedding, limit=CANDIDATES
        )
    same = (row for row in rows if row.score >= MIN_SIMILARITY and is_same_question(row.question, question))
    return next(same, None)


async def _store(
    context: AgentContext,
    job: ClaimedJob,
    configuration: Configuration,
    run: AgentRun,
    answer: CachedAnswer,
    scope: str,
    ttl_s: int,
) -> None:
    assert job.agent is not None, "only answers of agents are stored"
    question = clean(run.question.text)
    (embedding,) = await context.embedder.embed([question])
    async with tenant_tx(context.pool, job.tenant_id) as db:
        await cached_answers.add_answer(
            db,
            job.tenant_id,
            job.id,
            agent=job.agent,
            scope=scope,
            version=configuration.version,
            digest=question_digest(question),
            question=question,
            embedder=context.embedder.space,
            embedding=embedding,
            answer=msgspec.to_builtins(answer),
            ttl_s=ttl_s,
        )
