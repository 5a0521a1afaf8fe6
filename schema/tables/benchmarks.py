"""Benchmarks: what is to be measured, each measurement, and what they add up to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant


class Benchmark(Table, table=True):
    """What a job of kind `benchmark` measures. Its id is the job's, and it goes with the job. `settings` is the request
    (`workers/benchmarks/plan.py`); `total` is how many iterations it has."""

    __tablename__ = "benchmarks"
    __table_args__ = (within_tenant(["id"], "jobs", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    user_id: UUID | None = None
    models: list[str] = json(nullable=False)
    settings: dict[str, Any] = json(nullable=False)
    total: int
    created_at: datetime = timestamp(default=True)


class BenchmarkIteration(Table, table=True):
    """One measured call of a model, written when it has ended and never again. `place` is its place in the plan, from 0,
    `number` counts the model's own from 1. `error` is why it failed."""

    __tablename__ = "benchmark_iterations"
    __table_args__ = (within_tenant(["benchmark_id"], "benchmarks", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    benchmark_id: UUID = Field(primary_key=True)
    place: int = Field(primary_key=True)
    model: str
    number: int
    prompt: int
    attempt: int
    started_at: datetime = timestamp(nullable=False)
    first_token_ms: float | None = None
    tokens_per_second: float | None = None
    total_ms: float
    input_tokens: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    output_tokens: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    estimated: bool = Field(sa_column_kwargs={"server_default": text("false")})
    cost_nanos: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    error: dict[str, Any] | None = json()


class BenchmarkResult(Table, table=True):
    """What a benchmark's iterations of one model add up to (`workers/benchmarks/statistics.py`), written when it ends."""

    __tablename__ = "benchmark_results"
    __table_args__ = (
        within_tenant(["benchmark_id"], "benchmarks", keys=["id"]),
        Index("benchmark_results_of_model", "tenant_id", "model", "benchmark_id"),
    )

    tenant_id: UUID = tenant_key(references=False)
    benchmark_id: UUID = Field(primary_key=True)
    model: str = Field(primary_key=True)
    figures: dict[str, Any] = json(nullable=False)
    created_at: datetime = timestamp(default=True)
