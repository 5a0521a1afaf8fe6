"""What people think of answers (A4): `up` or `down`, a comment, and which agent should have answered.

A corrected agent makes the question an example for the router; an answer that was approved is shown to its agent as an example,
if nothing but the question made it. `down` has an answer that is kept to be given again forgotten (G9, G10).
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Router, delete, get, put
from litestar.params import FromPath, JSONBody
from msgspec import Meta
from psycopg.rows import DictRow

from api.describing import described
from api.errors import problems
from api.principals import MayReadSessions, MayWriteSessions, Principal
from api.resources import Opened
from schema.db import Db
from schema.errors import InputError, NotFound, UnknownAgent
from schema.queries import feedback
from schema.queries.cached_answers import delete_answer

NO_MESSAGE = "There is no such message."
NO_FEEDBACK = "There is no feedback on this message."
LONGEST_QUESTION = 500
LONGEST_ANSWER = 2000
"""Characters that an example is made of; of a longer answer only the question is learned, since half of one teaches halves."""

Rating = Literal["up", "down"]


class FeedbackIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What you think of an answer. `agent` is who should have answered."""

    rating: Rating
    comment: Annotated[str, Meta(max_length=2000)] | None = None
    agent: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class FeedbackOut(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback on an answer."""

    message_id: UUID
    rating: Rating
    comment: str | None
    agent: str | None
    created_at: datetime
    updated_at: datetime


class Lesson(msgspec.Struct, frozen=True):
    """A question that belongs to an agent and, where it was approved, the answer."""

    agent: str
    question: str
    answer: str | None


@put(
    "/{message_id:uuid}/feedback",
    opt=described(example={"rating": "down", "comment": "Wrong customer", "agent": "AgentDebt"}),
    responses=problems("not_found"),
    summary="Say what you think of an answer",
    tags=["sessions"],
)
async def rate(
    message_id: FromPath[UUID], data: JSONBody[FeedbackIn], principal: MayWriteSessions, resources: Opened
) -> FeedbackOut:
    """Takes the place of what was said of this answer before. A corrected `agent` and an approved answer are learned from."""
    if data.agent is not None and data.agent not in principal.tenant.agents:
        known = ", ".join(sorted(principal.tenant.agents)[:20]) or "none"
        raise UnknownAgent(
            f"There is no agent {data.agent[:80]!r} that you may use. There are: {known}.", field="agent"
        )
    async with principal.tx(resources.ports.pool) as db:
        rated = await _require(db, principal, message_id)
        row = await feedback.set_feedback(
            db, principal.tenant_id, message_id, **msgspec.structs.asdict(data), user_id=principal.user_id
        )
        await _learn(db, principal, message_id, _lesson(data, principal, rated))
        if data.rating == "down" and rated["job_id"] is not None:
            await delete_answer(db, principal.tenant_id, rated["job_id"])
    return FeedbackOut(**row)


@get("/{message_id:uuid}/feedback", responses=problems("not_found"), summary="Look at the feedback", tags=["sessions"])
async def look(message_id: FromPath[UUID], principal: MayReadSessions, resources: Opened) -> FeedbackOut:
    """404 also where nobody has said anything yet."""
    async with principal.tx(resources.ports.pool) as db:
        await _require(db, principal, message_id)
        row = await feedback.find_feedback(db, principal.tenant_id, message_id)
    if row is None:
        raise NotFound(NO_FEEDBACK)
    return FeedbackOut(**row)


@delete("/{message_id:uuid}/feedback", responses=problems("not_found"), summary="Take feedback back", tags=["sessions"])
async def take_back(message_id: FromPath[UUID], principal: MayWriteSessions, resources: Opened) -> None:
    """What was learned from it is forgotten."""
    async with principal.tx(resources.ports.pool) as db:
        await _require(db, principal, message_id)
        if not await feedback.delete_feedback(db, principal.tenant_id, message_id):
            raise NotFound(NO_FEEDBACK)
        await feedback.unlearn(db, principal.tenant_id, message_id)


async def _require(db: Db, principal: Principal, message_id: UUID) -> DictRow:
    row = await feedback.find_rated(db, principal.tenant_id, message_id)
    if row is None:
        raise NotFound(NO_MESSAGE)
    if row["role"] != "assistant":
        raise InputError("Feedback goes to answers, and this message is a question.", field="message_id")
    return row


async def _learn(db: Db, principal: Principal, message_id: UUID, lesson: Lesson | None) -> None:
    if lesson is None:
        await feedback.unlearn(db, principal.tenant_id, message_id)
    else:
        await feedback.learn(db, principal.tenant_id, message_id, **msgspec.structs.asdict(lesson))


def _lesson(data: FeedbackIn, principal: Principal, rated: DictRow) -> Lesson | None:
    """Return what there is to learn; nothing from `down` without a better agent, nor where no agent has answered."""
    agent = data.agent or (rated["agent"] if data.rating == "up" else None)
    question, answer = _text(rated["question"]), _text(rated["parts"])
    if agent not in principal.tenant.agents or not question:
        return None
    approved = data.rating == "up" and agent == rated["agent"] and rated["alone"]
    fits = len(question) <= LONGEST_QUESTION and 0 < len(answer) <= LONGEST_ANSWER
    return Lesson(agent, question[:LONGEST_QUESTION], answer if approved and fits else None)


def _text(parts: list[dict[str, Any]] | None) -> str:
    return "\n".join(part["text"] for part in parts or () if part.get("type") == "text").strip()


routes = Router("/messages", route_handlers=[rate, look, take_back])
