"""Conversations of clients of OpenAI's API: items that they keep between responses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import ordered_json, tenant_key, timestamp, within_tenant


class Conversation(Table, table=True):
    """A conversation. `places` counts what was ever added to it, so that it shows whether something was added since."""

    __tablename__ = "conversations"
    __table_args__ = (Index("conversations_recent", "tenant_id", "updated_at", "id"),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    user_id: UUID | None = None
    properties: dict[str, Any] = Field(sa_column=Column("metadata", JSONB, nullable=False))
    places: int = Field(sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)


class ConversationItem(Table, table=True):
    """An item, in the order of place and ordinal. A response is one place: `job_id` is its job, and while it is `pending` its
    row holds the items of its input."""

    __tablename__ = "conversation_items"
    __table_args__ = (
        within_tenant(["conversation_id"], "conversations", keys=["id"]),
        UniqueConstraint("tenant_id", "conversation_id", "id", name="conversation_items_once"),
        Index("conversation_items_by_id", "tenant_id", "id"),
    )

    tenant_id: UUID = tenant_key(references=False)
    conversation_id: UUID = Field(primary_key=True)
    place: int = Field(primary_key=True)
    ordinal: int = Field(primary_key=True)
    id: str
    item: Any = ordered_json(nullable=False)
    job_id: UUID | None = None
    pending: bool = Field(sa_column_kwargs={"server_default": text("false")})
