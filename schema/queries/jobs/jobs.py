"""Reading jobs, cancelling, retrying and deleting them; and their compressed logs."""

import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.job_kinds import KIND_BY_QUEUE, Kind
from schema.postgres.batch import ScopedStatement, run_each
from schema.postgres.connections import Db, Pool, fetch_all, fetch_one
from schema.states import LIVE_SQL, CancelMode, State, WaitingFor

QUEUE_LIMITS = {
    queue: kind.max_running_per_tenant for queue, kind in KIND_BY_QUEUE.items() if kind.max_running_per_tenant
}
MAX_RUNNING_PER_TENANT = f"'{json.dumps(QUEUE_LIMITS)}'::jsonb"

WAITING_FOR = f"""
CASE WHEN j.state = 'dispatched' THEN 'worker'
  WHEN j.state <> 'queued' THEN NULL
  WHEN t.state <> 'active' THEN 'tenant'
  WHEN j.parked THEN 'session'
  WHEN j.run_at > now() THEN CASE WHEN j.started_at IS NULL THEN 'time' ELSE 'retry' END
  WHEN count_in_flight(j.tenant_id) >= t.max_running THEN 'tenant_cap'
  WHEN count_in_queue(j.tenant_id, j.queue) >= ({MAX_RUNNING_PER_TENANT} ->> j.queue)::int THEN 'tenant_cap'
  ELSE 'worker' END AS waiting_for
"""

VIEW = f"""
SELECT j.id, j.kind, j.state, j.priority, j.session_id, j.model, j.agent, j.result, j.error, j.run_at, j.deadline_at,
  j.attempt, j.tries, j.max_tries, j.cancel_requested, j.request_id, j.created_at, j.started_at, j.finished_at,
  j.metadata, j.user_id, {WAITING_FOR}
FROM jobs j JOIN tenants t ON t.id = j.tenant_id
"""

RETRY = f"""
UPDATE jobs j SET state = 'queued', tries = 0, run_at = now(), error = NULL, result = NULL, finished_at = NULL,
  cancel_requested = NULL, deadline_at = now() + (j.deadline_at - j.created_at),
  parked = j.session_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM jobs l WHERE l.tenant_id = j.tenant_id AND l.session_id = j.session_id
      AND l.state IN {LIVE_SQL})
WHERE j.tenant_id = %(tenant_id)s AND j.id = %(id)s AND j.state IN ('failed', 'cancelled')
RETURNING j.id
"""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as users see it."""

    id: UUID
    kind: Kind
    state: State
    priority: int
    session_id: UUID | None
    model: str | None
    agent: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    run_at: datetime
    deadline_at: datetime
    attempt: int
    tries: int
    max_tries: int
    cancel_requested: CancelMode | None
    request_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    metadata: dict[str, str] | None
    user_id: UUID | None
    waiting_for: WaitingFor | None


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to follow or end a job."""

    id: UUID
    queue: str
    state: State
    attempt: int
    dispatch_seq: int
    session_id: UUID | None
    kind: Kind
    model: str
    agent: str | None
    inbox: str | None
    created_at: datetime
    cancel_requested: CancelMode | None


STATUS_COLUMNS = """id, queue, state, attempt, dispatch_seq, session_id, kind, model, agent, inbox, created_at,
  cancel_requested"""
STATUS = f"SELECT {STATUS_COLUMNS} FROM jobs"
FIND_STATUSES = f"{STATUS} WHERE tenant_id = %(tenant_id)s AND id = ANY(%(ids)s::uuid[])"

VisibleJob = tuple[UUID, UUID | None, UUID]
"""A job as somebody asks for it: its tenant, the user whose jobs the caller may see if not all, and its id."""


class JobAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a job."""

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: dict[str, Any] | None


async def find_job(db: Db, tenant_id: UUID, job_id: UUID) -> Job | None:
    """Return one job as users see it, with the reason why it waits (`waiting_for`)."""
    sql = f"{VIEW} WHERE j.tenant_id = %(tenant_id)s AND j.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": job_id}, into=Job)


async def find_job_status(db: Db, tenant_id: UUID, job_id: UUID) -> JobStatus | None:
    """Return what it takes to follow or end a job."""
    sql = f"{STATUS} WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": job_id}, into=JobStatus)


async def find_job_statuses(pool: Pool, wanted: Sequence[VisibleJob]) -> dict[VisibleJob, JobStatus]:
    """Return the jobs among `wanted` that exist and that their callers may see, in one round trip."""
    scopes = defaultdict[tuple[UUID, UUID | None], list[UUID]](list)
    for tenant_id, user_id, job_id in wanted:
        scopes[tenant_id, user_id].append(job_id)
    statements: list[ScopedStatement] = [
        (tenant_id, user_id, (FIND_STATUSES, {"tenant_id": tenant_id, "ids": job_ids}))
        for (tenant_id, user_id), job_ids in scopes.items()
    ]
    results = zip(scopes, await run_each(pool, statements), strict=True)
    return {(*scope, row["id"]): JobStatus(**row) for scope, rows in results for row in rows.dicts()}


async def list_ended(db: Db, tenant_id: UUID, job_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of `job_ids` that have ended, or are gone."""
    sql = """SELECT w.id FROM unnest(%(ids)s::uuid[]) AS w (id)
      LEFT JOIN jobs j ON j.tenant_id = %(tenant_id)s AND j.id = w.id
      WHERE j.id IS NULL OR j.state IN ('succeeded', 'failed', 'cancelled')"""
    return [row["id"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(job_ids)})]


