"""Schedules: jobs that start by themselves, and what became of each due time."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from schema.states import SCHEDULE_STATES
from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Schedule(Table, table=True):
    """A job template with its times. `job` is the template as it was sent, `compiled` what is submitted from it
    (`workers/schedules/template.py`). `next_at` is when it is due next: whoever submits that job moves it on in the same
    transaction. `session_id` is the session that goes on from run to run. `reason` says why it was paused by itself."""

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("state IN ({})".format(", ".join(f"'{s}'" for s in SCHEDULE_STATES)), name="schedules_state"),
        Index("schedules_due", "next_at", postgresql_where=text("state = 'active'")),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    user_id: UUID | None = None
    created_by: str
    issuer: str
    kind: str
    job: dict[str, Any] = json(nullable=False)
    compiled: dict[str, Any] = json(nullable=False)
    cron: str
    timezone: str
    starts_at: datetime | None = timestamp()
    ends_at: datetime | None = timestamp()
    on_missed: str
    on_overlap: str
    session: str
    session_id: UUID | None = None
    state: str
    reason: dict[str, Any] | None = json()
    next_at: datetime | None = timestamp()
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)


class ScheduleRun(Table, table=True):
    """What became of a due time; its key makes sure that each has one job at most. `missed` counts the due times before it that
    nobody was there for."""

    __tablename__ = "schedule_runs"
    __table_args__ = (
        within_tenant(["schedule_id"], "schedules", keys=["id"]),
        Index("schedule_runs_waiting", "tenant_id", "schedule_id", postgresql_where=text("outcome = 'waiting'")),
        Index("schedule_runs_age", "due_at"),
    )

    tenant_id: UUID = tenant_key(references=False)
    schedule_id: UUID = Field(primary_key=True)
    due_at: datetime = Field(sa_type=timestamp(nullable=False).sa_type, primary_key=True)
    outcome: str
    job_id: UUID | None = None
    manual: bool = Field(sa_column_kwargs={"server_default": text("false")})
    missed: int = Field(sa_column_kwargs={"server_default": text("0")})
    reason: dict[str, Any] | None = json()
    created_at: datetime = timestamp(default=True)
