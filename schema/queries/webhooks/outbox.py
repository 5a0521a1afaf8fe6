"""The outbox: deliveries are claimed across tenants as `headrace_system`, which can't read what they say; read, and ended, as
their tenant. All moves compare state and attempt: a deliverer that was lost and comes back changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.batch import Rows, run_batch
from schema.postgres.connections import Db, Pool, fetch_all, fetch_one
from schema.queries.statements import read_sql
from schema.vault import Sealed
from schema.webhooks import DeliveryState, DisabledFor

# Claims of several deliverers exclude each other, so that a lane's places are counted right.
CLAIM_LOCK = 0x48525748
LOCK = "SELECT pg_advisory_xact_lock(%(lock)s)"
# What is lost with an unflushed commit is only the claim: the delivery would be sent again, as after a crash.
UNFLUSHED = "SET LOCAL synchronous_commit = off"

ANY_DUE = """
SELECT EXISTS (SELECT 1 FROM webhook_deliveries WHERE state = 'pending')
  OR EXISTS (SELECT 1 FROM webhook_deliveries WHERE state = 'sending') AS any
"""

PER_LANE = 2
"""Deliveries of a lane that may be on their way at once."""
MOST = 100
"""Deliveries that are claimed at once."""

CLAIM = read_sql("claim_deliveries", PER_LANE=str(PER_LANE), MOST=str(MOST))

OWNERS = (
    "SELECT DISTINCT lease_owner AS owner FROM webhook_deliveries WHERE state = 'sending' AND lease_owner IS NOT NULL"
)

# The try is spent, so that a delivery that kills its deliverer does so only as often as the schedule has places.
RELEASE_LOST = """
UPDATE webhook_deliveries SET state = 'pending', next_at = now(), lease_owner = NULL, lease_until = NULL
WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM webhook_deliveries
  WHERE state = 'sending' AND (lease_until < now() OR lease_owner = ANY(%(dead)s)) FOR UPDATE SKIP LOCKED)
RETURNING id
"""

RELEASE_OWN = """
UPDATE webhook_deliveries SET state = 'pending', next_at = now(), tries = tries - 1, lease_owner = NULL, lease_until = NULL
WHERE state = 'sending' AND lease_owner = %(owner)s RETURNING id
"""

# A result is sent as it is when it is sent, if it is still the one of this ending: what was erased meanwhile stays erased.
READ = """
SELECT d.id, d.event_id, d.endpoint_id, d.callback, d.type, d.occurred_at, d.sequence, d.job_id, d.document_id, d.data,
  d.attempt, e.url, coalesce(e.enabled, true) AS enabled, e.include, e.key_id, e.sealed, s.key_id AS callback_key_id,
  s.sealed AS callback_sealed,
  (SELECT jsonb_build_object('traceparent', j.traceparent, 'attempt', j.attempt) FROM jobs j
    WHERE j.tenant_id = d.tenant_id AND j.id = d.job_id) AS traced,
  (SELECT jsonb_build_object('result', j.result, 'error', j.error) FROM jobs j
    WHERE j.tenant_id = d.tenant_id AND j.id = d.job_id AND j.finished_at = d.occurred_at
      AND (e.include ? 'result' OR d.callback -> 'include' ? 'result')) AS outcome
FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id
  LEFT JOIN callback_secrets s ON s.tenant_id = d.tenant_id AND d.endpoint_id IS NULL
WHERE d.tenant_id = %(tenant_id)s AND d.id = ANY(%(ids)s::uuid[]) AND d.state = %(from_state)s
"""

END = """
WITH ended AS (
  UPDATE webhook_deliveries SET state = %(state)s::text, next_at = now() + make_interval(secs => %(delay_s)s::float8),
    lease_owner = NULL, lease_until = NULL, last_status = %(status)s::int, last_error = %(error)s::text,
    ended_at = CASE WHEN %(state)s::text IN ('delivered', 'exhausted') THEN now() END
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = %(from_state)s
  RETURNING tenant_id, id, attempt)
INSERT INTO webhook_attempts (tenant_id, delivery_id, attempt, started_at, duration_ms, status, error, detail, response)
SELECT tenant_id, id, attempt, %(started_at)s::timestamptz, %(duration_ms)s::int, %(status)s::int, %(error)s::text,
  %(detail)s::text, %(response)s::text
