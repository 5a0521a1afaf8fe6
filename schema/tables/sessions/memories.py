"""Facts that agents remember about users. Vectors of different embedders are never compared."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import Index
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp, within_tenant


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
