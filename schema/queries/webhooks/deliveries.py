"""Deliveries as their tenant sees them: pages, attempts, and sending again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.pages import BEGINNING, END, LAST_ID
from schema.webhooks import DeliveryState

COLUMNS = """d.id, d.event_id, d.endpoint_id, d.callback ->> 'url' AS callback_url, d.type, d.occurred_at, d.sequence, d.job_id,
  d.document_id, d.state, d.attempt AS attempts, CASE WHEN d.state = 'pending' THEN d.next_at END AS next_at, d.last_status,
  d.last_error, d.created_at, d.ended_at"""

FILTERS = {
    "endpoint_id": "d.endpoint_id = %(endpoint_id)s",
    "job_id": "d.job_id = %(job_id)s",
    "states": "d.state = ANY(%(states)s)",
    "types": "d.type = ANY(%(types)s)",
}
"""Filters of lists. Those that were not given are left out, so that each has its index."""

# What is being sent now is left to its deliverer. Whatever was paused stays so until its endpoint is enabled.
REDELIVER = """
UPDATE webhook_deliveries SET state = 'pending', tries = 0, next_at = now(), ended_at = NULL
WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s::uuid[]) AND state IN ('pending', 'delivered', 'exhausted') RETURNING id
"""

MAX_REDELIVERED = 10_000


class StoredDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery. `event_id` is its `webhook-id`; `next_at` is when it is tried next."""

    id: UUID
    event_id: UUID
    endpoint_id: UUID | None
    callback_url: str | None
    type: str
    occurred_at: datetime
    sequence: int
    job_id: UUID | None
    document_id: UUID | None
    state: DeliveryState
    attempts: int
    next_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None


class StoredAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to send a delivery."""

    attempt: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    detail: str | None
    response: str | None


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries: of an endpoint, of a job, in these states, of these types of events, and when they happened."""

    endpoint_id: UUID | None = None
    job_id: UUID | None = None
    states: Sequence[str] | None = None
    types: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the conditions, and their values."""
        values: dict[str, Any] = {"endpoint_id": self.endpoint_id, "job_id": self.job_id}
        values |= {"states": self.states and list(self.states), "types": self.types and list(self.types)}
        conditions = " ".join(f"AND {FILTERS[name]}" for name, value in values.items() if value is not None)
        return conditions, values | {"since": self.since or BEGINNING, "until": self.until or END}


async def list_deliveries(
    db: Db, tenant_id: UUID, wanted: DeliveryFilter, *, limit: int, before: UUID = LAST_ID
) -> list[StoredDelivery]:
    """Return deliveries, newest first; `before` is the last of the page before."""
    conditions, values = wanted.where()
    sql = f"""SELECT {COLUMNS} FROM webhook_deliveries d
      WHERE d.tenant_id = %(tenant_id)s {conditions} AND d.occurred_at >= %(since)s AND d.occurred_at < %(until)s
        AND d.id < %(before)s ORDER BY d.id DESC LIMIT %(limit)s"""
    return await fetch_all(
        db, sql, values | {"tenant_id": tenant_id, "limit": limit, "before": before}, into=StoredDelivery
    )


async def find_delivery(db: Db, tenant_id: UUID, delivery_id: UUID) -> StoredDelivery | None:
    """Return one delivery."""
    sql = f"SELECT {COLUMNS} FROM webhook_deliveries d WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": delivery_id}, into=StoredDelivery)


async def has_endpoint(db: Db, tenant_id: UUID, endpoint_id: UUID) -> bool:
    """Whether a tenant has this endpoint."""
    sql = "SELECT 1 FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": endpoint_id}) is not None


async def list_attempts(db: Db, tenant_id: UUID, delivery_id: UUID, *, limit: int = 100) -> list[StoredAttempt]:
    """Return the attempts of a delivery, in order; of very many the last ones."""
    sql = """SELECT * FROM (SELECT attempt, started_at, duration_ms, status, error, detail, response FROM webhook_attempts
        WHERE tenant_id = %(tenant_id)s AND delivery_id = %(id)s ORDER BY attempt DESC LIMIT %(limit)s) AS last
      ORDER BY attempt"""
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "id": delivery_id, "limit": limit}, into=StoredAttempt)


async def redeliver(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Send deliveries again from the beginning of the schedule; return those that could be."""
    return [row["id"] for row in await fetch_all(db, REDELIVER, {"tenant_id": tenant_id, "ids": list(ids)})]


async def redeliver_matching(db: Db, tenant_id: UUID, wanted: DeliveryFilter) -> int:
    """Send again what a filter finds, the newest MAX_REDELIVERED of them; return how many."""
    conditions, values = wanted.where()
    sql = f"""SELECT d.id FROM webhook_deliveries d WHERE d.tenant_id = %(tenant_id)s {conditions}
      AND d.occurred_at >= %(since)s AND d.occurred_at < %(until)s AND d.state IN ('pending', 'delivered', 'exhausted')
      ORDER BY d.id DESC LIMIT %(limit)s"""
    found = await fetch_all(db, sql, values | {"tenant_id": tenant_id, "limit": MAX_REDELIVERED})
    return len(await redeliver(db, tenant_id, [row["id"] for row in found]))