FROM ended RETURNING delivery_id
"""

RECOVERED = """
UPDATE webhook_endpoints SET failing_since = NULL
WHERE tenant_id = %(tenant_id)s AND id = %(endpoint_id)s AND failing_since IS NOT NULL
"""

# Whoever answers 410, or has failed for days, is switched off: what waits for it is paused, and the audit log says so.
FAILED = """
WITH failing AS (
  UPDATE webhook_endpoints SET failing_since = now()
  WHERE tenant_id = %(tenant_id)s AND id = %(endpoint_id)s AND failing_since IS NULL RETURNING id)
SELECT CASE WHEN %(gone)s THEN 'gone' WHEN failing_since < now() - make_interval(days => %(days)s) THEN 'failing' END AS reason
FROM webhook_endpoints WHERE tenant_id = %(tenant_id)s AND id = %(endpoint_id)s AND enabled
"""

DISABLE = """
WITH off AS (
  UPDATE webhook_endpoints SET enabled = false, disabled_at = now(), disabled_for = %(reason)s::text, updated_at = now()
  WHERE tenant_id = %(tenant_id)s AND id = %(endpoint_id)s AND enabled RETURNING tenant_id, id, url, failing_since),
paused AS (
  UPDATE webhook_deliveries d SET state = 'paused' FROM off
  WHERE d.tenant_id = off.tenant_id AND d.endpoint_id = off.id AND d.state = 'pending')
INSERT INTO audit_log (tenant_id, id, actor, action, target, result, detail)
SELECT tenant_id, %(audit_id)s::uuid, 'system', 'webhook.disabled', 'webhook:' || id, 'ok',
  jsonb_build_object('reason', %(reason)s::text, 'url', url, 'failing_since', failing_since)
