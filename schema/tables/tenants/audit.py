"""The audit log. Rows are only ever added."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp


class AuditEntry(Table, table=True):
    """Who did what, when, from where, and how it ended. `actor` is `user:ID`, `key:ID` or `system`. Contains no messages."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_at", "tenant_id", "at", "id"),
        Index("audit_log_actor", "tenant_id", "actor", "at", "id"),
        Index("audit_log_action", "tenant_id", "action", "at", "id"),
        Index("audit_log_target", "tenant_id", "target", "at", "id"),
        Index("audit_log_result", "tenant_id", "result", "at", "id"),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    at: datetime = timestamp(default=True)
    actor: str
    action: str
    target: str = Field(sa_column_kwargs={"server_default": text("''")})
    result: str
    address: str | None = None
    request_id: str | None = None
    detail: dict[str, Any] | None = json()
