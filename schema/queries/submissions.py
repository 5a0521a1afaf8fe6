"""Writing a job's row and what comes with it, as one batch (`schema/batch.py`). Called by `workers/submit.py`.

A job starts as `dispatched`, so that its doorbell can be rung right after the commit, if nothing stands in its way: the
tenant is under its cap, none of its older jobs wait, the queue's window has room, and no other submit of this tenant is
in flight (the tenant's turnstile is an advisory lock; whoever finds it taken leaves the job to the dispatcher). So caps
are exact and no submit ever waits for another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from schema.batch import Statement, run_batch
from schema.db import Db, Pool, fetch_one
from schema.errors import IdempotencyReused, NotFound, QueueFull, SessionBusy, StorageFull, Unavailable
from schema.ids import new_id
from schema.kinds import JobKind
from schema.states import OnBusy
from schema.vault import Sealed

TURNSTILE = 0x48524143  # first half of the advisory locks that guard a tenant's caps


SESSION_BUSY, QUEUE_FULL, NOT_YOURS, STORAGE_FULL, NO_COLLECTION = "HR001", "HR002", "HR003", "HR004", "HR005"
NOTHING_WAITS, NOTE_GONE = "HR007", "HR008"

QUEUE_IS_FULL = "Too many jobs of this tenant are waiting. Send this one again when some have ended."
STORAGE_IS_FULL = "Your tenant's storage is full. Delete documents that are not needed, or have the limit raised."


class KeyTaken(Exception):
    """The idempotency key has made a job already."""


class NothingWaits(Exception):
    """None of the documents that the job was to read again is in a state for that."""


@dataclass(frozen=True)
class NewKey:
    """An idempotency key: unique per route, with the SHA-256 of the body that came with it."""

    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class NewJob:
    """A job to be. `payload` is what its worker needs besides the session's messages, `parts` what the user said in the
    session, `inbox` the channel of the submitting process; `title` makes the session, which is there otherwise.

    A job of a session is its user's, one without a session is `user_id`'s. `sees` confines an existing session to that
    user's; `secret` is the caller's token, sealed for this job. `comes_with` are statements of the same transaction, after
    the job's own: the files of an ingestion (`schema/queries/uploads.py`)."""

    tenant_id: UUID
    id: UUID
    kind: JobKind
    payload: dict[str, Any]
    priority: int
    model: str | None = None
    agent: str | None = None
    session_id: UUID | None = None
    title: str | None = None
    parts: list[dict[str, Any]] | None = None
    on_busy: OnBusy = "queue"
    inbox: str | None = None
    request_id: str | None = None
    deadline_s: float | None = None
    user_id: UUID | None = None
    sees: UUID | None = None
    actor: str | None = None
    address: str | None = None
    secret: Sealed | None = None
    comes_with: tuple[Statement, ...] = ()


ADD_KEY = """
INSERT INTO idempotency_keys (tenant_id, route, key, fingerprint, job_id)
VALUES (%(tenant_id)s, %(route)s, %(key)s, %(fingerprint)s, %(id)s)
"""

ADD_SESSION = """
INSERT INTO sessions (tenant_id, id, title, turns, user_id)
VALUES (%(tenant_id)s, %(session_id)s, %(title)s, 1, %(user_id)s)
"""

# Locks the session until the commit: turns are given one after the other.
TAKE_TURN = """
UPDATE sessions SET turns = turns + 1, updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(session_id)s
"""

LIVE_JOBS = """
SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s
  AND state IN ('queued', 'dispatched', 'running') ORDER BY turn
"""

TRY_TURNSTILE = """
SELECT set_config('headrace.turnstile',
  CASE WHEN pg_try_advisory_xact_lock(%(lock)s, hashtext(%(tenant_id)s::text)) THEN 'mine' ELSE 'taken' END, true)
"""

