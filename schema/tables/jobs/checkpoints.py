"""LangGraph's checkpoints, from which an interrupted run of a graph continues.

The tables are those of langgraph-checkpoint-postgres 3.2 (its migrations 0–9); they have no tenant column, so row-level
security reads the tenant from the thread's name, `tenant_{id}__user_{id}__session_{id}`.
"""

from typing import Any

from sqlalchemy import Index, Integer, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json


def _text(**options: Any) -> Any:
    return Field(sa_column_kwargs={"server_default": text("''")}, nullable=False, **options)


class Checkpoint(Table, table=True):
    """The state of a graph between two steps."""

    __tablename__ = "checkpoints"
    __table_args__ = (Index("checkpoints_thread_id_idx", "thread_id"),)

    thread_id: str = Field(primary_key=True)
    checkpoint_ns: str = _text(primary_key=True)
    checkpoint_id: str = Field(primary_key=True)
    parent_checkpoint_id: str | None = None
    type: str | None = None
    checkpoint: dict[str, Any] = json(nullable=False)
    # `metadata` is reserved by SQLAlchemy.
    about: dict[str, Any] = Field(
        sa_type=JSONB, sa_column_kwargs={"name": "metadata", "server_default": text("'{}'")}, nullable=False
    )


class CheckpointBlob(Table, table=True):
    """A value of a state."""

    __tablename__ = "checkpoint_blobs"
    __table_args__ = (Index("checkpoint_blobs_thread_id_idx", "thread_id"),)

    thread_id: str = Field(primary_key=True)
    checkpoint_ns: str = _text(primary_key=True)
    channel: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    type: str
    blob: bytes | None = Field(default=None, sa_type=LargeBinary)


class CheckpointWrite(Table, table=True):
    """The writes of a finished step whose siblings are still running."""

    __tablename__ = "checkpoint_writes"
    __table_args__ = (Index("checkpoint_writes_thread_id_idx", "thread_id"),)

    thread_id: str = Field(primary_key=True)
    checkpoint_ns: str = _text(primary_key=True)
    checkpoint_id: str = Field(primary_key=True)
    task_id: str = Field(primary_key=True)
    idx: int = Field(primary_key=True, sa_type=Integer)
    channel: str
    type: str | None = None
    blob: bytes
    task_path: str = _text()
