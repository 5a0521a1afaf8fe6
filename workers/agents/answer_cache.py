"""Answers that may be given again (G9): to the same question of the same agent, under the same configuration.

    a first question, plain words ──▶ same words? ──▶ near, and the words agree? ──▶ given again, marked `cached`
                                          └─ no ───────────┴─ no ─▶ the run ──▶ kept, if nothing speaks against it

Kept are only answers without side effects whose tools all worked. What a tool was asked for, or what memories made
different, is its user's alone; without a user it is not kept. An agent says with `cache_s` for how long; for `auto` the
tenant's setting does, and no longer than the agents that answered allow.

Postgres or the embedder being away costs nothing but the answer's being made anew (fails open).
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
from schema.db import tenant_tx
from schema.errors import HeadraceError
from schema.events import AgentRouted, CitationAdded, MessageCompleted, MessageDelta, Notice, ToolFinished
from schema.notices import notice_of
from schema.queries.agents import cached_answers
from schema.queries.agents.agent_config import JobNeeds
from schema.queries.jobs.attempts import ClaimedJob
from workers.agents.configuration import Configuration
from workers.agents.context import AgentContext
from workers.agents.question_similarity import LONGEST, NEAR, is_same_question, question_digest

log = structlog.get_logger()

AUTO = "auto"
LOOKED_AT = 5
"""Near questions whose words are compared; more than one, since the nearest is often another number."""
KEPT = "kept answer"


class CachedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer as it is kept. `context` has to be the same when it is given again: the model, what was known of the
    user, and what stood in the documents that were searched."""

    context: str
    text: str
    graph: str
    agent: str | None = None
    data: Any = None
    renderer: dict[str, Any] | None = None
    citations: list[dict[str, Any]] | None = None
    notice: Notice | None = None


async def find(
    context: AgentContext, job: ClaimedJob, configuration: Configuration, needs: JobNeeds, run: AgentRun
) -> MessageCompleted | None:
    """Return an answer that was given before to the same question, or to one that means the same; who was routed to and the
    words have been told then. An attempt that takes over goes on with its own run. Raises nothing."""
    if job.attempt > 1 or not _seconds(configuration, job.agent) or not _stands_alone(job, run):
        return None
    try:
        found = await _find(context, job, configuration, run, _fingerprint(job, needs, run))
    except (HeadraceError, psycopg.Error) as error:
        log.warning("kept_answer_not_found", job_id=str(job.id), error=type(error).__name__)
        return None
    if found is None:
        return None
    run.emit(AgentRouted(agent=found.agent or CHAT_AGENT, graph=found.graph, reason=KEPT))
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


async def keep(
    context: AgentContext,
    job: ClaimedJob,
    configuration: Configuration,
    needs: JobNeeds,
    run: AgentRun,
    ended: AgentState,
    completed: MessageCompleted,
) -> None:
    """Keep an answer, if it may be given again. It counts once the job has succeeded. Raises nothing."""
    seconds = _seconds(configuration, job.agent, _answered(ended))
    if not seconds or not _stands_alone(job, run) or not _is_cacheable(ended, completed):
        return
    personal = ended.get("asked_tools", False) or bool(run.memories) or run.sources is not None
    if personal and job.user_id is None:
        return
    answer = CachedAnswer(
        context=_fingerprint(job, needs, run),
        text=completed.text,
        graph=ended.get("graph", CHAT_AGENT),
        agent=completed.agent,
        data=completed.data,
        renderer=completed.renderer,
        citations=completed.citations,
        notice=notice_of(ended.get("model") or job.model),
    )
    try:
        await _keep(context, job, configuration, run, answer, str(job.user_id) if personal else "", seconds)
    except (HeadraceError, psycopg.Error) as error:
        log.warning("answer_not_kept", job_id=str(job.id), error=type(error).__name__)


def _seconds(configuration: Configuration, agent: str | None, answered: frozenset[str] = frozenset()) -> int:
    """Return for how long answers to an agent's questions are kept; 0 is not at all. `answered` are those that took part."""
    named = configuration.settings.get("cache_s") or 0 if agent == AUTO else _cache_s(configuration, agent)
    return min([int(named), *(_cache_s(configuration, name) for name in answered if name in configuration.agents)])


