"""Queries of the sweeper, as `headrace_system`: expired leases, passed deadlines, turns that were never unparked."""

from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_all
from schema.states import LIVE_SQL, WAITING_SQL, CancelMode

LEASE_OWNERS = "SELECT DISTINCT lease_owner FROM jobs WHERE state = 'running' AND lease_owner IS NOT NULL"

LIST_LOST = """
SELECT tenant_id, id, attempt, tries, max_tries, cancel_requested, lease_owner
FROM jobs
WHERE state = 'running' AND (lease_until < now() OR lease_owner = ANY(%(dead)s))
ORDER BY lease_until LIMIT %(limit)s
"""

REQUEUE_LOST = """
WITH lost AS (
  SELECT * FROM unnest(%(tenants)s::uuid[], %(ids)s::uuid[], %(attempts)s::int[], %(delays)s::float[])
    AS l (tenant_id, id, attempt, delay_s)),
free AS (
  SELECT j.tenant_id, j.id FROM jobs j JOIN lost ON j.tenant_id = lost.tenant_id AND j.id = lost.id
  WHERE j.state = 'running' AND j.attempt = lost.attempt FOR UPDATE OF j SKIP LOCKED),
back AS (
  UPDATE jobs j SET state = 'queued', run_at = now() + make_interval(secs => lost.delay_s), lease_owner = NULL,
    lease_until = NULL, dispatched_at = NULL
  FROM lost JOIN free ON free.tenant_id = lost.tenant_id AND free.id = lost.id
  WHERE j.tenant_id = lost.tenant_id AND j.id = lost.id AND j.attempt = lost.attempt AND j.state = 'running'
    AND (j.lease_until < now() OR j.lease_owner = ANY(%(dead)s))
  RETURNING j.tenant_id, j.id, j.attempt)
UPDATE attempts a SET ended_at = now(), outcome = 'lost', error = %(error)s FROM back
WHERE a.tenant_id = back.tenant_id AND a.job_id = back.id AND a.attempt = back.attempt
RETURNING a.job_id
"""

LIST_OVERDUE = f"""
SELECT tenant_id, id, attempt FROM jobs
WHERE finished_at IS NULL AND deadline_at < now() AND state IN {WAITING_SQL} ORDER BY deadline_at LIMIT %(limit)s
"""

UNPARK_STRANDED = f"""
WITH parked AS MATERIALIZED (SELECT tenant_id, session_id, turn, id FROM jobs WHERE state = 'queued' AND parked),
first AS (
  SELECT DISTINCT ON (tenant_id, session_id) tenant_id, id FROM parked p
  WHERE NOT EXISTS (
    SELECT 1 FROM jobs l WHERE l.tenant_id = p.tenant_id AND l.session_id = p.session_id AND NOT l.parked
      AND l.state IN {LIVE_SQL})
  ORDER BY tenant_id, session_id, turn)
UPDATE jobs j SET parked = false FROM first WHERE j.tenant_id = first.tenant_id AND j.id = first.id AND j.state = %(state)s
RETURNING j.queue
"""

UNANSWERED_DOORBELLS = f"""
SELECT 1 FROM jobs WHERE queue = ANY(%(queues)s) AND state IN {WAITING_SQL}
  AND dispatch_seq - attempt >= 3 AND NOT parked LIMIT 1
"""


class OverdueJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be finished, if its last claim is still `attempt`."""

    tenant_id: UUID
    id: UUID
    attempt: int


class LostJob(OverdueJob, frozen=True, kw_only=True):
    """A job whose worker is lost."""

    tries: int
    max_tries: int
    cancel_requested: CancelMode | None
    lease_owner: str


async def list_lease_owners(db: Db) -> list[str]:
    """Return the workers that hold leases."""
    return [row["lease_owner"] for row in await fetch_all(db, LEASE_OWNERS, {})]


async def list_lost(db: Db, *, dead: list[str], limit: int = 500) -> list[LostJob]:
    """Return running jobs whose lease has expired, or whose owner is one of the `dead`."""
    return await fetch_all(db, LIST_LOST, {"dead": dead, "limit": limit}, into=LostJob)


async def requeue_lost(
    db: Db, jobs: list[LostJob], delays: list[float], *, dead: list[str], error: dict[str, str]
) -> int:
    """Requeue lost jobs, each after its delay in seconds, if they are still lost; return how many."""
    values = {
        "tenants": [job.tenant_id for job in jobs],
        "ids": [job.id for job in jobs],
        "attempts": [job.attempt for job in jobs],
        "delays": delays,
        "dead": dead,
        "error": Jsonb(error),
    }
    return len(await fetch_all(db, REQUEUE_LOST, values))


async def list_overdue(db: Db, *, limit: int = 500) -> list[OverdueJob]:
    """Return waiting jobs whose deadline has passed; running ones check their own."""
    return await fetch_all(db, LIST_OVERDUE, {"limit": limit}, into=OverdueJob)


async def unpark_stranded(db: Db) -> int:
    """Unpark turns whose session has no live job. A safety net: finishing a job does it at once."""
    return len(await fetch_all(db, UNPARK_STRANDED, {"state": "queued"}))
