"""Batches: submitting, working through them, ending them, reading them. A batch's id is its job's.

Its lines are rows from when the file was found valid until the results are files; then they go, and the batch keeps the counts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import BATCHES_FULL, JOB_LOST, MAX_LIVE_BATCHES
from schema.queries.pages import LAST_ID
from schema.states import LIVE_SQL, CancelMode, State
from schema.storable import storable_json

BatchOutcome = Literal["completed", "failed", "expired", "cancelled"]

ADD = """
INSERT INTO batches (tenant_id, id, user_id, created_by, rights, input_file_id, endpoint, output_ttl_s, total)
SELECT tenant_id, id, user_id, actor, %(rights)s::jsonb, %(input_file_id)s::uuid, %(endpoint)s, %(output_ttl_s)s::int,
  %(total)s::int
FROM jobs WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

CHECK_LIVE = f"""
SELECT CASE WHEN count(*) > {MAX_LIVE_BATCHES} THEN refuse('{BATCHES_FULL}') END FROM jobs
WHERE tenant_id = %(tenant_id)s AND kind = 'batch' AND state IN {LIVE_SQL}
"""

VIEW = """
SELECT b.id, b.user_id, b.input_file_id, b.endpoint, b.output_ttl_s, b.total, b.usage, b.errors, b.outcome, b.started_at,
  b.cancelling_at, b.finalizing_at, b.ended_at, b.output_file_id, b.error_file_id, j.metadata, j.state, j.error,
  j.cancel_requested, j.created_at, j.deadline_at, b.uncalled, coalesce(b.completed, counted.completed) AS completed,
  coalesce(b.failed, counted.failed) AS failed
FROM batches b JOIN jobs j ON j.tenant_id = b.tenant_id AND j.id = b.id CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE status_code = 200) AS completed, count(*) FILTER (WHERE status_code <> 200) AS failed
  FROM batch_lines l WHERE l.tenant_id = b.tenant_id AND l.batch_id = b.id) AS counted
"""

# A batch's share of what its tenant may run at once is half, so that its chats find a slot; all its batches share that.
OPEN = """
SELECT place, coalesce(greatest(held_until, try_at) > now(), false) AS held FROM batch_lines
WHERE tenant_id = %(tenant_id)s AND batch_id = %(id)s AND status_code IS NULL ORDER BY place
LIMIT (SELECT greatest(1, least(%(most)s::int, t.max_running / 2) / greatest(1, (SELECT count(*) FROM jobs
    WHERE tenant_id = %(tenant_id)s AND kind = 'batch' AND state = 'running')::int))
  FROM tenants t WHERE t.id = %(tenant_id)s)
"""

HOLD = f"""
UPDATE batch_lines l SET held_until = now() + make_interval(secs => %(hold_s)s)
FROM batches b JOIN jobs j ON j.tenant_id = b.tenant_id AND j.id = b.id
WHERE l.tenant_id = %(tenant_id)s AND l.batch_id = %(batch_id)s AND l.place = %(place)s AND l.status_code IS NULL
  AND coalesce(greatest(l.held_until, l.try_at) <= now(), true) AND b.tenant_id = l.tenant_id AND b.id = l.batch_id
  AND b.ended_at IS NULL AND j.state IN {LIVE_SQL}
RETURNING l.body, b.endpoint, b.user_id, b.created_by, b.rights
"""

RENEW = f"""
UPDATE batch_lines l SET held_until = now() + make_interval(secs => %(hold_s)s)
WHERE l.tenant_id = %(tenant_id)s AND l.batch_id = %(batch_id)s AND l.place = %(place)s AND l.status_code IS NULL AND EXISTS (
  SELECT 1 FROM jobs j WHERE j.tenant_id = l.tenant_id AND j.id = l.batch_id AND j.state IN {LIVE_SQL})
RETURNING l.place
"""

ADD_ANSWER = """
UPDATE batch_lines SET status_code = %(status_code)s, request_id = %(request_id)s, answer = %(answer)s, body = '',
  held_until = NULL
WHERE tenant_id = %(tenant_id)s AND batch_id = %(batch_id)s AND place = %(place)s AND status_code IS NULL
"""

