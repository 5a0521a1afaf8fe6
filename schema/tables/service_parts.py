"""The parts of this installation that the scheduler watches. No tenant's data."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Index, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, timestamp


class ServicePart(Table, table=True):
    """A part (as in `/health`) as its webhooks were told: `up`, `degraded` or `down`, `since` when. `error` says what was wrong
    last, and `error_at` when that was seen last. One scheduler watches a part at a time: `watcher`, until `watched_until`.
    `latency_ms` and `detail` are what its latest check found; `works_since` is set while its return is not told yet."""

    __tablename__ = "service_parts"

    part: str = Field(primary_key=True)
    status: str
    since: datetime = timestamp(default=True)
    error: str | None = None
    watcher: str
    watched_until: datetime = timestamp(nullable=False)
    latency_ms: float | None = None
    detail: dict[str, Any] | None = json()
    error_at: datetime | None = timestamp()
    works_since: datetime | None = timestamp()


class ServiceCheck(Table, table=True):
    """The checks of a part up to a time, since the row before: how many, how many of them found it not to be up, the worst
    latency, the status of the last one, and the last error. A row a minute, and one when the status changes."""

    __tablename__ = "service_checks"
    __table_args__ = (Index("service_checks_age", "at"),)

    part: str = Field(primary_key=True)
    at: datetime = Field(
        primary_key=True, sa_type=DateTime(timezone=True), sa_column_kwargs={"server_default": text("now()")}
    )
    status: str
    checks: int
    failed: int
    latency_ms: float
    error: str | None = None
