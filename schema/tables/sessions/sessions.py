"""Conversations and their messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Session(Table, table=True):
    """A conversation; `turns` counts its jobs. One that is shared can be read by all of its tenant who have its id.
    That of a widget's visitor belongs to whoever has the secret of `visit_digest`."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("sessions_recent", "tenant_id", "updated_at", "id"),
        Index(
            "sessions_of_user", "tenant_id", "user_id", "updated_at", "id", postgresql_where=text("user_id IS NOT NULL")
        ),
        Index("sessions_pinned", "tenant_id", "updated_at", "id", postgresql_where=text("pinned_at IS NOT NULL")),
        Index(
            "sessions_of_widget",
            *("tenant_id", "widget_id", "updated_at", "id"),
            postgresql_where=text("widget_id IS NOT NULL"),
        ),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    title: str
    turns: int = Field(sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    user_id: UUID | None = None
    pinned_at: datetime | None = timestamp()
    shared_at: datetime | None = timestamp()
    summary: str | None = None
    summary_turn: int | None = None
    widget_id: UUID | None = None
    visit_digest: str | None = None


class Message(Table, table=True):
    """A stored message. (session, turn, ordinal) is unique, so a job can't store two answers."""

    __tablename__ = "messages"
    __table_args__ = (
        within_tenant(["session_id"], "sessions", keys=["id"]),
        UniqueConstraint("tenant_id", "session_id", "turn", "ordinal", name="messages_place"),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    session_id: UUID
    job_id: UUID | None = None
    turn: int
    ordinal: int
    role: str
    parts: list[dict[str, Any]] = json(nullable=False)
    status: str = Field(sa_column_kwargs={"server_default": text("'completed'")})
    model: str | None = None
    agent: str | None = None
    usage: dict[str, Any] | None = json()
    detail: dict[str, Any] | None = json()
    created_at: datetime = timestamp(default=True)
