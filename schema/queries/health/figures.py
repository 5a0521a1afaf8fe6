"""What the watchdog reads in Postgres besides its own rows; as the system. What a call reads is bounded."""

from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from schema.job_kinds import KIND_BY_QUEUE
from schema.postgres.connections import Db, fetch_all, fetch_one

FIGURES = "SELECT *, extract(epoch FROM clock_timestamp())::float8 AS now_s FROM postgres_figures()"

# How long workers have not answered: a job that waits for its tenant's cap was not rung for. Those that were rung for are few
# (`window`), and a job that nobody answers is rung for again and again, each time with the next number.
UNANSWERED = """
SELECT kind, queue, count(*)::int AS jobs, max(extract(epoch FROM now() - dispatched_at)
    + (dispatch_seq - attempt - 1) * %(after_s)s * coalesce((%(factors)s::jsonb ->> queue)::int, 1))::float8 AS longest_s
FROM jobs WHERE state = 'dispatched' AND dispatched_at IS NOT NULL GROUP BY kind, queue
"""

LANES = 1000
# The oldest delivery of each lane, found lane by lane, as in `claim_deliveries.sql`.
DELIVERIES = f"""
WITH RECURSIVE lanes AS (
  (SELECT tenant_id, lane, next_at, 1 AS n FROM webhook_deliveries WHERE state = 'pending'
    ORDER BY tenant_id, lane, next_at, id LIMIT 1)
  UNION ALL
  SELECT next.*, l.n + 1 FROM lanes l CROSS JOIN LATERAL (
    SELECT d.tenant_id, d.lane, d.next_at FROM webhook_deliveries d
    WHERE d.state = 'pending' AND (d.tenant_id, d.lane) > (l.tenant_id, l.lane)
    ORDER BY d.tenant_id, d.lane, d.next_at, d.id LIMIT 1) AS next
  WHERE l.n < {LANES})
SELECT (SELECT coalesce(max(extract(epoch FROM now() - next_at)), 0)::float8 FROM lanes) AS overdue_s,
  (SELECT count(*)::int FROM webhook_endpoints WHERE enabled) AS endpoints,
  (SELECT count(*)::int FROM webhook_endpoints WHERE enabled
    AND failing_since < now() - make_interval(secs => %(failing_s)s)) AS failing
"""


class PostgresFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Connections, and how many there may be; the longest transaction in seconds; how many transactions ago the oldest row was
    frozen; what replication slots keep of the log; and its time, in seconds since 1970."""

    connections: int
    most_connections: int
    longest_transaction_s: float
    oldest_xid_age: int
    retained_wal_bytes: int
    inactive_slots: int
    now_s: float


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of a kind that were rung for and that no worker has taken yet; the first of them for so long."""

    kind: str
    queue: str
    jobs: int
    longest_s: float


class DeliveryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How long the oldest webhook that is due has been so; endpoints that are on, and those of them that keep failing."""

    overdue_s: float
    endpoints: int
    failing: int


async def read_postgres_figures(db: Db) -> PostgresFigures:
    """Return the figures of Postgres: of others' transactions, what its owner may see."""
    found = await fetch_one(db, FIGURES, {}, into=PostgresFigures)
    assert found is not None, "it has one row"
    return found


async def list_unanswered(db: Db, *, after_s: float) -> list[Unanswered]:
    """Return what waits for workers, by kind; a job is rung for again `after_s` after the last time."""
    values: dict[str, Any] = {"after_s": after_s}
    values["factors"] = Jsonb({queue: kind.claim_timeout_factor for queue, kind in KIND_BY_QUEUE.items()})
    return await fetch_all(db, UNANSWERED, values, into=Unanswered)


async def read_delivery_figures(db: Db, *, failing_s: float) -> DeliveryFigures:
    """Return the figures of webhooks; an endpoint keeps failing if it has for `failing_s`."""
    found = await fetch_one(db, DELIVERIES, {"failing_s": failing_s}, into=DeliveryFigures)
    assert found is not None, "it has one row"
    return found