async def find_ended_reservation(db: Db, tenant_id: UUID, job_id: UUID) -> tuple[str, int] | None:
    """Return the model of a failed or cancelled job and the tokens that it reserved; None if it reserved none."""
    sql = """SELECT model, (payload ->> 'reserved')::bigint AS tokens FROM jobs
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND state IN ('failed', 'cancelled') AND payload ? 'reserved'"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "id": job_id})
    return (row["model"], row["tokens"]) if row else None


async def list_missing(db: Db, tenant_id: UUID, job_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of `job_ids` that are no jobs, as far as this transaction sees."""
    sql = """SELECT w.id FROM unnest(%(ids)s::uuid[]) AS w (id)
      LEFT JOIN jobs j ON j.tenant_id = %(tenant_id)s AND j.id = w.id WHERE j.id IS NULL"""
    return [row["id"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id, "ids": list(job_ids)})]


async def request_cancel(db: Db, tenant_id: UUID, job_id: UUID, mode: str) -> int | None:
    """Ask the running attempt to stop; return its number, or None if the job isn't running."""
    sql = """UPDATE jobs SET cancel_requested = %(mode)s
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND state = %(from_state)s RETURNING attempt"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "id": job_id, "mode": mode, "from_state": "running"})
    return None if row is None else row["attempt"]


async def requeue_ended_job(db: Db, tenant_id: UUID, job_id: UUID) -> bool:
    """Queue a failed or cancelled job again with all its tries; False if it is in another state, or not there.

    Its session is locked first, so that it can't become the second live turn.
    """
    lock = """SELECT 1 FROM sessions s JOIN jobs j ON j.tenant_id = s.tenant_id AND j.session_id = s.id
      WHERE j.tenant_id = %(tenant_id)s AND j.id = %(id)s FOR UPDATE OF s"""
    values = {"tenant_id": tenant_id, "id": job_id}
    await db.execute(lock, values)
    await db.execute(
        """DELETE FROM messages m USING jobs j WHERE j.tenant_id = %(tenant_id)s AND j.id = %(id)s
          AND j.state IN ('failed', 'cancelled') AND m.tenant_id = j.tenant_id AND m.session_id = j.session_id
          AND m.turn = j.turn AND m.ordinal > 0""",
        values,
    )
    await db.execute("DELETE FROM job_logs WHERE tenant_id = %(tenant_id)s AND job_id = %(id)s", values)
    return await fetch_one(db, RETRY, values) is not None


async def delete_job(db: Db, tenant_id: UUID, job_id: UUID) -> bool:
    """Delete an ended job with its log and attempts; its messages stay. False if it lives, or isn't there."""
    sql = """DELETE FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(id)s
      AND state IN ('succeeded', 'failed', 'cancelled') RETURNING id"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": job_id}) is not None


async def list_attempts(db: Db, tenant_id: UUID, job_id: UUID) -> list[JobAttempt]:
    """Return a job's attempts in order."""
    sql = """SELECT attempt, worker, started_at, ended_at, outcome, error FROM attempts
      WHERE tenant_id = %(tenant_id)s AND job_id = %(id)s ORDER BY attempt"""
    return await fetch_all(db, sql, {"tenant_id": tenant_id, "id": job_id}, into=JobAttempt)


FIND_LOG = "SELECT frames FROM job_logs WHERE tenant_id = %(tenant_id)s AND job_id = %(id)s"


async def find_log(db: Db, tenant_id: UUID, job_id: UUID) -> bytes | None:
    """Return all frames of an ended job, numbered as they were sent."""
    row = await fetch_one(db, FIND_LOG, {"tenant_id": tenant_id, "id": job_id})
    return None if row is None else zlib.decompress(row["frames"])


async def find_logs(pool: Pool, wanted: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], bytes]:
    """Return the logs of these jobs, by tenant and id, in one round trip; those that have none are missing."""
    statements: list[ScopedStatement] = [
        (tenant_id, None, (FIND_LOG, {"tenant_id": tenant_id, "id": job_id})) for tenant_id, job_id in wanted
    ]
    results = zip(wanted, await run_each(pool, statements), strict=True)
    return {job: zlib.decompress(rows.first()["frames"]) for job, rows in results if rows}


def compress_frames(frames: Sequence[bytes]) -> bytes:
    """Return the frames as they are stored: one deflated blob, a tenth of the size, byte for byte the same after.

    A small window, because most logs are small and preparing a large one costs ten times the work (64 against 5 µs).
    """
    deflater = zlib.compressobj(level=1, wbits=12, memLevel=5)
    return deflater.compress(b"".join(frames)) + deflater.flush()