def _cache_s(configuration: Configuration, agent: str | None) -> int:
    found = configuration.agents.get(agent) if agent is not None else None
    return found.cache_s if found is not None else 0


def _answered(ended: AgentState) -> frozenset[str]:
    return frozenset(intent["agent"] for intent in ended.get("intents") or ())


def _stands_alone(job: ClaimedJob, run: AgentRun) -> bool:
    """Whether nothing but the words of the question asks for it: no conversation, no pictures, no wishes of a client."""
    if run.history or run.continued or run.client_tools or run.summary:
        return False
    if job.payload.get("options") or job.payload.get("asked_model"):
        return False
    words = all(isinstance(part, TextPart) for part in run.question.parts)
    return words and 0 < len(run.question.text.strip()) <= LONGEST


def _is_cacheable(ended: AgentState, completed: MessageCompleted) -> bool:
    """Whether a run ended well: with an answer, not a question put back, that changed nothing, by tools that all worked."""
    if completed.finish_reason != "stop" or completed.tool_calls or not completed.text.strip():
        return False
    failed = any(name == ToolFinished.type and not told.get("ok") for name, told in ended.get("trail") or ())
    return bool(ended.get("intents")) and not ended.get("acted") and not failed


def _fingerprint(job: ClaimedJob, needs: JobNeeds, run: AgentRun) -> str:
    known = msgspec.json.encode([job.model, list(run.memories), _documents(job, needs, run)])
    return hashlib.sha256(known).hexdigest()


def _documents(job: ClaimedJob, needs: JobNeeds, run: AgentRun) -> list[Any] | None:
    """Return what the answer may depend on of the tenant's documents: which, and as of when. None if nobody looks at them."""
    collections = job.payload.get("collections")
    agents = run.agents.values() if job.agent == AUTO else [run.agent(job.agent or CHAT_AGENT)]
    tools = {name for agent in agents for name in agent.tools if name in run.tools}
    if collections is None and not any(run.tools[name].spec.finds_passages for name in tools):
        return None
    return [collections, needs.knowledge]


async def _find(
    context: AgentContext, job: ClaimedJob, configuration: Configuration, run: AgentRun, fingerprint: str
) -> CachedAnswer | None:
    question, own = clean(run.question.text), [str(job.user_id)] if job.user_id else []
    digest = question_digest(question)
    asked: dict[str, Any] = {
        "agent": job.agent,
        "scopes": own if run.memories or run.sources is not None else ["", *own],
        "version": configuration.version,
        "context": fingerprint,
    }
    async with tenant_tx(context.pool, job.tenant_id) as db:
        found = await cached_answers.find_exact(db, job.tenant_id, **asked, digest=digest)
    if found is None:
        found = await _nearest(context, job, asked, question)
    if found is None:
        return None
    if job.session_id is not None:  # only what stands in a message can get feedback
        async with tenant_tx(context.pool, job.tenant_id) as db:
            await cached_answers.add_repeat(db, job.tenant_id, job.id, found.id, digest=digest, question=question)
    return msgspec.convert(found.answer, CachedAnswer)


async def _nearest(
    context: AgentContext, job: ClaimedJob, asked: dict[str, Any], question: str
) -> cached_answers.FoundAnswer | None:
    """Return the nearest entry whose question means the same."""
    (embedding,) = await context.embedder.embed([question])
    async with tenant_tx(context.pool, job.tenant_id) as db:
        rows = await cached_answers.list_nearest(
            db, job.tenant_id, **asked, embedder=context.embedder.space, embedding=embedding, limit=LOOKED_AT
        )
    same = (row for row in rows if row.score >= NEAR and is_same_question(row.question, question))
    return next(same, None)


async def _keep(
    context: AgentContext,
    job: ClaimedJob,
    configuration: Configuration,
    run: AgentRun,
    answer: CachedAnswer,
    scope: str,
    seconds: int,
) -> None:
    assert job.agent is not None, "only answers of agents are kept"
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
            ttl_s=seconds,
        )
