"""Writing a job's row and what comes with it, as one batch (`schema/postgres/batch.py`). Called by `workers/queue/submit.py`.

A job starts as `dispatched`, so that its doorbell can be rung right after the commit, if nothing stands in its way: the
tenant is under its cap, none of its older jobs wait, the queue's window has room, and it gets the tenant's dispatch lock
(an advisory lock; whoever finds it taken leaves the job to the dispatcher). So caps are exact and no submit ever waits for
another. A tenant with a large cap has a lock for several submits at a time: as many as there are slots, and each starts its
job only if the cap has room for a job in every slot, since it can't see those that are not committed yet.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import asdict
from psycopg.types.json import Jsonb

from schema.errors import BatchesFull, IdempotencyReused, NotFound, QueueFull, SessionBusy, StorageFull, Unavailable
from schema.ids import new_id
from schema.job_kinds import UNCOUNTED, JobKind
from schema.postgres.batch import Statement, run_batch
from schema.postgres.connections import Db, Pool, fetch_one
from schema.queries.statements import read_sql
from schema.states import IN_FLIGHT_SQL, LIVE_SQL, PRIORITIES, OnBusy, Priority, State, as_sql
from schema.vault import Sealed
from schema.webhooks import Include

# First half of the advisory locks that guard a tenant's caps. Versions that run side by side must agree on it.
DISPATCH_LOCK = 0x48524143
SLOT_LOCK = 0x48535400
"""The first of the locks of which a submit holds one, beside a share of the tenant's lock."""
DISPATCH_SLOTS, SLOTTED_CAP = 16, 64
"""How many submits of a tenant may dispatch at the same time, if its cap is at least `SLOTTED_CAP`."""

SESSION_BUSY, QUEUE_FULL, NOT_YOURS, STORAGE_FULL, NO_COLLECTION = "HR001", "HR002", "HR003", "HR004", "HR005"
NOTHING_TO_RETRY, REMOVAL_STARTED, SCHEDULE_MOVED, JOB_LOST = "HR007", "HR008", "HR011", "HR012"
CONVERSATION_BUSY, BATCHES_FULL = "HR013", "HR014"

MAX_LIVE_BATCHES = 10
"""Batches of a tenant that have not ended: each takes a slot of a worker, although it only waits."""

QUEUE_IS_FULL = "Too many jobs of this tenant are waiting. Retry when some have finished."
STORAGE_IS_FULL = "Your tenant's storage is full. Delete documents, or ask an admin to raise the limit."


class KeyTaken(Exception):
    """The idempotency key has made a job already."""


class NothingToRetry(Exception):
    """None of the documents that the job was to read again is in a state for that."""


class ScheduleMoved(Exception):
    """A due time has its job already, or its schedule was changed meanwhile."""


class JobLost(Exception):
    """The attempt no longer holds its job."""


class Idempotency(msgspec.Struct, frozen=True):
    """An idempotency key: unique per route, with the SHA-256 of the body that came with it."""

    route: str
    key: str
    fingerprint: str


class Submitter(msgspec.Struct, frozen=True):
    """Who submits a job: `actor` as the audit log names it, the person it is for, whose sessions it may go on with
    (`visible_user_id`; None: everybody's), from where, and the token for the job's tools, sealed for this job."""

    actor: str = "system"
    user_id: UUID | None = None
    visible_user_id: UUID | None = None
    address: str | None = None
    secret: Sealed | None = None


class Callback(msgspec.Struct, frozen=True):
    """An address that is told of a job's end: of which `events` (or wildcards), and what the message should `include`."""

    url: str
    events: tuple[str, ...] = ("job.*",)
    include: tuple[Include, ...] = ()


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be submitted. The statements below take their parameters from its fields, by name.

    `job_id` is the caller's, so that it can follow the job before it exists. `payload` is what the worker needs besides the
    session's messages. `parts` is what the user said, or with the `role` tool what the client's tools returned; it is stored
    as a message, so it needs a session: an existing one (`session_id`) or a `new_session`, which may bring its id. A job of a
    session belongs to the session's user, any other to the submitter's. `extra_statements` run in the same transaction, after
    the job's own: the files of an ingestion, for example (`schema/queries/documents/uploads.py`). Before `run_at` it waits.
    `callback` is who is told of its end, `metadata` are pairs of the submitter's own. `inbox`, the channel of the submitting
    process, and `traceparent`, the span of the submit, are set by `workers/queue/submit.py`.
    """

    tenant_id: UUID
    job_id: UUID
    kind: JobKind
    payload: dict[str, Any]
    model: str
    agent: str | None = None
    parts: list[dict[str, Any]] | None = None
    role: Literal["user", "tool"] = "user"
    session_id: UUID | None = None
    new_session: bool = False
    title: str = ""
    on_busy: OnBusy = "queue"
    priority: Priority = "normal"
    idempotency: Idempotency | None = None
    request_id: str | None = None
    deadline_s: float | None = None
    run_at: datetime | None = None
    inbox: str | None = None
    traceparent: str | None = None
    callback: Callback | None = None
    metadata: dict[str, str] | None = None
    submitted_by: Submitter = Submitter()
    extra_statements: tuple[Statement, ...] = ()


class Added(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an accepted job: its row's state, and why it waits, if it does (`parked` behind a turn of its session,
    `capped` by its tenant's limit). `room` is how many more may wait, None when that was not counted; `live` are the jobs
    of its session, where `on_busy` asks for them."""

    state: State
    dispatch_seq: int
    created_at: datetime
    parked: bool
    capped: bool | None
    room: int | None
    live: list[UUID]


