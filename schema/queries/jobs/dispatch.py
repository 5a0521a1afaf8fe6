"""Which waiting jobs are dispatched next. Run by dispatchers as `headrace_system`; any number of them may run.

The order is: the tenant with the fewest jobs in flight per weight, then priority, then age. Two statements, because the
second must see what was committed before the first got the tenants' dispatch locks (`schema/queries/jobs/submissions.py`).
"""

from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.job_kinds import KIND_BY_QUEUE, UNCOUNTED, Kind
from schema.postgres.connections import Db, fetch_all
from schema.queries.jobs.submissions import DISPATCH_LOCK
from schema.queries.statements import read_sql
from schema.states import IN_FLIGHT_SQL, as_sql

LOCK_TENANTS = read_sql("lock_tenants", IN_FLIGHT_SQL=IN_FLIGHT_SQL, UNCOUNTED_SQL=as_sql(UNCOUNTED))

DISPATCH = read_sql("dispatch_jobs", IN_FLIGHT_SQL=IN_FLIGHT_SQL, UNCOUNTED_SQL=as_sql(UNCOUNTED))

# The number is taken back too: the watchdog of a worker (`UNANSWERED_DOORBELLS`) must not count what was never rung. If one was
# rung after all, it is the same doorbell as the next.
UNDISPATCH = """
UPDATE jobs j SET state = 'queued', dispatched_at = NULL, dispatch_seq = j.dispatch_seq - 1
FROM unnest(%(tenants)s::uuid[], %(ids)s::uuid[], %(seqs)s::int[]) AS d (tenant_id, id, seq)
WHERE j.tenant_id = d.tenant_id AND j.id = d.id AND j.state = %(from_state)s AND j.dispatch_seq = d.seq
"""

# Locked rows are skipped here and in the sweeper: a worker that is cut off in the middle of a transaction must not block the
# sweep until Postgres closes its connection.
UNANSWERED = """
UPDATE jobs SET state = 'queued', dispatched_at = NULL WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM jobs
  WHERE state = 'dispatched' AND dispatched_at < now() - make_interval(
    secs => %(after_s)s * coalesce((%(claim_timeout_factor)s::jsonb ->> queue)::int, 1))
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


async def dispatch_jobs(db: Db, queue: str, *, window: int, batches: tuple[int, ...]) -> list[DispatchedJob]:
    """Move jobs from `queued` to `dispatched` as far as caps and the window allow; return them, for their doorbells.
    `batches` says how many suspects may be in flight together, by how often they were lost."""
    kind = KIND_BY_QUEUE[queue]
    values = {
        "queue": queue,
        "window": kind.window or window,
        "max_running_per_tenant": kind.max_running_per_tenant,
        "batches": list(batches),
        "tenant_state": "active",
    }
    locked = await fetch_all(db, LOCK_TENANTS, values | {"lock": DISPATCH_LOCK})
    if not locked:
        return []
    values |= {"from_state": "queued", "tenants": [row["tenant_id"] for row in locked]}
    return await fetch_all(db, DISPATCH, values, into=DispatchedJob)


async def undispatch_jobs(db: Db, jobs: list[DispatchedJob]) -> None:
    """Undo dispatches whose doorbell could not be rung."""
    values = {
        "tenants": [job.tenant_id for job in jobs],
        "ids": [job.id for job in jobs],
        "seqs": [job.dispatch_seq for job in jobs],
        "from_state": "dispatched",
    }
    await db.execute(UNDISPATCH, values)


async def requeue_unanswered(db: Db, *, after_s: float) -> int:
    """Requeue jobs that were dispatched but never claimed; return how many."""
    claim_timeout_factor = Jsonb({queue: kind.claim_timeout_factor for queue, kind in KIND_BY_QUEUE.items()})
    return len(await fetch_all(db, UNANSWERED, {"after_s": after_s, "claim_timeout_factor": claim_timeout_factor}))
