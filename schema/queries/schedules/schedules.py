"""Schedules: what is due, and the moves that give each due time one job at most. Every move compares `next_at`, and a
due time is a key in `schedule_runs`: of several schedulers that see the same time due, one wins and the others change
nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

import msgspec

from schema.identity.budgets import budget_json
from schema.identity.rights import Role
from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import SCHEDULE_MOVED
from schema.queries.pages import LAST_ID
from schema.states import LIVE_SQL, OnMissed, OnOverlap, RunOutcome, ScheduleSession, ScheduleState, State
from schema.storable import storable_json

COLUMNS = """id, name, user_id, created_by, issuer, kind, job, compiled, cron, timezone, starts_at, ends_at, on_missed,
on_overlap,   session, session_id, state, reason, next_at, created_at, updated_at"""

DUE = """
SELECT s.tenant_id, s.id FROM schedules s JOIN tenants t ON t.id = s.tenant_id
WHERE s.state = 'active' AND s.next_at <= %(now)s AND t.state = %(tenant_state)s ORDER BY s.next_at LIMIT %(limit)s
"""

WAITING = """
SELECT DISTINCT tenant_id, schedule_id AS id FROM schedule_runs WHERE outcome = 'waiting' LIMIT %(limit)s
"""

ADD = f"""
INSERT INTO schedules (tenant_id, id, name, user_id, created_by, issuer, kind, job, compiled, cron, timezone, starts_at,
ends_at,   on_missed, on_overlap, session, session_id, state, next_at)
SELECT %(tenant_id)s, %(id)s, %(name)s, %(user_id)s, %(created_by)s, %(issuer)s, %(kind)s, %(job)s, %(compiled)s, %(cron)s,
  %(timezone)s, %(starts_at)s, %(ends_at)s, %(on_missed)s, %(on_overlap)s, %(session)s, %(session_id)s, %(state)s, %(next_at)s
WHERE (SELECT count(*) FROM schedules WHERE tenant_id = %(tenant_id)s) < %(most)s
RETURNING {COLUMNS}
"""

CHANGE = f"""
UPDATE schedules SET name = %(name)s, kind = %(kind)s, job = %(job)s, compiled = %(compiled)s, cron = %(cron)s,
  timezone = %(timezone)s, starts_at = %(starts_at)s, ends_at = %(ends_at)s, on_missed = %(on_missed)s,
  on_overlap = %(on_overlap)s, session = %(session)s, session_id = %(session_id)s, state = %(state)s, next_at = %(next_at)s,
  user_id = %(user_id)s, created_by = %(created_by)s, issuer = %(issuer)s, reason = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING {COLUMNS}
"""

# Moves a schedule on behind a due time, with the session of the job that was submitted for it.
ADVANCE = f"""
WITH moved AS (
  UPDATE schedules s SET next_at = %(next_at)s::timestamptz,
    state = CASE WHEN %(next_at)s::timestamptz IS NULL THEN 'ended' ELSE s.state END,
    session_id = coalesce((SELECT j.session_id FROM jobs j WHERE j.tenant_id = s.tenant_id AND j.id = %(job_id)s::uuid
      AND s.session = 'continue'), s.session_id)
  WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND s.state = 'active' AND s.next_at = %(due_at)s::timestamptz
  RETURNING s.id)
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM moved) THEN refuse('{SCHEDULE_MOVED}') END
"""

KEEP_SESSION = """
UPDATE schedules s SET session_id = j.session_id FROM jobs j
WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND s.session = 'continue' AND j.tenant_id = s.tenant_id
  AND j.id = %(job_id)s::uuid AND j.session_id IS NOT NULL
"""

ADD_RUN = """
INSERT INTO schedule_runs (tenant_id, schedule_id, due_at, outcome, job_id, manual, missed, reason)
VALUES (%(tenant_id)s, %(id)s, %(due_at)s::timestamptz, %(outcome)s, %(job_id)s::uuid, %(manual)s::bool, %(missed)s::int,
  %(reason)s::jsonb)
"""

START_WAITING = f"""
WITH started AS (
  UPDATE schedule_runs SET outcome = 'submitted', job_id = %(job_id)s::uuid
  WHERE tenant_id = %(tenant_id)s AND schedule_id = %(id)s AND due_at = %(due_at)s::timestamptz AND outcome = 'waiting'
  RETURNING due_at)
SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM started) THEN refuse('{SCHEDULE_MOVED}') END
"""

RUNS = """
SELECT r.due_at, r.outcome, r.job_id, r.manual, r.missed, r.reason, r.created_at, j.state AS job_state
FROM schedule_runs r LEFT JOIN jobs j ON j.tenant_id = r.tenant_id AND j.id = r.job_id
WHERE r.tenant_id = %(tenant_id)s AND r.schedule_id = %(id)s AND r.due_at < %(before)s::timestamptz
ORDER BY r.due_at DESC LIMIT %(limit)s
"""


class DueSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule with something to do."""

    tenant_id: UUID
    id: UUID


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    id: UUID
    name: str
    user_id: UUID | None
    created_by: str
    issuer: str
    kind: str
    job: dict[str, Any]
    compiled: dict[str, Any]
    cron: str
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    on_missed: OnMissed
    on_overlap: OnOverlap
    session: ScheduleSession
    session_id: UUID | None
    state: ScheduleState
    reason: dict[str, Any] | None
    next_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ScheduleRun(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a due time; `job_state` is None if there is no job, or it was deleted."""

    due_at: datetime
    outcome: RunOutcome
    job_id: UUID | None
    manual: bool
    missed: int
    reason: dict[str, Any] | None
    created_at: datetime
    job_state: State | None


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a schedule is by now: a user, or the key that acts for the tenant."""

    role: Role
    scopes: list[str] | None
    is_active: bool
    budgets: list[dict[str, Any]]


async def list_due(db: Db, now: datetime, *, limit: int) -> list[DueSchedule]:
    """Return schedules that are due, of all tenants that are active; as the system."""
    return await fetch_all(db, DUE, {"now": now, "limit": limit, "tenant_state": "active"}, into=DueSchedule)


async def list_waiting(db: Db, *, limit: int) -> list[DueSchedule]:
    """Return schedules with a due time that waits for the job before it, of all tenants; as the system."""
    return await fetch_all(db, WAITING, {"limit": limit}, into=DueSchedule)


async def find_schedule(db: Db, tenant_id: UUID, schedule_id: UUID) -> Schedule | None:
    """Return one schedule."""
    sql = f"SELECT {COLUMNS} FROM schedules WHERE tenant_id = %(tenant_id)s AND id = %(id)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": schedule_id}, into=Schedule)


async def list_schedules(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    state: str | None = None,
    kind: str | None = None,
) -> list[Schedule]:
    """Return schedules, newest first. A tenant has a thousand at most, so filters need no index."""
    sql = f"""SELECT {COLUMNS} FROM schedules WHERE tenant_id = %(tenant_id)s AND id < %(before)s
      AND (%(state)s::text IS NULL OR state = %(state)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s)
      ORDER BY id DESC LIMIT %(limit)s"""
    values = {"tenant_id": tenant_id, "before": before or LAST_ID, "limit": limit, "state": state, "kind": kind}
    return await fetch_all(db, sql, values, into=Schedule)


async def add_schedule(db: Db, tenant_id: UUID, values: dict[str, Any], *, most: int) -> Schedule | None:
    """Insert a schedule; None if the tenant has `most` already. Others must be kept from adding one meanwhile."""
    return await fetch_one(db, ADD, _stored(values) | {"tenant_id": tenant_id, "most": most}, into=Schedule)


async def change_schedule(db: Db, tenant_id: UUID, values: dict[str, Any]) -> Schedule | None:
    """Replace a schedule's definition; None if it isn't there."""
    return await fetch_one(db, CHANGE, _stored(values) | {"tenant_id": tenant_id}, into=Schedule)


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    return values | {"job": storable_json(values["job"]), "compiled": storable_json(values["compiled"])}


async def set_state(
    db: Db,
    tenant_id: UUID,
    schedule_id: UUID,
    state: ScheduleState,
    *,
    next_at: datetime | None,
    reason: dict[str, Any] | None = None,
) -> Schedule | None:
    """Pause a schedule, or let it go on with `next_at`; None if it isn't there."""
    sql = f"""UPDATE schedules SET state = %(state)s, next_at = %(next_at)s, reason = %(reason)s, updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING {COLUMNS}"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": schedule_id, "state": state, "next_at": next_at}
    values["reason"] = None if reason is None else storable_json(reason)
    return await fetch_one(db, sql, values, into=Schedule)


async def pause(db: Db, tenant_id: UUID, schedule_id: UUID, *, due_at: datetime | None, reason: dict[str, Any]) -> bool:
    """Pause an active schedule with a reason, which is also that of its due time, if it is paused for one. False if it is no
    longer active, or due at another time."""
    sql = """UPDATE schedules SET state = 'paused', next_at = NULL, reason = %(reason)s, updated_at = now()
      WHERE tenant_id = %(tenant_id)s AND id = %(id)s AND state <> 'paused'
        AND (%(due_at)s::timestamptz IS NULL OR next_at <= %(due_at)s::timestamptz) RETURNING id"""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": schedule_id, "due_at": due_at}
    if await fetch_one(db, sql, values | {"reason": storable_json(reason)}) is None:
        return False
    if due_at is not None:
        statement, about = add_run(tenant_id, schedule_id, due_at, "refused", reason=reason)
        await db.execute(cast(LiteralString, statement), about)
    return True


async def delete_schedule(db: Db, tenant_id: UUID, schedule_id: UUID) -> bool:
    """Delete a schedule and its history; its jobs stay. False if it isn't there."""
    sql = "DELETE FROM schedules WHERE tenant_id = %(tenant_id)s AND id = %(id)s RETURNING id"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": schedule_id}) is not None


