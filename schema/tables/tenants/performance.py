"""How fast jobs were, and what they used (`schema/queries/tenants/performance.py`)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import tenant_key, timestamp


class JobSample(Table, table=True):
    """A job that has just ended: added with its end, counted and deleted by the scheduler within seconds. Times are None where
    it did not come so far."""

    __tablename__ = "job_samples"

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True, sa_column_kwargs={"server_default": text("gen_random_uuid()")})
    at: datetime = timestamp(default=True)
    kind: str
    state: str
    wait_s: float | None = None
    run_s: float | None = None
    first_token_s: float | None = None
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    cost_nanos: int = Field(sa_type=BigInteger)


class PerformanceCount(Table, table=True):
    """So many of a `measure` in the minute or hour (`grain`) that begins `at`: jobs by their state, tokens, nano-USD, or times
    (`wait`, `run`, `first_token`) that fell into a `bucket`. Rows of the platform's tenant are of all tenants together."""

    __tablename__ = "performance_counts"
    __table_args__ = (Index("performance_counts_age", "grain", "at"),)

    tenant_id: UUID = tenant_key(references=False)
    grain: str = Field(primary_key=True)
    at: datetime = Field(primary_key=True, sa_type=timestamp(nullable=False).sa_type)
    kind: str = Field(primary_key=True)
    measure: str = Field(primary_key=True)
    bucket: int = Field(primary_key=True)
    n: int = Field(sa_type=BigInteger)
