"""Claiming a job, keeping its lease, and every way in which an attempt ends. All moves are compare-and-set: an old
attempt that comes back changes nothing, and learns so from an empty answer.

An attempt is known by its number and its worker. The number alone can be given twice, if Postgres forgets a claim in a crash
and the same doorbell is answered again; but one process never holds a number twice (DECISIONS 73).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.events.base import ModelUsage
from schema.identity.budgets import read_budgets
from schema.identity.tenancy import TenantSnapshot, read_tenant_snapshot
from schema.ids import new_id
from schema.job_kinds import OF_BATCH, Kind
from schema.postgres.batch import Rows, run_batch
from schema.postgres.connections import Db, Pool, fetch_one
from schema.queries.agents.agent_config import ProviderCredential
from schema.queries.jobs.jobs import STATUS_COLUMNS, JobStatus
from schema.queries.sessions.sessions import StoredMessage
from schema.queries.statements import read_sql, utc
from schema.states import LIVE_SQL, State
from schema.storable import storable_json

# Where a job is known by its id, its state is compared with a parameter: a literal would let the planner take a partial index
# of all jobs in that state instead of the primary key.

CLAIM = read_sql("claim_job")

HISTORY = """
SELECT turn, role, parts, detail -> 'extra' AS extra, detail ->> 'vendor' AS vendor,
  CASE WHEN role = 'user' AND parts @> '[{"type": "image_url"}]' THEN EXISTS (
    SELECT 1 FROM jobs f WHERE f.tenant_id = m.tenant_id AND f.id = m.job_id AND f.state = 'failed'
      AND f.error ->> 'code' IN ('provider_refused', 'provider_failed')) ELSE false END AS images_refused
FROM messages m
WHERE tenant_id = %(tenant_id)s
  AND session_id = (SELECT session_id FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(id)s)
  AND turn <= (SELECT turn FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(id)s)
ORDER BY turn DESC, ordinal DESC LIMIT %(history)s
"""

RENEW = """
UPDATE jobs j SET lease_until = now() + make_interval(secs => %(lease_s)s)
FROM unnest(%(tenants)s::uuid[], %(ids)s::uuid[], %(attempts)s::int[]) AS held (tenant_id, id, attempt)
WHERE j.tenant_id = held.tenant_id AND j.id = held.id AND j.state = %(from_state)s AND j.attempt = held.attempt
  AND j.lease_owner = %(worker)s
RETURNING j.id, j.cancel_requested
"""

CLEAR = """
UPDATE jobs SET suspect = false
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = %(from_state)s
  AND lease_owner = %(worker)s AND suspect
"""

# As `thread_name` in schema/thread_id.py spells it. What a graph remembers between its steps is needed by its own job only.
THREAD = """'tenant_' || ended.tenant_id || '__user_' || coalesce(ended.user_id::text, 'none') || '__session_' ||
    coalesce(ended.session_id, ended.id)"""

FINISH = read_sql(
    "finish_job",
    THREAD=THREAD,
    OF_BATCH=OF_BATCH,
    CREATED=utc("ended.created_at"),
    STARTED=utc("ended.started_at"),
    FINISHED=utc("ended.finished_at"),
)

RESERVE_ENDING = f"""
UPDATE jobs SET dispatch_seq = dispatch_seq + 1
WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = ANY(%(from_states)s)
RETURNING {STATUS_COLUMNS}
"""

LOCK_SESSION = "UPDATE sessions SET updated_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(session_id)s"

FORGET = """
DELETE FROM messages m USING jobs j WHERE j.tenant_id = %(tenant_id)s AND j.id = %(id)s AND j.state = 'cancelled'
  AND m.tenant_id = j.tenant_id AND m.session_id = j.session_id AND m.turn = j.turn
"""

UNPARK = f"""
UPDATE jobs SET parked = false WHERE tenant_id = %(tenant_id)s AND id = (
  SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND session_id = %(session_id)s AND state = 'queued' AND parked
    AND NOT EXISTS (SELECT 1 FROM jobs l WHERE l.tenant_id = %(tenant_id)s AND l.session_id = %(session_id)s
      AND NOT l.parked AND l.state IN {LIVE_SQL})
  ORDER BY turn LIMIT 1)
RETURNING id
"""

# A higher dispatch_seq than the attempt's belongs to someone who is ending the job (`workers/queue/finish/waiting_job.py`).
REQUEUE = """
WITH back AS (
  UPDATE jobs SET state = 'queued', run_at = now() + make_interval(secs => %(delay_s)s), lease_owner = NULL,
    lease_until = NULL, dispatched_at = NULL, error = %(error)s, tries = tries - %(refund)s
  WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND attempt = %(attempt)s AND state = %(from_state)s
    AND lease_owner = %(worker)s AND dispatch_seq = attempt
  RETURNING id)