async def list_runs(db: Db, tenant_id: UUID, schedule_id: UUID, *, limit: int, before: datetime) -> list[ScheduleRun]:
    """Return what became of due times, newest first."""
    values = {"tenant_id": tenant_id, "id": schedule_id, "limit": limit, "before": before}
    return await fetch_all(db, RUNS, values, into=ScheduleRun)


async def find_live_job(db: Db, tenant_id: UUID, schedule_id: UUID, *, next_at: datetime | None = None) -> UUID | None:
    """Return the newest job of a schedule that has not ended; none if it is no longer due at `next_at`, where that is given:
    then that job may be the one that another scheduler has just submitted."""
    sql = f"""SELECT j.id FROM schedule_runs r JOIN jobs j ON j.tenant_id = r.tenant_id AND j.id = r.job_id
      WHERE r.tenant_id = %(tenant_id)s AND r.schedule_id = %(id)s AND r.due_at IN (
        SELECT due_at FROM schedule_runs WHERE tenant_id = %(tenant_id)s AND schedule_id = %(id)s AND job_id IS NOT NULL
        ORDER BY due_at DESC LIMIT 20)
        AND j.state IN {LIVE_SQL} AND (%(next_at)s::timestamptz IS NULL OR EXISTS (
          SELECT 1 FROM schedules s WHERE s.tenant_id = %(tenant_id)s AND s.id = %(id)s AND s.next_at = %(next_at)s))
      ORDER BY j.id DESC LIMIT 1"""
    row = await fetch_one(db, sql, {"tenant_id": tenant_id, "id": schedule_id, "next_at": next_at})
    return row["id"] if row else None


async def list_waiting_times(db: Db, tenant_id: UUID, schedule_id: UUID) -> list[datetime]:
    """Return the due times that wait for an earlier job, oldest first."""
    sql = """SELECT due_at FROM schedule_runs
      WHERE tenant_id = %(tenant_id)s AND schedule_id = %(id)s AND outcome = 'waiting' ORDER BY due_at"""
    return [row["due_at"] for row in await fetch_all(db, sql, {"tenant_id": tenant_id, "id": schedule_id})]


async def find_owner(db: Db, tenant_id: UUID, *, user_id: UUID | None, actor: str) -> Owner | None:
    """Return what the owner is by now: the user, or the tenant's key that `actor` names; None if it is gone. The budget of a
    user's key holds beside the user's."""
    if user_id is not None:
        sql = f"""SELECT u.role, NULL AS scopes, u.state = 'active' AS is_active,
            jsonb_build_array({budget_json("user", "u")}, {budget_json("key", "k")}) AS budgets
          FROM users u LEFT JOIN api_keys k ON k.tenant_id = u.tenant_id AND 'key:' || k.id = %(actor)s
          WHERE u.tenant_id = %(tenant_id)s AND u.id = %(id)s"""
        return await fetch_one(db, sql, {"tenant_id": tenant_id, "id": user_id, "actor": actor}, into=Owner)
    sql = f"""SELECT role, scopes, revoked_at IS NULL AND coalesce(expires_at > now(), true) AS is_active,
        jsonb_build_array({budget_json("key", "api_keys")}) AS budgets FROM api_keys
      WHERE tenant_id = %(tenant_id)s AND 'key:' || id = %(actor)s"""
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "actor": actor}, into=Owner)


def advance(
    tenant_id: UUID, schedule_id: UUID, due_at: datetime, next_at: datetime | None, *, job_id: UUID | None = None
) -> Statement:
    """Return the statement that moves a schedule on; it refuses, with SCHEDULE_MOVED, if it is no longer due then."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": schedule_id, "due_at": due_at, "next_at": next_at}
    return ADVANCE, {**values, "job_id": job_id}


def add_run(
    tenant_id: UUID,
    schedule_id: UUID,
    due_at: datetime,
    outcome: RunOutcome,
    *,
    job_id: UUID | None = None,
    manual: bool = False,
    missed: int = 0,
    reason: dict[str, Any] | None = None,
) -> Statement:
    """Return the statement that stores what became of a due time. It fails if that is known already."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "id": schedule_id, "due_at": due_at, "outcome": outcome}
    values |= {"job_id": job_id, "manual": manual, "missed": missed}
    return ADD_RUN, {**values, "reason": None if reason is None else storable_json(reason)}


def start_waiting(tenant_id: UUID, schedule_id: UUID, due_at: datetime, job_id: UUID) -> Sequence[Statement]:
    """Return the statements that give a due time that waited its job; they refuse if it has one already."""
    values = {"tenant_id": tenant_id, "id": schedule_id, "due_at": due_at, "job_id": job_id}
    return ((START_WAITING, values), (KEEP_SESSION, values))


def keep_session(tenant_id: UUID, schedule_id: UUID, job_id: UUID) -> Statement:
    """Return the statement that keeps the session of a job for the runs that follow."""
    return KEEP_SESSION, {"tenant_id": tenant_id, "id": schedule_id, "job_id": job_id}
