"""Deliveries as their tenant sees them: pages, attempts, and sending again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from schema.ids import first_id
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.pages import BEGINNING, END, LAST_ID
from schema.webhooks import DELIVERY_STATES, DeliveryState

COLUMNS = """d.id, d.event_id, d.endpoint_id, d.lane, d.callback ->> 'url' AS callback_url, d.type, d.occurred_at, d.sequence,
  d.job_id, d.document_id, d.state, d.attempt AS attempts, CASE WHEN d.state = 'pending' THEN d.next_at END AS next_at,
  d.last_status, d.last_error, d.created_at, d.ended_at"""

FILTERS = {
    "endpoint_id": "d.endpoint_id = %(endpoint_id)s",
    "job_id": "d.job_id = %(job_id)s",
    "types": "d.type = kind.type",
}
"""Filters of lists. Those that were not given are left out, so that each has its index."""

# As pages of jobs (`schema/queries/jobs/job_lists.py`): one index, read once for each state and type. Ids begin with their
# time, which is the event's or, in a long transaction, a little later.
FIND = """
SELECT found.* FROM unnest(%(states)s::text[]) AS wanted (state)
  CROSS JOIN unnest(%(types)s::text[]) AS kind (type) CROSS JOIN LATERAL (
  SELECT {columns} FROM webhook_deliveries d
  WHERE d.tenant_id = %(tenant_id)s AND d.state = wanted.state {filters}
    AND d.id >= %(first_id)s AND d.id < %(end_id)s AND d.occurred_at >= %(since)s AND d.occurred_at < %(until)s
  ORDER BY d.id DESC LIMIT %(limit)s) AS found
ORDER BY found.id DESC LIMIT %(limit)s
"""
LATE = timedelta(hours=1)
"""By how much an id may be later than its event."""

# What is being sent now is left to its deliverer. Whatever was paused stays so until its endpoint is enabled.
REDELIVER = """
UPDATE webhook_deliveries SET state = 'pending', tries = 0, next_at = now(), ended_at = NULL
WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s::uuid[]) AND state = ANY(%(states)s) RETURNING id
"""
REDELIVERABLE: tuple[DeliveryState, ...] = ("pending", "delivered", "exhausted")

MAX_REDELIVERED = 10_000

EPOCH, FAR = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Between these, ids can say when they were made."""


class StoredDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery. `event_id` is its `webhook-id`; `next_at` is when it is tried next."""

    id: UUID
    event_id: UUID
    endpoint_id: UUID | None
    lane: str
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

    def statement(self, columns: str, states: Sequence[str] = DELIVERY_STATES) -> tuple[str, dict[str, Any]]:
        """Return the statement that finds them, of these states, and its values but for `tenant_id` and `limit`."""
        values: dict[str, Any] = {"endpoint_id": self.endpoint_id, "job_id": self.job_id}
        values["types"] = self.types and list(self.types)
        filters = " ".join(f"AND {FILTERS[name]}" for name, value in values.items() if value is not None)
        values["types"] = values["types"] or [""]  # one round for all types, if none was asked for
        values["states"] = [state for state in states if self.states is None or state in self.states]
        values |= {"since": self.since or BEGINNING, "until": self.until or END}
        values["first_id"] = first_id(self.since) if self.since and self.since > EPOCH else UUID(int=0)
        values["end_id"] = first_id(self.until + LATE) if self.until and EPOCH < self.until < FAR else LAST_ID
        return FIND.format(columns=columns, filters=filters), values


async def list_deliveries(
    db: Db, tenant_id: UUID, wanted: DeliveryFilter, *, limit: int, before: UUID = LAST_ID
) -> list[StoredDelivery]:
    """Return deliveries, newest first; `before` is the last of the page before."""
    sql, values = wanted.statement(COLUMNS)
    values |= {"tenant_id": tenant_id, "limit": limit, "end_id": min(before, values["end_id"])}
    return await fetch_all(db, sql, values, into=StoredDelivery)


async def find_delivery(db: Db, tenant_id: UUID, delivery_id: UUID) -> StoredDelivery | None:
    """Return one delivery."""
    sql = f"SELECT {COLUMNS} FROM webhook_deliveries d WHERE d.tenant_id = %(tenant_id)s AND d.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": delivery_id}, into=StoredDelivery)


async def list_deliveries_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[StoredDelivery]:
    """Return those of these deliveries that are there."""
    sql = (
        f"SELECT {COLUMNS} FROM webhook_deliveries d WHERE d.tenant_id = %(tenant_id)s AND d.id = ANY(%(ids)s::uuid[])"
    )
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(ids)}, into=StoredDelivery)


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
    values = {"tenant_id": tenant_id, "ids": list(ids), "states": list(REDELIVERABLE)}
    return [row["id"] for row in await fetch_all(db, REDELIVER, values)]


async def redeliver_matching(db: Db, tenant_id: UUID, wanted: DeliveryFilter) -> int:
    """Send again what a filter finds, the newest MAX_REDELIVERED of them; return how many."""
    sql, values = wanted.statement("d.id", REDELIVERABLE)
    found = await fetch_all(db, sql, values | {"tenant_id": tenant_id, "limit": MAX_REDELIVERED})
    return len(await redeliver(db, tenant_id, [row["id"] for row in found]))