ADD_JOB = f"""
WITH room AS MATERIALIZED (
  SELECT t.max_running, t.max_queued, s.turns AS turn,
    CASE WHEN %(session_id)s::uuid IS NULL THEN %(user_id)s::uuid ELSE s.user_id END AS user_id,
    %(session_id)s::uuid IS NOT NULL AND (s.id IS NULL OR s.user_id IS DISTINCT FROM %(sees)s::uuid
      AND %(sees)s::uuid IS NOT NULL) AS not_yours,
    %(session_id)s::uuid IS NOT NULL AND EXISTS (
      SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.session_id = %(session_id)s::uuid
        AND j.state IN ('queued', 'dispatched', 'running')) AS parked
  FROM tenants t LEFT JOIN sessions s ON s.tenant_id = t.id AND s.id = %(session_id)s::uuid
  WHERE t.id = %(tenant_id)s),
capped AS MATERIALIZED (
  SELECT room.*, max_running <= (
    SELECT count(*) FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.state IN ('dispatched', 'running'))
    OR CASE WHEN %(at_once)s::int IS NULL THEN false ELSE %(at_once)s::int <= (
      SELECT count(*) FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.queue = %(queue)s
        AND j.state IN ('dispatched', 'running')) END AS capped
  FROM room),
start AS MATERIALIZED (
  SELECT capped.*, NOT parked AND NOT capped
    AND current_setting('headrace.turnstile', true) = 'mine'
    AND (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.queue = %(queue)s AND j.state = 'queued'
      AND NOT j.parked AND j.run_at <= now() ORDER BY j.priority, j.id LIMIT 1) IS NULL
    AND NOT window_is_full(%(queue)s, %(window)s::int) AS now
  FROM capped),
depth AS MATERIALIZED (
  SELECT start.*, CASE WHEN NOT start.now AND NOT %(has_room)s::bool THEN (
    SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.state = 'queued'
      LIMIT start.max_queued) AS waiting) END AS queued
  FROM start)
INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, session_id, turn, model, agent, payload, parked,
  deadline_at, max_tries, dispatch_seq, dispatched_at, inbox, request_id, user_id, actor, address)
SELECT %(tenant_id)s::uuid, %(id)s::uuid, %(kind)s, %(queue)s, CASE WHEN depth.now THEN 'dispatched' ELSE 'queued' END,
  %(priority)s::int, %(session_id)s::uuid, depth.turn, %(model)s, %(agent)s, %(payload)s, depth.parked,
  now() + make_interval(secs => %(deadline_s)s), %(max_tries)s::int,
  depth.now::int, CASE WHEN depth.now THEN now() END, %(inbox)s, %(request_id)s, depth.user_id, %(actor)s, %(address)s
FROM depth
WHERE CASE
  WHEN depth.not_yours THEN refuse('{NOT_YOURS}')
  WHEN depth.now THEN true
  WHEN depth.parked AND %(on_busy)s = 'reject' THEN refuse('{SESSION_BUSY}')
  WHEN depth.queued >= depth.max_queued THEN refuse('{QUEUE_FULL}')
  ELSE true END
RETURNING state, dispatch_seq, parked, created_at, (SELECT capped FROM depth) AS capped,
  (SELECT max_queued - queued FROM depth) AS room
"""

ADD_MESSAGE = """
INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts)
SELECT j.tenant_id, %(message_id)s::uuid, j.session_id, j.id, j.turn, 0, 'user', %(parts)s::jsonb
FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.id = %(id)s
"""

ADD_CALLER = """
INSERT INTO job_secrets (tenant_id, job_id, key_id, sealed)
VALUES (%(tenant_id)s, %(id)s, %(secret_key_id)s, %(secret)s::bytea)
"""


@dataclass(frozen=True)
class Added:
    """An accepted job: its row's state, dispatch_seq, parked and created_at, whether its tenant is at its cap, how many more
    may wait (None when that was not counted); and the live jobs of its session, where `on_busy` asks for them."""

    row: DictRow
    live: list[UUID]


async def add_job(pool: Pool, job: NewJob, *, window: int, key: NewKey | None = None, has_room: bool = False) -> Added:
    """Insert a job, and its session, message and idempotency key, in one round trip. `window` bounds the doorbells that
    wait in a Celery queue; `has_room` spares counting what waits, by one who has just done so.

    Raises KeyTaken, SessionBusy, QueueFull, NotFound (session) and Unavailable; then nothing was inserted.
    """
    values = _values(job, window, key) | {"has_room": has_room}
    steps = [step for step, wanted in _steps(job, key).items() if wanted]
    try:
        statements = [*((sql, values) for sql in steps), *job.comes_with]
        results = dict(zip(steps, await run_batch(pool, job.tenant_id, statements), strict=False))
    except psycopg.Error as error:
        raise _refusal(error) or error from error
    return Added(results[ADD_JOB][0], [row["id"] for row in results.get(LIVE_JOBS, [])])


