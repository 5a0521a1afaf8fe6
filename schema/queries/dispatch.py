"""Which waiting jobs are dispatched next. Run by dispatchers as `headrace_system`; any number of them may run.

The order is: the tenant with the fewest jobs in flight per weight, then priority, then age. Two statements, because the
second must see what was committed before the first got the tenants' dispatch locks (`schema/queries/submissions.py`).
"""

from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_all
from schema.kinds import OF_QUEUE, Kind
from schema.queries.submissions import DISPATCH_LOCK
from schema.states import IN_FLIGHT_SQL

# A skip scan: one index probe for each tenant that has anything waiting, however much waits and however much has ended. The
# whole of the index's order is spelled out, so that no other index can serve it.
LOCK_TENANTS = """
WITH RECURSIVE waiting AS (
  (SELECT tenant_id FROM jobs WHERE state = 'queued' ORDER BY tenant_id, queue, parked, priority, id LIMIT 1)
  UNION ALL
  SELECT (SELECT j.tenant_id FROM jobs j WHERE j.state = 'queued' AND j.tenant_id > w.tenant_id
    ORDER BY j.tenant_id, j.queue, j.parked, j.priority, j.id LIMIT 1)
  FROM waiting w WHERE w.tenant_id IS NOT NULL),
due AS MATERIALIZED (
  SELECT w.tenant_id FROM waiting w CROSS JOIN LATERAL (
    SELECT 1 FROM jobs j WHERE j.tenant_id = w.tenant_id AND j.queue = %(queue)s AND j.state = 'queued'
      AND NOT j.parked AND j.run_at <= now() ORDER BY j.priority, j.id LIMIT 1) AS one
  WHERE w.tenant_id IS NOT NULL
  ORDER BY w.tenant_id)
SELECT tenant_id, pg_advisory_xact_lock(%(lock)s, hashtext(tenant_id::text)) FROM due
"""

DISPATCH = f"""
WITH flight AS (
  SELECT tenant_id, count(*) AS jobs, count(*) FILTER (WHERE queue = %(queue)s) AS here FROM jobs
  WHERE state IN {IN_FLIGHT_SQL} AND tenant_id = ANY(%(tenants)s) GROUP BY tenant_id),
room AS (
  SELECT greatest(0, %(window)s - (SELECT count(*) FROM jobs WHERE queue = %(queue)s AND state = 'dispatched')) AS jobs),
ranked AS (
  SELECT next.tenant_id, next.id, next.priority, (coalesce(flight.jobs, 0)
    + row_number() OVER (PARTITION BY t.id ORDER BY next.priority, next.id))::float / greatest(t.weight, 1) AS share
  FROM tenants t LEFT JOIN flight ON flight.tenant_id = t.id CROSS JOIN room CROSS JOIN LATERAL (
    SELECT j.tenant_id, j.id, j.priority FROM jobs j
    WHERE j.tenant_id = t.id AND j.queue = %(queue)s AND j.state = 'queued' AND NOT j.parked AND j.run_at <= now()
    ORDER BY j.priority, j.id
    LIMIT least(room.jobs, greatest(0, t.max_running - coalesce(flight.jobs, 0)),
      CASE WHEN %(at_once)s::int IS NOT NULL THEN greatest(0, %(at_once)s::int - coalesce(flight.here, 0)) END)
    FOR UPDATE SKIP LOCKED) AS next
  WHERE t.id = ANY(%(tenants)s) AND t.state = %(tenant_state)s),
chosen AS (
  SELECT tenant_id, id FROM ranked ORDER BY share, priority, id LIMIT (SELECT jobs FROM room))
UPDATE jobs j SET state = 'dispatched', dispatch_seq = dispatch_seq + 1, dispatched_at = now()
FROM chosen c WHERE j.tenant_id = c.tenant_id AND j.id = c.id AND j.state = %(from_state)s
RETURNING j.tenant_id, j.id, j.kind, j.dispatch_seq, j.inbox
"""

UNDISPATCH = """
UPDATE jobs j SET state = 'queued', dispatched_at = NULL
FROM unnest(%(tenants)s::uuid[], %(ids)s::uuid[], %(seqs)s::int[]) AS d (tenant_id, id, seq)
WHERE j.tenant_id = d.tenant_id AND j.id = d.id AND j.state = %(from_state)s AND j.dispatch_seq = d.seq
"""

# Rows that somebody holds are passed over here and in the sweeper: a worker that is cut off in the middle of a transaction
# must not stop the sweep for everybody until Postgres gives its connection up.
UNANSWERED = """
UPDATE jobs SET state = 'queued', dispatched_at = NULL WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM jobs
  WHERE state = 'dispatched' AND dispatched_at < now() - make_interval(
    secs => %(after_s)s * coalesce((%(patience)s::jsonb ->> queue)::int, 1))
  FOR UPDATE SKIP LOCKED)
RETURNING queue
"""


class DispatchedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose doorbell is to be rung."""

    tenant_id: UUID
    id: UUID
    kind: Kind
    dispatch_seq: int
    inbox: str | None


async def dispatch_jobs(db: Db, queue: str, *, window: int) -> list[DispatchedJob]:
    """Move jobs from `queued` to `dispatched` as far as caps and the window allow; return them, for their doorbells."""
    locked = await fetch_all(db, LOCK_TENANTS, {"queue": queue, "lock": DISPATCH_LOCK})
    if not locked:
        return []
    tenants = [row["tenant_id"] for row in locked]
    kind = OF_QUEUE[queue]
    values = {"queue": queue, "window": kind.window or window, "tenants": tenants, "at_once": kind.at_once}
    values |= {"from_state": "queued", "tenant_state": "active"}
    return await fetch_all(db, DISPATCH, values, into=DispatchedJob)


async def undispatch_jobs(db: Db, jobs: list[DispatchedJob]) -> None:
    """Take back dispatches whose doorbell could not be rung."""
    values = {
        "tenants": [job.tenant_id for job in jobs],
        "ids": [job.id for job in jobs],
        "seqs": [job.dispatch_seq for job in jobs],
        "from_state": "dispatched",
    }
    await db.execute(UNDISPATCH, values)


async def requeue_unanswered(db: Db, *, after_s: float) -> int:
    """Queue again what was dispatched and never claimed; return how many."""
    patience = Jsonb({queue: kind.patience for queue, kind in OF_QUEUE.items()})
    return len(await fetch_all(db, UNANSWERED, {"after_s": after_s, "patience": patience}))
