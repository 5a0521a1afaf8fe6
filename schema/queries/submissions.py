"""Writing a job's row and what comes with it. Called by `workers/submit.py` inside one transaction of the tenant.

A job starts as `dispatched`, so that its doorbell can be rung right after the commit, if nothing stands in its way: the
tenant is under its cap, none of its older jobs wait, the queue's window has room, and no other submit of this tenant is
in flight (the tenant's turnstile is an advisory lock; whoever finds it taken leaves the job to the dispatcher). So caps
are exact and no submit ever waits for another.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_all, fetch_one
from schema.kinds import JobKind

TURNSTILE = 0x48524143  # first half of the advisory locks that guard a tenant's caps


@dataclass(frozen=True)
class NewJob:
    """A job to be. `payload` is what its worker needs besides the session's messages; `inbox` the channel of the
    submitting process; `turn` its place in the session, if it has one."""

    tenant_id: UUID
    id: UUID
    kind: JobKind
    payload: dict[str, Any]
    priority: int
    model: str | None = None
    agent: str | None = None
    session_id: UUID | None = None
    turn: int | None = None
    inbox: str | None = None
    request_id: str | None = None
    deadline_s: float | None = None


TRY_TURNSTILE = """
SELECT set_config('headrace.turnstile',
  CASE WHEN pg_try_advisory_xact_lock(%(lock)s, hashtext(%(tenant_id)s::text)) THEN 'mine' ELSE 'taken' END, true)
"""

ADD_JOB = """
WITH room AS MATERIALIZED (
  SELECT t.max_running, t.max_queued,
    %(session_id)s::uuid IS NOT NULL AND EXISTS (
      SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.session_id = %(session_id)s::uuid
        AND j.state IN ('queued', 'dispatched', 'running')) AS parked
  FROM tenants t WHERE t.id = %(tenant_id)s),
start AS MATERIALIZED (
  SELECT room.*, NOT parked
    AND current_setting('headrace.turnstile', true) = 'mine'
    AND (SELECT count(*) FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.state IN ('dispatched', 'running'))
      < max_running
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.queue = %(queue)s
      AND j.state = 'queued' AND NOT j.parked AND j.run_at <= now())
    AND NOT window_is_full(%(queue)s, %(window)s::int) AS now
  FROM room)
INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, session_id, turn, model, agent, payload, parked,
  deadline_at, max_tries, dispatch_seq, dispatched_at, inbox, request_id)
SELECT %(tenant_id)s::uuid, %(id)s::uuid, %(kind)s, %(queue)s, CASE WHEN start.now THEN 'dispatched' ELSE 'queued' END,
  %(priority)s::int, %(session_id)s::uuid, %(turn)s::int, %(model)s, %(agent)s, %(payload)s, start.parked,
  now() + make_interval(secs => %(deadline_s)s), %(max_tries)s::int,
  start.now::int, CASE WHEN start.now THEN now() END, %(inbox)s, %(request_id)s
FROM start
WHERE CASE WHEN start.now THEN true ELSE (
  SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.state = 'queued'
    LIMIT start.max_queued) AS waiting) < start.max_queued END
RETURNING state, dispatch_seq, parked, created_at, deadline_at
"""


async def try_turnstile(db: Db, tenant_id: UUID) -> None:
    """Take the tenant's turnstile for this transaction if it is free; `add_job` sees whether it was."""
    await db.execute(TRY_TURNSTILE, {"lock": TURNSTILE, "tenant_id": tenant_id})


async def add_job(db: Db, job: NewJob, *, window: int) -> DictRow | None:
    """Insert `job` and return its state, dispatch_seq, parked, created_at and deadline_at; None if the tenant's queue
    is full. `window` bounds the doorbells that wait in a Celery queue."""
    return await fetch_one(
        db,
        ADD_JOB,
        {
            "tenant_id": job.tenant_id,
            "id": job.id,
            "kind": job.kind.name,
            "queue": job.kind.queue,
            "priority": job.priority,
            "session_id": job.session_id,
            "turn": job.turn,
            "model": job.model,
            "agent": job.agent,
            "payload": Jsonb(job.payload),
            "deadline_s": job.deadline_s or job.kind.deadline_s,
            "max_tries": job.kind.max_tries,
            "inbox": job.inbox,
            "request_id": job.request_id,
            "window": window,
        },
    )


async def add_session(db: Db, tenant_id: UUID, session_id: UUID, title: str, *, turns: int = 0) -> None:
    """Insert a session; `turns` is 1 when its first job comes in the same transaction."""
    await db.execute(
        "INSERT INTO sessions (tenant_id, id, title, turns) VALUES (%s, %s, %s, %s)",
        (tenant_id, session_id, title, turns),
    )


async def take_turn(db: Db, tenant_id: UUID, session_id: UUID) -> int | None:
    """Lock the session until the commit and return the number of its new turn; None if there is no such session."""
    sql = """UPDATE sessions SET turns = turns + 1, updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND id = %(session_id)s RETURNING turns"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "session_id": session_id})
    return None if row is None else row["turns"]


async def list_live_jobs(db: Db, tenant_id: UUID, session_id: UUID) -> list[UUID]:
    """Return the jobs of a session that have not ended, in the order of their turns."""
    sql = """SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s
      AND state IN ('queued', 'dispatched', 'running') ORDER BY turn"""
    return [row["id"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id, "session_id": session_id})]


async def add_user_message(db: Db, job: NewJob, message_id: UUID, parts: list[dict[str, Any]]) -> None:
    """Insert what the user said as the first message of the job's turn."""
    sql = """INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts)
      VALUES (%s, %s, %s, %s, %s, 0, 'user', %s)"""
    await db.execute(sql, (job.tenant_id, message_id, job.session_id, job.id, job.turn, Jsonb(parts)))


async def add_idempotency_key(
    db: Db, tenant_id: UUID, route: str, key: str, *, fingerprint: str, job_id: UUID
) -> DictRow | None:
    """Insert the key, or return the {fingerprint, job_id} that already holds it (waiting for a submit in flight)."""
    values = {"tenant_id": tenant_id, "route": route, "key": key, "fingerprint": fingerprint, "job_id": job_id}
    added = await fetch_one(
        db,
        """INSERT INTO idempotency_keys (tenant_id, route, key, fingerprint, job_id)
          VALUES (%(tenant_id)s, %(route)s, %(key)s, %(fingerprint)s, %(job_id)s)
          ON CONFLICT DO NOTHING RETURNING job_id""",
        values,
    )
    if added is not None:
        return None
    return await fetch_one(
        db,
        """SELECT fingerprint, job_id FROM idempotency_keys
          WHERE tenant_id = %(tenant_id)s AND route = %(route)s AND key = %(key)s""",
        values,
    )


async def undispatch_job(db: Db, tenant_id: UUID, job_id: UUID, dispatch_seq: int) -> None:
    """Take back a dispatch whose doorbell could not be rung."""
    sql = """UPDATE jobs SET state = 'queued', dispatched_at = NULL
      WHERE tenant_id = %s AND id = %s AND state = 'dispatched' AND dispatch_seq = %s"""
    await db.execute(sql, (tenant_id, job_id, dispatch_seq))
