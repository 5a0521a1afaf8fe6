"""What is stored to improve answers: memories about users, cached answers, feedback, and examples learned from it.

Vectors are stored with the name of their engine and model; vectors of different names are never compared.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class MemoryRow(Table, table=True):
    """A fact about a user or, without one, about callers that act for the tenant."""

    __tablename__ = "memories"
    __table_args__ = (
        within_tenant(["user_id"], "users", keys=["id"]),
        Index("memories_of_user", "tenant_id", "user_id"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    user_id: UUID | None = None
    text: str
    embedder: str
    embedding: Any = Field(sa_type=Vector(), nullable=False)
    created_at: datetime = timestamp(default=True)


class CachedAnswer(Table, table=True):
    """An answer that may be reused. `scope` is the user's id if the answer depends on the user, else ''."""

    __tablename__ = "cached_answers"
    __table_args__ = (
        Index("cached_answers_exact", "tenant_id", "agent", "scope", "digest"),
        Index("cached_answers_expiry", "expires_at"),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    agent: str
    scope: str
    config_version: str
    digest: str
    question: str
    embedder: str
    embedding: Any = Field(sa_type=Vector(), nullable=False)
    answer: dict[str, Any] = json(nullable=False)
    created_at: datetime = timestamp(default=True)
    expires_at: datetime = timestamp(nullable=False)


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
