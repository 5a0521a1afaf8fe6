"""Webhooks: a tenant's endpoints, and the outbox of deliveries with the attempts to send each."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant
from schema.webhooks import DELIVERY_STATES


def _empty_list() -> Any:
    return Field(sa_type=JSONB, sa_column_kwargs={"server_default": text("'[]'")}, nullable=False)


class WebhookEndpoint(Table, table=True):
    """Where a tenant wants to be told of events. `sealed` holds its secrets and headers (`workers/webhooks/secrets.py`);
    `failing_since` is the first failure since the last success; `disabled_for` says why it is off, if not by hand."""

    __tablename__ = "webhook_endpoints"

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    url: str
    description: str = Field(sa_column_kwargs={"server_default": ""})
    events: list[str] = json(nullable=False)
    kinds: list[str] = _empty_list()
    agents: list[str] = _empty_list()
    include: list[str] = _empty_list()
    enabled: bool = Field(sa_column_kwargs={"server_default": text("true")})
    key_id: str
    sealed: bytes
    failing_since: datetime | None = timestamp()
    disabled_at: datetime | None = timestamp()
    disabled_for: str | None = None
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class CallbackSecret(Table, table=True):
    """The secret that signs the callbacks of a tenant's jobs."""

    __tablename__ = "callback_secrets"

    tenant_id: UUID = tenant_key()
    key_id: str
    sealed: bytes
    created_at: datetime = timestamp(default=True)
    rotated_at: datetime | None = timestamp()


class WebhookDelivery(Table, table=True):
    """An event on its way to one receiver, written in the transaction in which it happened (`announce` in migration 0011).

    `event_id` is the `webhook-id`, the same for all receivers and attempts. Either `endpoint_id` or `callback` says where it
    goes. At most two deliveries of a `lane` are sent at once. `attempt` is the fencing token, `tries` the place in the
    schedule."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        within_tenant(["endpoint_id"], "webhook_endpoints", keys=["id"]),
        CheckConstraint(
            "state IN ({})".format(", ".join(f"'{state}'" for state in DELIVERY_STATES)),
            name="webhook_deliveries_state",
        ),
        Index(
            "webhook_deliveries_due",
            "tenant_id",
            "lane",
            "next_at",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("webhook_deliveries_sending", "tenant_id", "lane", postgresql_where=text("state = 'sending'")),
        Index("webhook_deliveries_of_endpoint", "tenant_id", "endpoint_id", "state", "id"),
        Index("webhook_deliveries_of_type", "tenant_id", "type", "state", "id"),
        Index("webhook_deliveries_in_state", "tenant_id", "state", "id"),
        Index("webhook_deliveries_of_job", "tenant_id", "job_id", "id"),
        Index("webhook_deliveries_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    )

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    event_id: UUID
    endpoint_id: UUID | None = None
    callback: dict[str, Any] | None = json()
    lane: str
    type: str
    occurred_at: datetime = timestamp(default=True)
    sequence: int = Field(sa_type=BigInteger)
    job_id: UUID | None = None
    document_id: UUID | None = None
    user_id: UUID | None = None
    data: dict[str, Any] = json(nullable=False)
    state: str = Field(sa_column_kwargs={"server_default": "pending"})
    attempt: int = Field(sa_column_kwargs={"server_default": text("0")})
    tries: int = Field(sa_column_kwargs={"server_default": text("0")})
    next_at: datetime = timestamp(default=True)
    lease_owner: str | None = None
    lease_until: datetime | None = timestamp()
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime = timestamp(default=True)
    ended_at: datetime | None = timestamp()


class WebhookAttempt(Table, table=True):
    """One attempt to send a delivery; `response` is the beginning of the answer's body."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (within_tenant(["delivery_id"], "webhook_deliveries", keys=["id"]),)

    tenant_id: UUID = tenant_key(references=False)
    delivery_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    started_at: datetime = timestamp(default=True)
    duration_ms: int
    status: int | None = None
    error: str | None = None
    detail: str | None = None
    response: str | None = None
