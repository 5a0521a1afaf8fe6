"""The prices of models, and what each job used and cost."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Numeric, text
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp


class Model(Table, table=True):
    """A model, as `provider/name`: its price in US dollars per million tokens, limits and capabilities; NULL is unknown. Where
    an admin has set the row, `source` is NULL, else it is a seed (`schema/model_catalog/`). Shared by all tenants."""

    __tablename__ = "models"
    __table_args__ = (CheckConstraint("kind IN ('chat', 'embedding')", name="models_kind"),)

    name: str = Field(primary_key=True)
    kind: str | None = None
    input_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    output_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    cached_input_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    cache_write_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    reasoning_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    cache_write_1h_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    dearer_above_tokens: int | None = None
    dearer_input_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    dearer_output_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    dearer_cached_input_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    dearer_cache_write_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    dearer_cache_write_1h_usd: Decimal | None = Field(default=None, sa_type=Numeric(14, 6))
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    tools: bool | None = None
    images: bool | None = None
    structured_output: bool | None = None
    reasoning: bool | None = None
    temperature: bool | None = None
    deprecated: bool = Field(sa_column_kwargs={"server_default": text("false")})
    retires_on: date | None = None
    fallbacks: list[str] | None = json()
    source: str | None = None
    updated_at: datetime = timestamp(default=True)


class UsageDay(Table, table=True):
    """All that a tenant used on a day and that is merged, so that a budget is one row for each day of its month."""

    __tablename__ = "usage_days"

    tenant_id: UUID = tenant_key(references=False)
    day: date = Field(primary_key=True)
    jobs: int = Field(sa_type=BigInteger)
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    cost_nanos: int = Field(sa_type=BigInteger)
    own_key_input_tokens: int = Field(sa_type=BigInteger)
    own_key_output_tokens: int = Field(sa_type=BigInteger)


class UsageRecord(Table, table=True):
    """The usage of one job; soon it is `merged` with that of the same day, user, agent and model. `cost_nanos` is in nano-USD.
    Of the tokens, those of `own_key_…` were used with the tenant's own provider key and cost nothing."""

    __tablename__ = "usage_records"
    __table_args__ = (
        Index("usage_records_day", "tenant_id", "day"),
        Index("usage_records_loose", "tenant_id", "day", postgresql_where=text("NOT merged")),
        CheckConstraint(
            "input_tokens >= 0 AND output_tokens >= 0 AND cost_nanos >= 0 AND own_key_input_tokens >= 0"
            " AND own_key_output_tokens >= 0",
            name="usage_records_not_negative",
        ),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    day: date
    user_id: UUID | None = None
    agent: str = Field(sa_column_kwargs={"server_default": text("''")})
    model: str
    jobs: int
    input_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    cost_nanos: int = Field(sa_type=BigInteger)
    own_key_input_tokens: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    own_key_output_tokens: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    key_id: UUID | None = None
    merged: bool = Field(sa_column_kwargs={"server_default": text("false")})
