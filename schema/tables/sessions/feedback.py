"""Feedback on answers, and the examples that agents learn from it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp, within_tenant


class Feedback(Table, table=True):
    """A user's feedback on an answer: `up` or `down`, a comment, and which agent should have answered."""

    __tablename__ = "feedback"
    __table_args__ = (
        within_tenant(["message_id"], "messages", keys=["id"]),
        within_tenant(["user_id"], "users", keys=["id"]),
        CheckConstraint("rating IN ('up', 'down')", name="feedback_rating"),
        Index("feedback_of_user", "tenant_id", "user_id"),
    )

    tenant_id: UUID = tenant_key(references=False)
    message_id: UUID = Field(primary_key=True)
    rating: str
    comment: str | None = None
    agent: str | None = None
    user_id: UUID | None = None
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)


class LearnedExample(Table, table=True):
    """A question that feedback assigned to an agent; `answer` is set if it was approved."""

    __tablename__ = "learned_examples"
    __table_args__ = (within_tenant(["message_id"], "messages", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    message_id: UUID = Field(primary_key=True)
    agent: str
    question: str
    answer: str | None = None
    created_at: datetime = timestamp(default=True)
