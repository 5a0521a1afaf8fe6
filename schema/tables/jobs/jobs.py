"""Jobs, their attempts, compacted event logs, and idempotency keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from schema.states import IN_FLIGHT_SQL, LIVE_SQL, STATES
from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant

LIVE = f"state IN {LIVE_SQL}"
# No index condition may be implied by an unrelated query: on an empty table all plans cost the same, so the planner takes any
# index that fits, and a prepared statement keeps it.


class Job(Table, table=True):
    """A unit of queued work. The rows are both the state of the jobs and the queue.

    `attempt` is the fencing token: every claim increments it. `tries` counts attempts that failed or were lost alone, not
    those handed back. `losses`, `suspect` and `probation_s` are explained in `workers/queue/suspects.py`. `dispatch_seq`
    numbers the doorbells; `parked` marks a turn that waits for its session. `actor` and `address` say who submitted the job,
    and from where; `user_id` is its owner, if that is a user. `callback` is {url, events, include} of whoever wants to be told
    of its end; `metadata` are pairs of the submitter's own. `traceparent` is the span that submitted it.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        within_tenant(["session_id"], "sessions", keys=["id"]),
        CheckConstraint("state IN ({})".format(", ".join(f"'{state}'" for state in STATES)), name="jobs_state"),
        Index(
            "jobs_waiting",
            "tenant_id",
            "queue",
            "parked",
            "priority",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("jobs_in_flight", "tenant_id", "queue", postgresql_where=text(f"state IN {IN_FLIGHT_SQL}")),
        Index("jobs_dispatched", "queue", "dispatched_at", postgresql_where=text("state = 'dispatched'")),
        Index("jobs_deadlines", "deadline_at", postgresql_where=text("finished_at IS NULL")),
        Index("jobs_of_session", "tenant_id", "session_id", "turn", postgresql_where=text("session_id IS NOT NULL")),
        Index("jobs_suspects", "queue", "state", postgresql_where=text(f"suspect AND {LIVE}")),
        Index("jobs_listed", "tenant_id", "kind", "state", "id"),
        Index(
            "jobs_of_user", "tenant_id", "user_id", "kind", "state", "id", postgresql_where=text("user_id IS NOT NULL")
        ),
        Index(
            "jobs_turn",
            "tenant_id",
            "session_id",
            unique=True,
            postgresql_where=text(f"session_id IS NOT NULL AND NOT parked AND {LIVE}"),
        ),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    kind: str
    queue: str
    state: str
    priority: int
    session_id: UUID | None = None
    turn: int | None = None
    model: str | None = None
    agent: str | None = None
    payload: dict[str, Any] = json(nullable=False)
    result: dict[str, Any] | None = json()
    error: dict[str, Any] | None = json()
    parked: bool = Field(sa_column_kwargs={"server_default": text("false")})
    run_at: datetime = timestamp(default=True)
    deadline_at: datetime = timestamp(nullable=False)
    attempt: int = Field(sa_column_kwargs={"server_default": text("0")})
    tries: int = Field(sa_column_kwargs={"server_default": text("0")})
    max_tries: int
    dispatch_seq: int = Field(sa_column_kwargs={"server_default": text("0")})
    dispatched_at: datetime | None = timestamp()
    lease_owner: str | None = None
    lease_until: datetime | None = timestamp()
    cancel_requested: str | None = None
    inbox: str | None = None
    request_id: str | None = None
    created_at: datetime = timestamp(default=True)
    started_at: datetime | None = timestamp()
    finished_at: datetime | None = timestamp()
    user_id: UUID | None = None
    actor: str | None = None
    address: str | None = None
    losses: int = Field(sa_column_kwargs={"server_default": text("0")})
    suspect: bool = Field(sa_column_kwargs={"server_default": text("false")})
    probation_s: float | None = None
    callback: dict[str, Any] | None = json()
    traceparent: str | None = None
    properties: dict[str, Any] | None = Field(
        default=None, sa_column=Column("metadata", JSONB)
    )  # `metadata` is SQLAlchemy's


class Attempt(Table, table=True):
    """An attempt at a job by one worker."""

    __tablename__ = "attempts"
    __table_args__ = (within_tenant(["job_id"], "jobs", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    job_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    worker: str
    started_at: datetime = timestamp(default=True)
    ended_at: datetime | None = timestamp()
    outcome: str | None = None
    error: dict[str, Any] | None = json()


class JobLog(Table, table=True):
    """The compacted event log of an ended job: all its frames, deflated (`schema/queries/jobs/jobs.py`)."""

    __tablename__ = "job_logs"
    __table_args__ = (within_tenant(["job_id"], "jobs", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    job_id: UUID = Field(primary_key=True)
    last_seq: int
    frames: bytes


class IdempotencyKey(Table, table=True):
    """The key of a request that created a job: the same key and body return that job, another body is an error."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        within_tenant(["job_id"], "jobs", keys=["id"], deferrable=True, initially="DEFERRED"),
        Index("idempotency_keys_job", "tenant_id", "job_id"),
        Index("idempotency_keys_age", "created_at"),
    )

    tenant_id: UUID = tenant_key(references=False)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    job_id: UUID
    created_at: datetime = timestamp(default=True)