# The lock makes two that end a batch at once take turns; the second is refused.
END = f"""
SELECT CASE WHEN ended_at IS NOT NULL THEN refuse('{JOB_LOST}') END FROM batches
WHERE tenant_id = %(tenant_id)s AND id = %(id)s FOR UPDATE
"""

SET_ENDED = """
UPDATE batches SET outcome = %(outcome)s, ended_at = now(), finalizing_at = coalesce(finalizing_at, now()),
  completed = %(completed)s, failed = %(failed)s, uncalled = %(uncalled)s, usage = %(usage)s::jsonb,
  output_file_id = %(output_file_id)s::uuid, error_file_id = %(error_file_id)s::uuid,
  errors = coalesce(%(errors)s::jsonb, errors)
WHERE tenant_id = %(tenant_id)s AND id = %(id)s
"""

DROP_LINES = "DELETE FROM batch_lines WHERE tenant_id = %(tenant_id)s AND batch_id = %(id)s"

UNFINISHED = """
SELECT b.tenant_id, b.id FROM batches b JOIN jobs j ON j.tenant_id = b.tenant_id AND j.id = b.id
WHERE b.ended_at IS NULL AND j.state = ANY (%(states)s) ORDER BY b.id LIMIT 100
"""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, with the state of its job."""

    id: UUID
    user_id: UUID | None
    input_file_id: UUID
    endpoint: str
    output_ttl_s: int | None
    total: int | None
    completed: int
    failed: int
    uncalled: int | None
    usage: dict[str, Any] | None
    errors: list[dict[str, Any]] | None
    outcome: BatchOutcome | None
    started_at: datetime | None
    cancelling_at: datetime | None
    finalizing_at: datetime | None
    ended_at: datetime | None
    output_file_id: UUID | None
    error_file_id: UUID | None
    metadata: dict[str, str] | None
    state: State
    error: dict[str, Any] | None
    cancel_requested: CancelMode | None
    created_at: datetime
    deadline_at: datetime


class NewLine(msgspec.Struct, frozen=True):
    """A line of a valid file: its number from 1, and its body as it was sent."""

    place: int
    custom_id: str
    body: str


class OpenLine(msgspec.Struct, frozen=True):
    """A line without an answer; `held` if it is worked on, or has to wait."""

    place: int
    held: bool


class HeldLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that this process works on, and in whose name."""

    body: str
    endpoint: str
    user_id: UUID | None
    created_by: str
    rights: list[str]


class EndedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the results say it; without a `status_code` it was not called."""

    place: int
    custom_id: str
    status_code: int | None
    request_id: str | None
    answer: str | None


class LineName(msgspec.Struct, frozen=True):
    """Which line of which batch."""

    tenant_id: UUID
    batch_id: UUID
    place: int


class UnfinishedBatch(msgspec.Struct, frozen=True):
    """A batch whose job has ended without it."""

    tenant_id: UUID
    id: UUID


def add_batch(
    tenant_id: UUID,
    job_id: UUID,
    *,
    rights: Sequence[str],
    input_file_id: UUID,
    endpoint: str,
    output_ttl_s: int | None,
    total: int | None = None,
) -> tuple[Statement, Statement]:
    """Return the statements that store a batch, for the transaction of its job. They refuse, with BATCHES_FULL, if too
    many have not ended."""
    values = {"tenant_id": tenant_id, "id": job_id, "input_file_id": input_file_id, "endpoint": endpoint}
    return (ADD, {**values, "rights": Jsonb(list(rights)), "output_ttl_s": output_ttl_s, "total": total}), (
        CHECK_LIVE,
        values,
    )


async def find_batch(db: Db, tenant_id: UUID, batch_id: UUID) -> Batch | None:
    """Return one batch."""
    sql = f"{VIEW} WHERE b.tenant_id = %(tenant_id)s AND b.id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": batch_id}, into=Batch)


async def list_batches(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    after: UUID | None = None,
    endpoint: str | None = None,
) -> list[Batch]:
    """Return batches, newest first: the newest `before` one, or the next `after` one; those of an endpoint, or all."""
    sql = f"""{VIEW} WHERE b.tenant_id = %(tenant_id)s AND b.id < %(before)s
      AND (%(after)s::uuid IS NULL OR b.id > %(after)s) AND (%(endpoint)s::text IS NULL OR b.endpoint = %(endpoint)s)
      ORDER BY b.id {"DESC" if after is None else "ASC"} LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "before": before or LAST_ID, "after": after, "endpoint": endpoint, "limit": limit}
    rows = await fetch_all(db, sql, values, into=Batch)
    return rows if after is None else rows[::-1]