UPDATE attempts SET ended_at = now(), outcome = %(outcome)s, error = %(error)s
WHERE tenant_id = %(tenant_id)s AND job_id = %(id)s AND attempt = %(attempt)s AND EXISTS (SELECT 1 FROM back)
RETURNING job_id
"""


class ClaimedJob(msgspec.Struct, frozen=True):
    """A job as its attempt runs it. `lease_owner` is the worker's name; `is_first`: no earlier claim is known. `left_s` is the
    time up to its deadline, `waited_s` that from its submit to its first attempt, `credential` the tenant's own for the
    model's provider. A `suspect` is cleared when it has run for `probation_s`. `models_version` is that of the rows of models.
    `tenant` is read for jobs that run within limits, and without its grants."""

    id: UUID
    tenant_id: UUID
    kind: Kind
    queue: str
    session_id: UUID | None
    turn: int | None
    model: str
    agent: str | None
    payload: dict[str, Any]
    attempt: int
    lease_owner: str
    is_first: bool
    tries: int
    max_tries: int
    inbox: str | None
    request_id: str | None
    traceparent: str | None
    error: dict[str, Any] | None
    created_at: datetime
    left_s: float
    waited_s: float
    user_id: UUID | None
    suspect: bool
    probation_s: float | None
    models_version: str
    credential: ProviderCredential | None
    tenant: TenantSnapshot | None

    @property
    def is_own_key_in_budget(self) -> bool:
        """Whether there is a budget of money, of which nothing was reserved because the tenant calls the model with its own
        key."""
        holders = [self.tenant, *read_budgets(self.payload.get("budgets"))] if self.credential is not None else []
        return any(one is not None and one.has_money for one in holders)


CLAIMED = (
    *ClaimedJob.__struct_fields__[:-2],
    *("credential_id", "service", "base_url", "key_id", "sealed", "tenant"),
)


class Charge(msgspec.Struct, frozen=True):
    """What was used of one model, and its cost in nano-USD."""

    used: ModelUsage
    cost_nanos: int


@dataclass(frozen=True)
class Ending:
    """How a job ends: its last state, what is stored of it, and the deflated log of all its frames.

    `parts` None stores no answer. `usage` is what was used in all, {input_tokens, output_tokens, …}, and `used` what was used
    of each model with its cost, which is charged with the end, in the same transaction. `forget`
    removes what the user said too (`on_busy=rollback`). `agent` is who answered where a router chose; `detail` is what the
    message says besides its parts (renderer, citations, whether it was kept from before). `drop_messages` removes the
    conversation that the job was sent with. `first_token_s` is when its last attempt began to answer.
    """

    state: State
    last_seq: int
    frames: bytes
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    message_id: UUID | None = None
    parts: list[dict[str, Any]] | None = None
    message_status: str = "completed"
    usage: dict[str, Any] | None = None
    used: tuple[Charge, ...] = ()
    forget: bool = False
    agent: str | None = None
    detail: dict[str, Any] | None = None
    drop_messages: bool = False
    first_token_s: float | None = None


@dataclass(frozen=True)
class Ended:
    """What follows from an ending: `more` jobs of the tenant wait, or the next turn of the session was let go; what the job
    cost, in nano-USD; the tokens of those calls of it that were booked before (a benchmark's); and how many `deliveries` of
    webhooks it wrote."""

    more: bool
    next_turn: bool
    cost_nanos: int = 0
    booked_tokens: int = 0
    deliveries: int = 0


async def claim_job(
    pool: Pool, tenant_id: UUID, job_id: UUID, dispatch_seq: int, *, worker: str, lease_s: float, history: int
) -> tuple[ClaimedJob, list[StoredMessage]] | None:
    """Make a dispatched job this worker's; return it with the last `history` messages of its session, oldest first.

    None means that the doorbell was a duplicate or came too late. The claim is committed, but perhaps not on disk.
    """
    values = {"tenant_id": tenant_id, "id": job_id, "dispatch_seq": dispatch_seq, "worker": worker}
    values |= {"lease_s": lease_s, "history": history, "from_state": "dispatched"}
    claimed, messages = await run_batch(pool, tenant_id, [(CLAIM, values), (HISTORY, values)], async_commit=True)
    if not claimed:
        return None
    return _claimed_job(claimed), messages.into(StoredMessage)[::-1]


def _claimed_job(claimed: Rows) -> ClaimedJob:
    """Read the one row that was claimed: a few hundred a second, so by place and not by name."""
    (row,) = claimed.pick(CLAIMED)
    *job, credential_id, service, base_url, key_id, sealed, tenant = row
    credential = ProviderCredential(credential_id, service, base_url, key_id, sealed) if credential_id else None
    return ClaimedJob(
        *job,
        credential=credential,
        tenant=None if tenant is None else read_tenant_snapshot(tenant),
    )


async def finish_job(
    pool: Pool,
    tenant_id: UUID,
    job_id: UUID,
    attempt: int,
    ending: Ending,
    *,
    session_id: UUID | None,
    worker: str | None = None,
    dispatch_seq: int | None = None,
    from_states: tuple[State, ...] = ("running",),
) -> Ended | None:
    """End a job in one transaction with all that comes of it, if `attempt` of this `worker` still holds it; None if it doesn't.

    Without a worker, `attempt` is the last one, and nobody may have taken another number than `dispatch_seq`
    (`reserve_ending`). `session_id` is the job's own, if it has one: it is locked first, as a submit does, so that the next
    turn can't slip in between.
    """
    values = _finish_values(tenant_id, job_id, attempt, ending, from_states) | {"session_id": session_id}
    values |= {"worker": worker, "dispatch_seq": dispatch_seq}
    steps = [FINISH]
    if session_id is not None:
        steps = [LOCK_SESSION, FINISH, *([FORGET] if ending.forget else []), UNPARK]
    rows = dict(zip(steps, await run_batch(pool, tenant_id, [(sql, values) for sql in steps]), strict=True))
    if not rows[FINISH]:
        return None
    ((more, cost_nanos, booked, deliveries),) = rows[FINISH].pick(("more", "cost_nanos", "booked_tokens", "deliveries"))
    return Ended(
        more=more,
        next_turn=bool(rows.get(UNPARK)),
        cost_nanos=cost_nanos,
        booked_tokens=booked,
        deliveries=deliveries,
    )


def _finish_values(
    tenant_id: UUID, job_id: UUID, attempt: int, ending: Ending, from_states: tuple[State, ...]
) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": job_id,
        "attempt": attempt,
        "state": ending.state,
        "from_states": list(from_states),
        "result": _json(ending.result),
        "error": _json(ending.error),
        "last_seq": ending.last_seq,
        "frames": ending.frames,
        "message_id": ending.message_id,
        "parts": _json(ending.parts),
        "message_status": ending.message_status,
        "agent": ending.agent,
        "detail": _json(ending.detail),
        "drop_messages": ending.drop_messages,
        "first_token_s": ending.first_token_s,
        "usage": _json(ending.usage),
        "used": _json([_usage_row(charge, is_first=place == 0) for place, charge in enumerate(ending.used)]),
        "audit_id": new_id(),
    }


def _usage_row(charge: Charge, *, is_first: bool) -> dict[str, Any]:
    """Return what was used of a model; the job is counted with the first, which is the one that answered."""
    row = {"id": str(new_id()), "jobs": int(is_first), "cost_nanos": charge.cost_nanos}
    return row | msgspec.structs.asdict(charge.used)


def _json(value: Any) -> Jsonb | None:
    return None if value is None else storable_json(value)


async def reserve_ending(
    db: Db, tenant_id: UUID, job_id: UUID, attempt: int, from_states: tuple[State, ...]
) -> JobStatus | None:
    """Take a job's next number, so that nobody can claim it by a doorbell that was rung before, and return the job; None if it
    is in another state, or `attempt` is not its last."""
    values = {"tenant_id": tenant_id, "id": job_id, "attempt": attempt, "from_states": list(from_states)}
    return await fetch_one(db, RESERVE_ENDING, values, into=JobStatus)


async def requeue_job(
    db: Db,
    tenant_id: UUID,
    job_id: UUID,
    attempt: int,
    *,
    worker: str,
    outcome: str,
    delay_s: float = 0.0,
    error: dict[str, Any] | None = None,
    refund: bool = False,
) -> bool:
    """Give a running job back to the queue, to be tried again after `delay_s`; `refund` spends no try (a hand-back).
    False if `attempt` of this worker no longer holds it."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": job_id, "attempt": attempt, "outcome": outcome}
    values |= {"delay_s": delay_s, "worker": worker, "from_state": "running"}
    row = await fetch_one(db, REQUEUE, {**values, "error": _json(error), "refund": int(refund)})
    return row is not None


async def clear_suspect(db: Db, tenant_id: UUID, job_id: UUID, attempt: int, *, worker: str) -> None:
    """Record that a suspect has run for its probation, if `attempt` of this worker still holds it."""
    values = {"tenant_id": tenant_id, "id": job_id, "attempt": attempt, "worker": worker, "from_state": "running"}
    await db.execute(CLEAR, values)


def renew_values(held: list[tuple[UUID, UUID, int]], lease_s: float, *, worker: str) -> dict[str, Any]:
    """Return the parameters of RENEW; the heartbeat thread runs it on a connection of its own."""
    return {
        "tenants": [tenant_id for tenant_id, _, _ in held],
        "ids": [job_id for _, job_id, _ in held],
        "attempts": [attempt for _, _, attempt in held],
        "lease_s": lease_s,
        "worker": worker,
        "from_state": "running",
    }
