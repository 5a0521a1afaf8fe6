"""Triggers: addresses that start a job from a template, and the last calls of each."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Trigger(Table, table=True):
    """A job template with an address of its own. `job` is the template as it was sent, `compiled` what is submitted from it
    (`workers/schedules/template.py`), `sealed` the secret with which callers prove themselves in the way that `auth` says."""

    __tablename__ = "triggers"
    __table_args__ = (UniqueConstraint("id", name="triggers_id"),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    user_id: UUID | None = None
    created_by: str
    issuer: str
    kind: str
    job: dict[str, Any] = json(nullable=False)
    compiled: dict[str, Any] = json(nullable=False)
    auth: str
    calls_per_minute: int
    enabled: bool = Field(sa_column_kwargs={"server_default": text("true")})
    key_id: str
    sealed: bytes
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)


class TriggerCall(Table, table=True):
    """One of the last calls of a trigger, and what came of it."""

    __tablename__ = "trigger_calls"
    __table_args__ = (
        within_tenant(["trigger_id"], "triggers", keys=["id"]),
        Index("trigger_calls_of_trigger", "tenant_id", "trigger_id", "id"),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    trigger_id: UUID
    at: datetime = timestamp(default=True)
    status: int
    code: str
    detail: str | None = None
    delivery_id: str | None = None
    job_id: UUID | None = None
    address: str | None = None
    size_bytes: int
