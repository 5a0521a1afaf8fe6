"""Feedback on answers: `up` or `down`, a comment, and which agent should have answered.

A corrected agent makes the question an example for the router. An approved answer becomes an example for its agent, if it was
made from the question alone. `down` removes the answer from the answer cache.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, put
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from api.auth.principals import MayReadSessions, MayWriteSessions, Principal
from api.http.errors import problems
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.db import Db
from schema.errors import InputError, NotFound, UnknownAgent
from schema.queries.agents.cached_answers import delete_answer
from schema.queries.sessions import feedback
from schema.queries.sessions.feedback import Rating

NO_MESSAGE = "No such message."
NO_FEEDBACK = "This message has no feedback."
LONGEST_QUESTION = 500
LONGEST_ANSWER = 2000
"""Characters that an example is made of; of a longer answer only the question is learned, since half of one teaches halves."""

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


EXAMPLE: dict[str, Any] = {"rating": "down", "comment": "Wrong customer", "agent": "AgentDebt"}
FEEDBACK = EXAMPLE | {
    "message_id": "019a5c9e-7d20-7e02-8a41-5b1f0c3d9e77",
    "created_at": "2026-05-04T08:16:00Z",
    "updated_at": "2026-05-04T08:16:00Z",
}


class Lesson(msgspec.Struct, frozen=True):
    """A question that belongs to an agent and, where it was approved, the answer."""

    agent: str
    question: str
    answer: str | None


@put(
    "/{message_id:uuid}/feedback",
    opt=described(example=EXAMPLE, response=FEEDBACK),
    responses=problems("not_found", "agent_unknown"),
    summary="Set feedback on an answer",
    tags=["sessions"],
)
async def set_feedback(
    message_id: MessageId, data: JSONBody[FeedbackIn], principal: MayWriteSessions, resources: AppResources
) -> FeedbackOut:
    """Replaces earlier feedback on this answer. Routing learns from a corrected `agent`, and agents from approved answers."""
    if data.agent is not None and data.agent not in principal.tenant.agents:
        known = ", ".join(sorted(principal.tenant.agents)[:20]) or "none"
        raise UnknownAgent(f"No such agent: {data.agent[:80]!r}. Agents you can use: {known}.", field="agent")
    async with principal.tx(resources.core.pool) as db:
        rated = await _require(db, principal, message_id)
        row = await feedback.set_feedback(
            db, principal.tenant_id, message_id, **msgspec.structs.asdict(data), user_id=principal.user_id
        )
        await _learn(db, principal, message_id, _lesson(data, principal, rated))
        if data.rating == "down" and rated.job_id is not None:
            await delete_answer(db, principal.tenant_id, rated.job_id)
    return from_row(FeedbackOut, row)


@get(
    "/{message_id:uuid}/feedback",
    opt=described(response=FEEDBACK),
    responses=problems("not_found"),
    summary="Get feedback on an answer",
    tags=["sessions"],
)
async def get_feedback(message_id: MessageId, principal: MayReadSessions, resources: AppResources) -> FeedbackOut:
    """Returns `404` if the answer has no feedback."""
    async with principal.tx(resources.core.pool) as db:
        await _require(db, principal, message_id)
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
        await _require(db, principal, message_id)
        if not await feedback.delete_feedback(db, principal.tenant_id, message_id):
            raise NotFound(NO_FEEDBACK)
        await feedback.unlearn(db, principal.tenant_id, message_id)


async def _require(db: Db, principal: Principal, message_id: UUID) -> feedback.RatedMessage:
    row = await feedback.find_rated(db, principal.tenant_id, message_id)
    if row is None:
        raise NotFound(NO_MESSAGE)
    if row.role != "assistant":
        raise InputError("This message is a question. Feedback can only be given on answers.", field="message_id")
    return row


async def _learn(db: Db, principal: Principal, message_id: UUID, lesson: Lesson | None) -> None:
    if lesson is None:
        await feedback.unlearn(db, principal.tenant_id, message_id)
    else:
        await feedback.learn(db, principal.tenant_id, message_id, **msgspec.structs.asdict(lesson))


def _lesson(data: FeedbackIn, principal: Principal, rated: feedback.RatedMessage) -> Lesson | None:
    """Return what there is to learn; nothing from `down` without a better agent, nor where no agent has answered."""
    agent = data.agent or (rated.agent if data.rating == "up" else None)
    question, answer = _text(rated.question), _text(rated.parts)
    if agent not in principal.tenant.agents or not question:
        return None
    approved = data.rating == "up" and agent == rated.agent and rated.alone
    fits = len(question) <= LONGEST_QUESTION and 0 < len(answer) <= LONGEST_ANSWER
    return Lesson(agent, question[:LONGEST_QUESTION], answer if approved and fits else None)


def _text(parts: list[dict[str, Any]] | None) -> str:
    return "\n".join(part["text"] for part in parts or () if part.get("type") == "text").strip()


routes = Router("/messages", route_handlers=[set_feedback, get_feedback, delete_feedback])
