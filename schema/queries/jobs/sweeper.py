"""Queries of the sweeper, as `headrace_system`: expired leases, passed deadlines, turns that were never unparked."""

from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.states import LIVE_SQL, WAITING_SQL, CancelMode

# An owner is silent when a lease has expired and it has not renewed the others either. It takes all its jobs at the same time,
# so that they are seen to have been lost together. (A job can also be forgotten by a worker that lives on.)
LEASE_OWNERS = """
SELECT lease_owner, min(lease_until) < now() AND max(lease_until) < now() + make_interval(secs => %(lease_s)s / 3) AS silent
FROM jobs WHERE state = 'running' AND lease_owner IS NOT NULL GROUP BY lease_owner
"""

# A worker renews its leases three times per lease, so it died within a third of one after the last time.
LIST_LOST = """
SELECT j.tenant_id, j.id, j.queue, j.attempt, j.tries, j.max_tries, j.cancel_requested, j.lease_owner, j.losses, j.suspect,
  greatest(0, extract(epoch FROM least(now(), j.lease_until - make_interval(secs => %(lease_s)s * 2 / 3)) - a.started_at)
    )::float8 AS lived_s
FROM jobs j JOIN attempts a ON a.tenant_id = j.tenant_id AND a.job_id = j.id AND a.attempt = j.attempt
WHERE j.state = 'running' AND (j.lease_until < now() OR j.lease_owner = ANY(%(dead)s))
ORDER BY j.lease_owner, j.id LIMIT %(limit)s
"""

REQUEUE_LOST = """
WITH lost AS (
  SELECT * FROM unnest(%(tenants)s::uuid[], %(ids)s::uuid[], %(attempts)s::int[], %(delays)s::float[], %(refunds)s::int[],
    %(losses)s::int[], %(probations)s::float[]) AS l (tenant_id, id, attempt, delay_s, refund, losses, probation_s)),
free AS (
  SELECT j.tenant_id, j.id FROM jobs j JOIN lost ON j.tenant_id = lost.tenant_id AND j.id = lost.id
  WHERE j.state = 'running' AND j.attempt = lost.attempt FOR UPDATE OF j SKIP LOCKED),
back AS (
  UPDATE jobs j SET state = 'queued', run_at = now() + make_interval(secs => lost.delay_s), lease_owner = NULL,
    lease_until = NULL, dispatched_at = NULL, tries = j.tries - lost.refund, losses = lost.losses, suspect = true,
    probation_s = lost.probation_s
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
    """A job whose worker is lost, after it had run there for `lived_s`."""

    queue: str
    tries: int
    max_tries: int
    cancel_requested: CancelMode | None
    lease_owner: str
    losses: int
    suspect: bool
    lived_s: float


class RequeuedJob(msgspec.Struct, frozen=True, kw_only=True):
    """How a lost job goes back to the queue, as a suspect."""

    job: LostJob
    delay_s: float
    refund: bool
    losses: int
    probation_s: float

    @property
    def is_tried_again(self) -> bool:
        """Whether it goes back at all: it was not to be cancelled, and a try is left."""
        return not self.job.cancel_requested and (self.refund or self.job.tries < self.job.max_tries)


async def read_clock(db: Db) -> float:
    """Return the time of Postgres, in seconds; it goes on during a transaction."""
    row = await fetch_one(db, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now_s", {})
    assert row is not None, "it has one row"
    return row["now_s"]


async def list_lease_owners(db: Db, *, lease_s: float) -> dict[str, bool]:
    """Return the workers that hold leases, and whether they have stopped renewing them."""
    return {row["lease_owner"]: row["silent"] for row in await fetch_all(db, LEASE_OWNERS, {"lease_s": lease_s})}


async def list_lost(db: Db, *, dead: list[str], lease_s: float, limit: int = 2000) -> list[LostJob]:
    """Return running jobs whose lease has expired, or whose owner is one of the `dead`."""
    return await fetch_all(db, LIST_LOST, {"dead": dead, "lease_s": lease_s, "limit": limit}, into=LostJob)


async def requeue_lost(db: Db, returns: list[RequeuedJob], *, dead: list[str], error: dict[str, str]) -> int:
    """Requeue lost jobs if they are still lost; return how many."""
    jobs = [back.job for back in returns]
    values = {
        "tenants": [job.tenant_id for job in jobs],
        "ids": [job.id for job in jobs],
        "attempts": [job.attempt for job in jobs],
        "delays": [back.delay_s for back in returns],
        "refunds": [int(back.refund) for back in returns],
        "losses": [back.losses for back in returns],
        "probations": [back.probation_s for back in returns],
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
