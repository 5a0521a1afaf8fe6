"""Feedback on answers: `up` or `down`, a comment, and which agent should have answered.

A corrected agent turns the question into an example for the router. An approved answer becomes an example for its agent, if it
depends on the question alone. `down` removes the answer from the answer cache.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from api.auth.principals import MayReadSessions, MayWriteSessions, Principal
from api.grants.model_access import reread_tenant
from api.http.errors import problems
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import InputError, NotFound, UnknownAgent
from schema.postgres.connections import Db
from schema.queries.agents.cached_answers import delete_answer
from schema.queries.sessions import feedback
from schema.queries.sessions.feedback import Rating

NO_MESSAGE = "No such message."
NO_FEEDBACK = "This message has no feedback."
MAX_QUESTION_LENGTH = 500
MAX_ANSWER_LENGTH = 2000
"""In characters. Of a longer answer only the question is learned: a truncated answer would teach agents to truncate."""

MessageId = Annotated[UUID, PathParameter(description="Id of the answer.")]


class FeedbackIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Feedback on an answer."""

    rating: Annotated[Rating, Meta(description="Whether the answer was good.")]
    comment: Annotated[str, Meta(max_length=2000, description="Free text.")] | None = None
    agent: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Name of the agent that should have answered.")]
        | None
    ) = None


class FeedbackOut(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback on an answer."""

    message_id: Annotated[UUID, Meta(description="Id of the answer.")]
    rating: Annotated[Rating, Meta(description="Whether the answer was good.")]
    comment: Annotated[str | None, Meta(description="Free text; null if none was given.")]
    agent: Annotated[str | None, Meta(description="The agent that should have answered; null if none was named.")]
    created_at: Annotated[datetime, Meta(description="When feedback was first given.")]
    updated_at: Annotated[datetime, Meta(description="When it was last changed.")]


NEW_FEEDBACK_EXAMPLE: dict[str, Any] = {"rating": "down", "comment": "Wrong customer", "agent": "AgentDebt"}
FEEDBACK_EXAMPLE = NEW_FEEDBACK_EXAMPLE | {
    "message_id": "019a5c9e-7d20-7e02-8a41-5b1f0c3d9e77",
    "created_at": "2026-05-04T08:16:00Z",
    "updated_at": "2026-05-04T08:16:00Z",
}


class RoutingExample(msgspec.Struct, frozen=True):
    """A question for an agent and, if it was approved, the answer."""

    agent: str
    question: str
    answer: str | None


@put(
    "/{message_id:uuid}/feedback",
    opt=described(example=NEW_FEEDBACK_EXAMPLE, response=FEEDBACK_EXAMPLE),
    responses=problems("not_found", "agent_unknown"),
    summary="Set feedback on an answer",
    tags=["sessions"],
)
async def set_feedback(
    message_id: MessageId, data: JSONBody[FeedbackIn], principal: MayWriteSessions, resources: AppResources
) -> FeedbackOut:
    """Replaces earlier feedback on this answer. Routing learns from a corrected `agent`, and agents from approved answers."""
    if data.agent is not None and data.agent not in principal.tenant.agents:
        principal = await reread_tenant(resources, principal)
    if data.agent is not None and data.agent not in principal.tenant.agents:
        known = ", ".join(sorted(principal.tenant.agents)[:20]) or "none"
        raise UnknownAgent(f"No such agent: {data.agent[:80]!r}. Agents you can use: {known}.", field="agent")
    async with principal.tx(resources.core.pool) as db:
        answer_row = await _require_answer(db, principal, message_id)
        row = await feedback.set_feedback(
            db, principal.tenant_id, message_id, **msgspec.structs.asdict(data), user_id=principal.user_id
        )
        await _update_example(db, principal, message_id, _example_from(data, principal, answer_row))
        if data.rating == "down" and answer_row.job_id is not None:
            await delete_answer(db, principal.tenant_id, answer_row.job_id)
    return from_row(FeedbackOut, row)


@get(
    "/{message_id:uuid}/feedback",
    opt=described(response=FEEDBACK_EXAMPLE),
    responses=problems("not_found"),
    summary="Get feedback on an answer",
    tags=["sessions"],
)
async def get_feedback(message_id: MessageId, principal: MayReadSessions, resources: AppResources) -> FeedbackOut:
    """Returns `404` if the answer has no feedback, and for a question, which can have none."""
    async with principal.tx(resources.core.pool) as db:
        try:
            await _require_answer(db, principal, message_id)
        except InputError:
            raise NotFound(NO_FEEDBACK) from None
        row = await feedback.find_feedback(db, principal.tenant_id, message_id)
    if row is None:
        raise NotFound(NO_FEEDBACK)
    return from_row(FeedbackOut, row)


@delete(
    "/{message_id:uuid}/feedback",
    responses=problems("not_found"),
    summary="Delete feedback on an answer",
    tags=["sessions"],
)
async def delete_feedback(message_id: MessageId, principal: MayWriteSessions, resources: AppResources) -> None:
    """Also removes what was learned from it."""
    async with principal.tx(resources.core.pool) as db:
        await _require_answer(db, principal, message_id)
        if not await feedback.delete_feedback(db, principal.tenant_id, message_id):
            raise NotFound(NO_FEEDBACK)
        await feedback.delete_learned_example(db, principal.tenant_id, message_id)


async def _require_answer(db: Db, principal: Principal, message_id: UUID) -> feedback.RatedMessage:
    row = await feedback.find_rated(db, principal.tenant_id, message_id)
    if row is None:
        raise NotFound(NO_MESSAGE)
    if row.role != "assistant":
        raise InputError("This message is a question. Feedback can only be given on answers.", field="message_id")
    return row


async def _update_example(db: Db, principal: Principal, message_id: UUID, example: RoutingExample | None) -> None:
    if example is None:
        await feedback.delete_learned_example(db, principal.tenant_id, message_id)
    else:
        await feedback.add_learned_example(db, principal.tenant_id, message_id, **msgspec.structs.asdict(example))


def _example_from(data: FeedbackIn, principal: Principal, answer_row: feedback.RatedMessage) -> RoutingExample | None:
    """Return the example to learn; None for `down` without a corrected agent, or if no agent answered."""
    agent = data.agent or (answer_row.agent if data.rating == "up" else None)
    question, answer = _text(answer_row.question), _text(answer_row.parts)
    if agent not in principal.tenant.agents or not question:
        return None
    approved = data.rating == "up" and agent == answer_row.agent and answer_row.alone
    fits = len(question) <= MAX_QUESTION_LENGTH and 0 < len(answer) <= MAX_ANSWER_LENGTH
    return RoutingExample(agent, question[:MAX_QUESTION_LENGTH], answer if approved and fits else None)


def _text(parts: list[dict[str, Any]] | None) -> str:
    return "\n".join(part["text"] for part in parts or () if part.get("type") == "text").strip()


routes = Router("/messages", route_handlers=[set_feedback, get_feedback, delete_feedback])
