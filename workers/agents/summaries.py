"""The summary of the messages that a session's history no longer includes. It is stored with the session, and updated
every few turns.

A model sees what its window holds, or the last ten messages (`graphs/chat/history.py`). When six more have dropped out since
the last summary, the job's model is asked for a new one before it answers. If that fails or takes too long, the old summary
is used.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import psycopg
import structlog

from graphs.agents.contract import CHAT_AGENT, AgentSpec
from graphs.agents.model_call import Reply
from graphs.agents.state import AgentState
from graphs.agents.summaries import summarise, summarise_by_rule
from graphs.chat.history import MAX_MESSAGES
from graphs.messages import stored_message
from graphs.providers.contract import Message
from schema.errors import HeadraceError
from schema.postgres.connections import tenant_tx
from schema.queries.agents.agent_config import RunInputs
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.session_summaries import list_unsummarised, set_summary
from workers.agents.context import AgentContext
from workers.agents.models import Models

log = structlog.get_logger()

MIN_DROPPED = 6
"""How many messages must have dropped out of the history since the last summary."""
EVERY_TURNS = 3
"""Turns between updates, whether or not the last one succeeded: one question in three waits for a summary."""
TIMEOUT_S = 10.0
OFFLINE = "offline"


@dataclass(frozen=True)
class Summary:
    """A summary, and the usage of making it."""

    text: str = ""
    reply: Reply | None = None

    def initial_state(self) -> AgentState:
        """Return the usage as the initial state of a run, so that it is part of the job's usage."""
        return cast(AgentState, self.reply.usage) if self.reply is not None else {}


@dataclass(frozen=True)
class _Session:
    """The session of a job, and the job's turn in it."""

    tenant_id: UUID
    id: UUID
    turn: int


async def summary_for(
    context: AgentContext,
    job: ClaimedJob,
    inputs: RunInputs,
    models: Models,
    messages: Sequence[Message],
    shown: int = MAX_MESSAGES,
) -> Summary:
    """Return the summary of a job's session, updated if due. `messages` precede the question; the model is shown the last
    `shown` of them. Raises nothing."""
    old = Summary(inputs.summary or "")
    turn = inputs.summary_turn
    if job.session_id is None or job.turn is None or len(messages) <= shown or (job.turn - (turn or 0)) % EVERY_TURNS:
        return old
    session = _Session(job.tenant_id, job.session_id, job.turn)
    try:
        return await _update(context, session, models, old, turn, shown)
    except (HeadraceError, psycopg.Error, TimeoutError) as error:
        log.warning("summary_not_updated", job_id=str(job.id), error=type(error).__name__)
        return old


async def _update(
    context: AgentContext, session: _Session, models: Models, old: Summary, turn: int | None, shown: int
) -> Summary:
    async with tenant_tx(context.pool, session.tenant_id) as db:
        rows = await list_unsummarised(db, session.tenant_id, session.id, after=turn, before=session.turn)
    dropped = rows[: first_included([row.role for row in rows], shown)]
    if len(dropped) < MIN_DROPPED:
        return old
    new = await _summarise(context, models, old, [stored_message(row.role, row.parts) for row in dropped])
    async with tenant_tx(context.pool, session.tenant_id) as db:
        await set_summary(db, session.tenant_id, session.id, new.text, turn=dropped[-1].turn, seen=turn)
    return new


def first_included(roles: Sequence[str], shown: int = MAX_MESSAGES) -> int:
    """Return the index of the first message that the history still includes, as `graphs.chat.history.trim` does."""
    start = max(0, len(roles) - shown)
    first = next((i for i in range(start, len(roles)) if roles[i] == "user"), None)
    return start if first is None else first


async def _summarise(context: AgentContext, models: Models, old: Summary, messages: Sequence[Message]) -> Summary:
    choices = await models.chain(AgentSpec(name=CHAT_AGENT, graph="chat"))
    if choices[0].full_name.partition("/")[0] == OFFLINE:
        return Summary(summarise_by_rule(old.text, messages))
    async with asyncio.timeout(TIMEOUT_S):
        reply = await summarise(choices, context.models.breakers, old.text, messages)
    return Summary(reply.text, reply)