ADD_KEY = """
INSERT INTO idempotency_keys (tenant_id, route, key, fingerprint, job_id)
VALUES (%(tenant_id)s, %(route)s, %(key)s, %(fingerprint)s, %(job_id)s)
"""

ADD_SESSION = """
INSERT INTO sessions (tenant_id, id, title, turns, user_id)
VALUES (%(tenant_id)s, %(session_id)s, %(title)s, 1, %(user_id)s)
"""

# Locks the session until the commit: turns are given one after the other.
TAKE_TURN = """
UPDATE sessions SET turns = turns + 1, updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(session_id)s
"""

LIVE_JOBS = f"""
SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s
  AND state IN {LIVE_SQL} ORDER BY turn
"""

TRY_DISPATCH_LOCK = f"""
SELECT set_config('headrace.dispatch_lock', CASE
  WHEN t.max_running < {SLOTTED_CAP} OR %(max_running_per_tenant)s::int IS NOT NULL THEN
    CASE WHEN pg_try_advisory_xact_lock(%(lock)s, hashtext(%(tenant_id)s::text)) THEN 'all' ELSE 'none' END
  WHEN pg_try_advisory_xact_lock_shared(%(lock)s, hashtext(%(tenant_id)s::text)) AND EXISTS (
    SELECT 1 FROM generate_series(0, {DISPATCH_SLOTS - 1}) AS n
    WHERE pg_try_advisory_xact_lock(%(slot_lock)s + mod(%(slot)s + n, {DISPATCH_SLOTS}), hashtext(%(tenant_id)s::text)))
  THEN 'one' ELSE 'none' END, true)
FROM tenants t WHERE t.id = %(tenant_id)s::uuid
"""

ADD_JOB = read_sql(
    "add_job",
    IN_FLIGHT_SQL=IN_FLIGHT_SQL,
    LIVE_SQL=LIVE_SQL,
    UNCOUNTED_SQL=as_sql(UNCOUNTED),
    DISPATCH_SLOTS=str(DISPATCH_SLOTS),
    NOT_YOURS=NOT_YOURS,
    QUEUE_FULL=QUEUE_FULL,
    SESSION_BUSY=SESSION_BUSY,
)

ADD_MESSAGE = """
INSERT INTO messages (tenant_id, id, session_id, job_id, turn, ordinal, role, parts)
SELECT j.tenant_id, %(message_id)s::uuid, j.session_id, j.id, j.turn, 0, %(role)s, %(parts)s::jsonb
FROM jobs j WHERE j.tenant_id = %(tenant_id)s AND j.id = %(job_id)s
"""

ADD_CALLER = """
INSERT INTO job_secrets (tenant_id, job_id, key_id, sealed)
VALUES (%(tenant_id)s, %(job_id)s, %(secret_key_id)s, %(secret)s::bytea)
"""


async def add_job(pool: Pool, job: Submission, *, window: int, has_room: bool = False) -> Added:
    """Insert a job, and its session, message and idempotency key, in one round trip. `window` bounds the doorbells that
    wait in a Celery queue; `has_room` spares counting what waits, by one who has just done so.

    Raises KeyTaken, SessionBusy, QueueFull, NotFound (session) and Unavailable; then nothing was inserted.
    """
    values = _values(job, window=window, has_room=has_room)
    steps = [step for step, wanted in _steps(job).items() if wanted]
    try:
        statements = [*((sql, values) for sql in steps), *job.extra_statements]
        results = dict(zip(steps, await run_batch(pool, job.tenant_id, statements), strict=False))
    except psycopg.Error as error:
        raise read_refusal(error) or error from error
    live = [job_id for (job_id,) in results[LIVE_JOBS].values] if LIVE_JOBS in results else []
    return Added(**results[ADD_JOB].first(), live=live)