def _steps(job: NewJob, key: NewKey | None) -> dict[str, bool]:
    """Return the statements in order, and whether this job needs each."""
    in_session = job.session_id is not None
    return {
        ADD_KEY: key is not None,
        ADD_SESSION: in_session and job.title is not None,
        TAKE_TURN: in_session and job.title is None,
        LIVE_JOBS: in_session and job.on_busy in ("interrupt", "rollback"),
        TRY_TURNSTILE: True,
        ADD_JOB: True,
        ADD_MESSAGE: in_session and job.parts is not None,
        ADD_CALLER: job.secret is not None,
    }


def _values(job: NewJob, window: int, key: NewKey | None) -> dict[str, Any]:
    return {
        "tenant_id": job.tenant_id,
        "id": job.id,
        "kind": job.kind.name,
        "queue": job.kind.queue,
        "priority": job.priority,
        "session_id": job.session_id,
        "title": job.title,
        "model": job.model,
        "agent": job.agent,
        "payload": Jsonb(job.payload),
        "parts": Jsonb(job.parts),
        "message_id": new_id(),
        "on_busy": job.on_busy,
        "deadline_s": job.deadline_s or job.kind.deadline_s,
        "max_tries": job.kind.max_tries,
        "inbox": job.inbox,
        "request_id": job.request_id,
        "user_id": job.user_id,
        "sees": job.sees,
        "actor": job.actor,
        "address": job.address,
        "secret_key_id": job.secret and job.secret.key_id,
        "secret": job.secret and job.secret.sealed,
        "window": job.kind.window or window,
        "at_once": job.kind.at_once,
        "lock": TURNSTILE,
        "route": key and key.route,
        "key": key and key.key,
        "fingerprint": key and key.fingerprint,
    }


REFUSALS: dict[str, Callable[[], Exception]] = {
    SESSION_BUSY: lambda: SessionBusy(
        "The session is still answering. Wait for it, or send on_busy as queue, interrupt or rollback.", field="on_busy"
    ),
    QUEUE_FULL: lambda: QueueFull(QUEUE_IS_FULL),
    NOT_YOURS: lambda: NotFound("No such session. Omit session_id to start a new one.", field="session_id"),
    STORAGE_FULL: lambda: StorageFull(STORAGE_IS_FULL),
    NO_COLLECTION: lambda: NotFound("No such collection. GET /api/collections lists them.", field="collection"),
    NOTHING_WAITS: NothingWaits,
    NOTE_GONE: lambda: Unavailable("The upload took too long to be stored; nothing was accepted. Send it again."),
}
"""What `refuse(code)` in a statement means."""


def _refusal(error: psycopg.Error) -> Exception | None:
    """Return what a failed batch means, or None if it isn't a refusal."""
    if error.diag.constraint_name == "idempotency_keys_pkey":
        return KeyTaken()
    if error.diag.constraint_name == "documents_tenant_id_collection_id_fkey":  # deleted a moment ago
        return REFUSALS[NO_COLLECTION]()
    make = REFUSALS.get(error.sqlstate or "")
    return make() if make else None


async def find_keyed_job(db: Db, tenant_id: UUID, key: NewKey) -> UUID | None:
    """Return the job that an idempotency key made, or None. Raises IdempotencyReused if it came with another body."""
    row = await fetch_one(
        db,
        """SELECT fingerprint, job_id FROM idempotency_keys
          WHERE tenant_id = %(tenant_id)s AND route = %(route)s AND key = %(key)s""",
        {"tenant_id": tenant_id, "route": key.route, "key": key.key},
    )
    if row is not None and row["fingerprint"] != key.fingerprint:
        raise IdempotencyReused(
            "This Idempotency-Key came with another body before. Use a new key for a new request.",
            field="Idempotency-Key",
        )
    return row["job_id"] if row else None


async def undispatch_job(db: Db, tenant_id: UUID, job_id: UUID, dispatch_seq: int) -> None:
    """Take back a dispatch whose doorbell could not be rung."""
    sql = """UPDATE jobs SET state = 'queued', dispatched_at = NULL
      WHERE tenant_id = %s AND id = %s AND state = 'dispatched' AND dispatch_seq = %s"""
    await db.execute(sql, (tenant_id, job_id, dispatch_seq))