async def add_lines(db: Db, tenant_id: UUID, batch_id: UUID, lines: Sequence[NewLine]) -> None:
    """Store lines; those that are there already stay as they are."""
    sql = """INSERT INTO batch_lines (tenant_id, batch_id, place, custom_id, body)
      SELECT %(tenant_id)s, %(id)s, * FROM unnest(%(places)s::int[], %(custom_ids)s::text[], %(bodies)s::text[])
      ON CONFLICT DO NOTHING"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": batch_id, "places": [line.place for line in lines]}
    values |= {"custom_ids": [line.custom_id for line in lines], "bodies": [line.body for line in lines]}
    await db.execute(sql, values)


async def start_batch(db: Db, tenant_id: UUID, batch_id: UUID, total: int) -> None:
    """Note that the file is valid, and all its lines are stored."""
    sql = "UPDATE batches SET total = %(total)s, started_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    await db.execute(sql, {"tenant_id": tenant_id, "id": batch_id, "total": total})


async def reject_batch(db: Db, tenant_id: UUID, batch_id: UUID, errors: Sequence[dict[str, Any]]) -> None:
    """End a batch whose file is not valid."""
    sql = """UPDATE batches SET outcome = 'failed', ended_at = now(), errors = %(errors)s::jsonb, completed = 0, failed = 0
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND ended_at IS NULL"""
    await db.execute(sql, {"tenant_id": tenant_id, "id": batch_id, "errors": storable_json(list(errors))})


async def reopen_batch(db: Db, tenant_id: UUID, batch_id: UUID) -> bool:
    """Let a batch go on whose results could not be kept, when its job is driven again; False if its lines are gone."""
    sql = """UPDATE batches b SET outcome = NULL, ended_at = NULL, errors = NULL, completed = NULL, failed = NULL
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND outcome = 'failed' AND EXISTS (
        SELECT 1 FROM batch_lines l WHERE l.tenant_id = b.tenant_id AND l.batch_id = b.id) RETURNING id"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": batch_id}) is not None


async def mark_cancelling(db: Db, tenant_id: UUID, batch_id: UUID) -> None:
    """Note when somebody cancelled it."""
    sql = """UPDATE batches SET cancelling_at = coalesce(cancelling_at, now())
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND ended_at IS NULL"""
    await db.execute(sql, {"tenant_id": tenant_id, "id": batch_id})


async def mark_finalizing(db: Db, tenant_id: UUID, batch_id: UUID) -> None:
    """Note that every line has its answer, and the results are being written."""
    sql = "UPDATE batches SET finalizing_at = now() WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    await db.execute(sql, {"tenant_id": tenant_id, "id": batch_id})


async def set_total(db: Db, tenant_id: UUID, batch_id: UUID, total: int) -> None:
    """Note how many lines a batch has that ended before it was started."""
    sql = "UPDATE batches SET total = %(total)s WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND ended_at IS NULL"
    await db.execute(sql, {"tenant_id": tenant_id, "id": batch_id, "total": total})


async def list_open_lines(db: Db, tenant_id: UUID, batch_id: UUID, *, most: int) -> list[OpenLine]:
    """Return the first lines without an answer: as many as may be worked on at once, at most `most`."""
    return await fetch_all(db, OPEN, {"tenant_id": tenant_id, "id": batch_id, "most": most}, into=OpenLine)