FROM off RETURNING id
"""

PAUSE = """
UPDATE webhook_deliveries SET state = 'paused', tries = tries - 1, lease_owner = NULL, lease_until = NULL
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = %(from_state)s
"""

ADD_FIRST = """
INSERT INTO callback_secrets (tenant_id, key_id, sealed) VALUES (%(tenant_id)s, %(key_id)s, %(sealed)s) ON CONFLICT DO NOTHING
"""

ANNOUNCE = "SELECT announce(%(tenant_id)s, %(type)s, %(data)s::jsonb, NULL, NULL, NULL, NULL, NULL, NULL) AS deliveries"

ADD_TEST = """
INSERT INTO webhook_deliveries (tenant_id, id, event_id, endpoint_id, lane, type, sequence, data)
VALUES (%(tenant_id)s, %(id)s, %(event_id)s, %(endpoint_id)s, %(endpoint_id)s::uuid::text, %(type)s,
  (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %(data)s)
"""


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this process is to send, by its attempt: the `tries`-th of the schedule."""

    tenant_id: UUID
    id: UUID
    lane: str
    attempt: int
    tries: int

    @property
    def lane_name(self) -> str:
        """The lane among those of all tenants."""
        return f"{self.tenant_id} {self.lane}"


class OutboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent, and where to: `url` and `include` are the endpoint's, `callback` has those of a job. `outcome` is the
    job's {result, error}, if they are to be included and are still there; `traced` its {traceparent, attempt}."""

    id: UUID
    event_id: UUID
    endpoint_id: UUID | None
    callback: dict[str, Any] | None
    type: str
    occurred_at: datetime
    sequence: int
    job_id: UUID | None
    document_id: UUID | None
    data: dict[str, Any]
    attempt: int
    url: str | None
    enabled: bool
    include: list[str] | None
    key_id: str | None
    sealed: bytes | None
    callback_key_id: str | None
    callback_sealed: bytes | None
    traced: dict[str, Any] | None
    outcome: dict[str, Any] | None

    @property
    def target(self) -> str:
        """The address."""
        return self.url or (self.callback or {})["url"]

    @property
    def includes_result(self) -> bool:
        """Whether the receiver wants the result."""
        return "result" in ((self.include if self.callback is None else self.callback.get("include")) or ())

    @property
    def secrets(self) -> Sealed | None:
        """The sealed secrets that sign it; None for the first callback of a tenant."""
        key_id, sealed = self.key_id or self.callback_key_id, self.sealed or self.callback_sealed
        return None if key_id is None or sealed is None else Sealed(key_id, sealed)

    def __repr__(self) -> str:
        return f"OutboxMessage(id={self.id})"


@dataclass(frozen=True, kw_only=True)
class AttemptOutcome:
    """How an attempt to send ended: the answer's `status`, or the code of an `error` with a sentence, and what becomes of the
    delivery. `gone`: the receiver wants no more."""

    state: DeliveryState
    delay_s: float
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    detail: str | None
    response: str | None
    gone: bool = False


async def has_deliveries(db: Db) -> bool:
    """Whether anything waits or is being sent, for anybody; one look, without a lock."""
    row = await fetch_one(db, ANY_DUE, {})
    return bool(row and row["any"])


async def claim_deliveries(
    db: Db,
    *,
    owner: str,
    lease_s: float,
    room: int,
    slow_room: int,
    per_tenant: int,
    slow: Sequence[str],
    held: Sequence[str],
) -> list[ClaimedDelivery]:
    """Claim what is due; `slow` and `held` are names of lanes."""
    values: dict[str, Any] = {"owner": owner, "lease_s": lease_s, "room": room, "slow_room": slow_room}
    values |= {"per_tenant": per_tenant, "slow": list(slow), "held": list(held)}
    await db.execute(UNFLUSHED)
    await db.execute(LOCK, {"lock": CLAIM_LOCK})
    return await fetch_all(db, CLAIM, values, into=ClaimedDelivery)


async def list_lease_owners(db: Db) -> list[str]:
    """Return the processes that are sending."""
    return [row["owner"] for row in await fetch_all(db, OWNERS, {})]


async def release_lost(db: Db, *, dead: Sequence[str]) -> int:
    """Give back what lost its deliverer; return how many."""
    return len(await fetch_all(db, RELEASE_LOST, {"dead": list(dead)}))


async def release_own(db: Db, owner: str) -> int:
    """Give back what this process can't send any more, without spending a try; return how many."""
    return len(await fetch_all(db, RELEASE_OWN, {"owner": owner}))


async def read_messages(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> list[OutboxMessage]:
    """Return what these deliveries of a tenant say."""
    values = {"tenant_id": tenant_id, "ids": list(ids), "from_state": "sending"}
    return await fetch_all(db, READ, values, into=OutboxMessage)


async def end_attempt(pool: Pool, claimed: ClaimedDelivery, endpoint_id: UUID | None, outcome: AttemptOutcome) -> bool:
    """Record how an attempt ended, in one transaction with what follows for the endpoint; False if the delivery is no
    longer this attempt's."""
    values: dict[str, Any] = {"tenant_id": claimed.tenant_id, "id": claimed.id, "attempt": claimed.attempt}
    values |= vars(outcome) | {"from_state": "sending"}
    steps = [(END, values)]
    if endpoint_id is not None and outcome.state == "delivered":
        steps.append((RECOVERED, {"tenant_id": claimed.tenant_id, "endpoint_id": endpoint_id}))
    ended: list[Rows] = await run_batch(pool, claimed.tenant_id, steps)
    return bool(ended[0])


async def note_failure(
    db: Db, tenant_id: UUID, endpoint_id: UUID, *, gone: bool, max_failing_days: int
) -> DisabledFor | None:
    """Record that an endpoint failed; switch it off if it is time, and return why."""
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "gone": gone,
        "days": max_failing_days,
    }
    row = await fetch_one(db, FAILED, values)
    reason: DisabledFor | None = row["reason"] if row else None
    if reason is None:
        return None
    off = await fetch_one(db, DISABLE, values | {"reason": reason, "audit_id": new_id()})
    return reason if off else None


async def pause_delivery(db: Db, claimed: ClaimedDelivery) -> None:
    """Put back a delivery whose endpoint is disabled."""
    values = {"tenant_id": claimed.tenant_id, "id": claimed.id, "attempt": claimed.attempt, "from_state": "sending"}
    await db.execute(PAUSE, values)


async def add_callback_secret(db: Db, tenant_id: UUID, sealed: Sealed) -> None:
    """Store the secret of a tenant's callbacks, if it has none yet."""
    values = {"tenant_id": tenant_id, "key_id": sealed.key_id, "sealed": sealed.sealed}
    await db.execute(ADD_FIRST, values)


async def announce(db: Db, tenant_id: UUID, type_: str, data: dict[str, Any]) -> int:
    """Write the deliveries of an event that is about no job, into this transaction of a tenant; return how many."""
    row = await fetch_one(db, ANNOUNCE, {"tenant_id": tenant_id, "type": type_, "data": Jsonb(data)})
    return row["deliveries"] if row else 0


async def add_test(db: Db, tenant_id: UUID, delivery_id: UUID, endpoint_id: UUID, type_: str) -> None:
    """Write a delivery that tests an endpoint."""
    values: dict[str, Any] = {
        "tenant_id": tenant_id,
        "id": delivery_id,
        "event_id": new_id(),
        "endpoint_id": endpoint_id,
    }
    await db.execute(ADD_TEST, values | {"type": type_, "data": Jsonb({"endpoint_id": str(endpoint_id)})})
