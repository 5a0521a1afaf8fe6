"""The ledger of tool calls, so that a job that is interrupted repeats none of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class ToolEffect(Table, table=True):
    """A tool call of a job. `result` is NULL while it runs, or if it was interrupted."""

    __tablename__ = "tool_effects"
    __table_args__ = (within_tenant(["job_id"], "jobs", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    job_id: UUID = Field(primary_key=True)
    call_id: str = Field(primary_key=True)
    tool: str
    attempt: int
    result: dict[str, Any] | None = json()
    started_at: datetime = timestamp(default=True)
    ended_at: datetime | None = timestamp()
