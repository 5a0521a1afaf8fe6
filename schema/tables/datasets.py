"""Datasets: questions with what is right, by which routing, retrieval and answers are judged; and how each one came out."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Dataset(Table, table=True):
    """A named set of questions. Each upload makes a `version`; `items` is how many the newest one has."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("tenant_id", "name", name="datasets_name"),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    version: int
    items: int
    created_by: str
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)


class DatasetItem(Table, table=True):
    """A question of one version. `item` says what is right (`workers/benchmarks/quality/items.py`). One that comes from
    feedback goes with its message."""

    __tablename__ = "dataset_items"
    __table_args__ = (
        within_tenant(["dataset_id"], "datasets", keys=["id"]),
        within_tenant(["message_id"], "messages", keys=["id"]),
        Index("dataset_items_message", "tenant_id", "message_id", postgresql_where=text("message_id IS NOT NULL")),
    )

    tenant_id: UUID = tenant_key(references=False)
    dataset_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    place: int = Field(primary_key=True)
    item: dict[str, Any] = json(nullable=False)
    message_id: UUID | None = None


class BenchmarkItem(Table, table=True):
    """How one question of a dataset came out, written when that is known and never again. `correct` is null if nobody could
    tell."""

    __tablename__ = "benchmark_items"
    __table_args__ = (within_tenant(["benchmark_id"], "benchmarks", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    benchmark_id: UUID = Field(primary_key=True)
    place: int = Field(primary_key=True)
    question: str
    correct: bool | None = None
    outcome: dict[str, Any] = json(nullable=False)
    attempt: int
    created_at: datetime = timestamp(default=True)