async def count_open_lines(db: Db, tenant_id: UUID, batch_id: UUID) -> int:
    """Return how many lines have no answer."""
    sql = """SELECT count(*) AS lines FROM batch_lines
      WHERE tenant_id = %(tenant_id)s AND batch_id = %(id)s AND status_code IS NULL"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "id": batch_id})
    return row["lines"] if row else 0


async def is_any_held(db: Db, tenant_id: UUID, batch_id: UUID) -> bool:
    """Whether some line is still worked on."""
    sql = """SELECT 1 AS one FROM batch_lines WHERE tenant_id = %(tenant_id)s AND batch_id = %(id)s AND status_code IS NULL
      AND held_until > now() LIMIT 1"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": batch_id}) is not None


async def hold_line(db: Db, line: LineName, *, hold_s: float) -> HeldLine | None:
    """Make a line this process's for a while; None if it has its answer, is held, or is not wanted any more."""
    return await fetch_one(db, HOLD, msgspec.structs.asdict(line) | {"hold_s": hold_s}, into=HeldLine)


async def renew_line(db: Db, line: LineName, *, hold_s: float) -> bool:
    """Hold a line for longer; False if its batch has ended."""
    return await fetch_one(db, RENEW, msgspec.structs.asdict(line) | {"hold_s": hold_s}) is not None


async def postpone_line(db: Db, line: LineName, *, delay_s: float) -> None:
    """Give a line back, to be tried again after a while."""
    sql = """UPDATE batch_lines SET held_until = NULL, try_at = now() + make_interval(secs => %(delay_s)s)
      WHERE tenant_id = %(tenant_id)s AND batch_id = %(batch_id)s AND place = %(place)s AND status_code IS NULL"""
    await db.execute(sql, msgspec.structs.asdict(line) | {"delay_s": delay_s})


async def add_answer(db: Db, line: LineName, *, status_code: int, request_id: str, answer: str) -> None:
    """Store a line's answer. The first one counts."""
    values = {"status_code": status_code, "request_id": request_id, "answer": answer}
    await db.execute(ADD_ANSWER, msgspec.structs.asdict(line) | values)


async def list_ended_lines(db: Db, tenant_id: UUID, batch_id: UUID, *, after: int, limit: int) -> list[EndedLine]:
    """Return lines in their order, from behind `after`."""
    sql = """SELECT place, custom_id, status_code, request_id, answer FROM batch_lines
      WHERE tenant_id = %(tenant_id)s AND batch_id = %(id)s AND place > %(after)s ORDER BY place LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "id": batch_id, "after": after, "limit": limit}
    return await fetch_all(db, sql, values, into=EndedLine)


def end_batch(
    tenant_id: UUID,
    batch_id: UUID,
    outcome: BatchOutcome,
    *,
    completed: int,
    failed: int,
    uncalled: int | None = None,
    usage: dict[str, Any] | None = None,
    output_file_id: UUID | None = None,
    error_file_id: UUID | None = None,
    errors: Sequence[dict[str, Any]] | None = None,
    keep_lines: bool = False,
) -> tuple[list[Statement], list[Statement]]:
    """Return the statements that end a batch: those that come first, and refuse with JOB_LOST if it has ended, and those that
    come last, behind those that store its files."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": batch_id, "outcome": outcome}
    values |= {"completed": completed, "failed": failed, "uncalled": uncalled}
    values |= {"usage": None if usage is None else storable_json(usage)}
    values |= {"output_file_id": output_file_id, "error_file_id": error_file_id}
    values |= {"errors": None if errors is None else storable_json(list(errors))}
    last: list[Statement] = [(SET_ENDED, values)]
    return [(END, values)], last if keep_lines else [*last, (DROP_LINES, values)]


async def list_unfinished(db: Db) -> list[UnfinishedBatch]:
    """Return batches of all tenants whose job has ended without their results; as the system."""
    return await fetch_all(db, UNFINISHED, {"states": ["succeeded", "failed", "cancelled"]}, into=UnfinishedBatch)
