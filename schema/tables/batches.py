"""Batches: requests that a client uploads as one file, and its lines."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Batch(Table, table=True):
    """What a job of kind `batch` works through. Its id is the job's, and it goes with the job. Its lines are called in the name
    of `created_by`, with no more than the `rights` of then. `uncalled` of those that `failed` were never called.
    `outcome` is how it ended, at `ended_at`: with the results as
    files, which are kept for `output_ttl_s`, and without its lines."""

    __tablename__ = "batches"
    __table_args__ = (
        within_tenant(["id"], "jobs", keys=["id"]),
        Index("batches_open", "tenant_id", "id", postgresql_where=text("ended_at IS NULL")),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    user_id: UUID | None = None
    created_by: str
    rights: list[str] = json(nullable=False)
    input_file_id: UUID
    endpoint: str
    output_ttl_s: int | None = None
    total: int | None = None
    completed: int | None = None
    failed: int | None = None
    uncalled: int | None = None
    usage: dict[str, Any] | None = json()
    errors: list[dict[str, Any]] | None = json()
    outcome: str | None = None
    started_at: datetime | None = timestamp()
    cancelling_at: datetime | None = timestamp()
    finalizing_at: datetime | None = timestamp()
    ended_at: datetime | None = timestamp()
    output_file_id: UUID | None = None
    error_file_id: UUID | None = None


class BatchLine(Table, table=True):
    """A line of a batch's file, at its place from 1, until the results are a file. `body` is the request as it was sent. Until
    `held_until` an API process works on it; before `try_at` it is not to be tried again. `answer` is the body that the route
    answered with `status_code`: JSON as it was sent."""

    __tablename__ = "batch_lines"
    __table_args__ = (
        within_tenant(["batch_id"], "batches", keys=["id"]),
        Index("batch_lines_open", "tenant_id", "batch_id", "place", postgresql_where=text("status_code IS NULL")),
    )

    tenant_id: UUID = tenant_key(references=False)
    batch_id: UUID = Field(primary_key=True)
    place: int = Field(primary_key=True)
    custom_id: str
    body: str
    held_until: datetime | None = timestamp()
    try_at: datetime | None = timestamp()
    status_code: int | None = None
    request_id: str | None = None
    answer: str | None = None
