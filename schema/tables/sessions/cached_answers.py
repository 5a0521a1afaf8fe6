"""Answers that may be reused for a similar question. Vectors of different embedders are never compared."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import Index
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp


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