def _steps(job: Submission) -> dict[str, bool]:
    """Return the statements in order, and whether this job needs each."""
    in_session = job.session_id is not None
    return {
        ADD_KEY: job.idempotency is not None,
        ADD_SESSION: in_session and job.new_session,
        TAKE_TURN: in_session and not job.new_session,
        LIVE_JOBS: in_session and job.on_busy in ("interrupt", "rollback"),
        TRY_DISPATCH_LOCK: True,
        ADD_JOB: True,
        ADD_MESSAGE: in_session and job.parts is not None,
        ADD_CALLER: job.submitted_by.secret is not None,
    }


def _values(job: Submission, *, window: int, has_room: bool) -> dict[str, Any]:
    """Return the parameters of all statements: the submission's fields, and what follows from them."""
    kind, secret = job.kind, job.submitted_by.secret
    values = asdict(job) | asdict(job.submitted_by) | (asdict(job.idempotency) if job.idempotency else {})
    return values | {
        "kind": kind.name,
        "queue": kind.queue,
        "priority": PRIORITIES[job.priority],
        "payload": _json(job.payload),
        "parts": _json(job.parts),
        "metadata": job.metadata and _json(job.metadata),
        "callback": None if job.callback is None else _json(job.callback),
        "deadline_s": job.deadline_s or kind.deadline_s,
        "max_tries": kind.max_tries,
        "max_running_per_tenant": kind.max_running_per_tenant,
        "window": kind.window or window,
        "has_room": has_room,
        "message_id": new_id(),
        "secret": secret and secret.sealed,
        "secret_key_id": secret and secret.key_id,
        "lock": DISPATCH_LOCK,
        "slot_lock": SLOT_LOCK,
        "slot": job.job_id.int % DISPATCH_SLOTS,  # where the search for a free one begins
    }


def _json(value: Any) -> Jsonb:
    return Jsonb(value, dumps=msgspec.json.encode)


REFUSALS: dict[str, Callable[[], Exception]] = {
    SESSION_BUSY: lambda: SessionBusy(
        "The session has a job that has not finished. Wait for it, or set on_busy to queue, interrupt or rollback.",
        field="on_busy",
    ),
    CONVERSATION_BUSY: lambda: SessionBusy(
        "The conversation has a response that has not ended, or was changed a moment ago. Wait for its end, and send it again.",
        field="conversation",
    ),
    QUEUE_FULL: lambda: QueueFull(QUEUE_IS_FULL),
    BATCHES_FULL: lambda: BatchesFull(
        f"Your tenant has {MAX_LIVE_BATCHES} batches under way, as many as it may have. Wait for the end of one, or cancel one."
    ),
    NOT_YOURS: lambda: NotFound("No such session. Omit session_id to start a new one.", field="session_id"),
    STORAGE_FULL: lambda: StorageFull(STORAGE_IS_FULL),
    NO_COLLECTION: lambda: NotFound("No such collection. GET /api/collections lists them.", field="collection"),
    NOTHING_TO_RETRY: NothingToRetry,
    SCHEDULE_MOVED: ScheduleMoved,
    JOB_LOST: JobLost,
    REMOVAL_STARTED: lambda: Unavailable("The upload took too long to store. Nothing was accepted; send it again."),
}
"""What `refuse(code)` in a statement means."""


def read_refusal(error: psycopg.Error) -> Exception | None:
    """Return what a failed batch means, or None if it isn't a refusal."""
    if error.diag.constraint_name == "idempotency_keys_pkey":
        return KeyTaken()
    if error.diag.constraint_name == "schedule_runs_pkey":
        return ScheduleMoved()
    if error.diag.constraint_name == "documents_tenant_id_collection_id_fkey":  # deleted a moment ago
        return REFUSALS[NO_COLLECTION]()
    make = REFUSALS.get(error.sqlstate or "")
    return make() if make else None


async def find_keyed_job(db: Db, tenant_id: UUID, key: Idempotency) -> UUID | None:
    """Return the job that an idempotency key made, or None. Raises IdempotencyReused if it came with another body."""
    row = await fetch_one(
        db,
        """SELECT fingerprint, job_id FROM idempotency_keys
          WHERE tenant_id = %(tenant_id)s AND route = %(route)s AND key = %(key)s""",
        {"tenant_id": tenant_id, "route": key.route, "key": key.key},
    )
    if row is not None and row["fingerprint"] != key.fingerprint:
        raise IdempotencyReused(
            "This Idempotency-Key was used with a different body. Use a new key for a new request.",
            field="Idempotency-Key",
        )
    return row["job_id"] if row else None


async def undispatch_job(db: Db, tenant_id: UUID, job_id: UUID, dispatch_seq: int) -> None:
    """Take back a dispatch whose doorbell could not be rung, and its number (`UNDISPATCH` says why)."""
    sql = """UPDATE jobs SET state = 'queued', dispatched_at = NULL, dispatch_seq = dispatch_seq - 1
      WHERE tenant_id = %s AND id = %s AND state = 'dispatched' AND dispatch_seq = %s"""
    await db.execute(sql, (tenant_id, job_id, dispatch_seq))
