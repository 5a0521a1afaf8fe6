"""Submits the jobs of schedules that are due. Any number of schedulers may do this at once, and be killed at any moment.

      due ──► still allowed? ──no──► paused, with the reason
                  │yes
                  ▼
       job before ended? ──no──► skip · wait for its end · cancel it
                  │yes
                  ▼
      one transaction: the job, the row of its due time, the next due time

That transaction compares the due time, so of two schedulers one submits the job, and the other one's changes nothing. A time
that was due more than LATE_S ago is missed: nobody was there, or the tenant was suspended. Missed times are not piled up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import islice, takewhile
from uuid import UUID

import psycopg
import structlog

from schema.errors import (
    Forbidden,
    HeadraceError,
    LimitReached,
    NotFound,
    QueueFull,
    Unavailable,
    UnknownAgent,
    UnknownModel,
)
from schema.ids import new_id
from schema.postgres.batch import Statement, run_batch
from schema.postgres.connections import Pool, system_tx, tenant_tx
from schema.queries.jobs.submissions import SCHEDULE_MOVED, ScheduleMoved
from schema.queries.schedules import schedules as queries
from schema.queries.schedules.schedules import DueSchedule, Schedule
from schema.queries.tenants.audit import add_audit
from schema.states import RunOutcome
from workers.queue.cancel import cancel
from workers.schedules.cron import due_times, next_due, previous_due
from workers.schedules.submitting import ScheduledJobs

log = structlog.get_logger()

LATE_S = 60.0
"""A due time that nobody saw for so long was missed."""
BATCH = 200
AT_ONCE = 8
"""Schedules that one scheduler works on at the same time."""
MAX_WAITING = 10
"""Due times of one schedule that wait for an earlier job; more are skipped."""
MAX_COUNTED = 1000
GONE = (Forbidden, UnknownAgent, UnknownModel, NotFound)
"""What pauses a schedule: it would fail each time."""


class ScheduleNotThere(Exception):
    """The schedule was deleted meanwhile."""


class DueSchedules:
    """Submits what is due. `system_pool` sees which schedules of all tenants are."""

    def __init__(self, jobs: ScheduledJobs, system_pool: Pool) -> None:
        self._jobs, self._system_pool = jobs, system_pool
        self._pool = jobs.core.pool

    async def run_due_schedules(self) -> None:
        """Submit what is due now, and what waited for a job that has ended."""
        async with system_tx(self._system_pool) as db:
            due = await queries.list_due(db, self._jobs.clock(), limit=BATCH)
            waiting = await queries.list_waiting(db, limit=BATCH)
        places = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for one in due:
                group.create_task(self._guarded(places, self._run_due, one))
            for one in waiting:
                group.create_task(self._guarded(places, self._start_waiting, one))

    async def _guarded(
        self, places: asyncio.Semaphore, run: Callable[[UUID, Schedule], Awaitable[None]], one: DueSchedule
    ) -> None:
        """Let no schedule keep the others from being run."""
        async with places:
            try:
                schedule = await self._find(one.tenant_id, one.id)
                await run(one.tenant_id, schedule)
            except (ScheduleMoved, ScheduleNotThere):
                log.debug("schedule_moved", schedule_id=str(one.id))
            except (Unavailable, TimeoutError, OSError) as error:
                log.warning("schedule_postponed", schedule_id=str(one.id), error=type(error).__name__)
            except Exception:
                # It is tried again; the others must go on.
                log.exception("schedule_failed", tenant_id=str(one.tenant_id), schedule_id=str(one.id))

    async def _find(self, tenant_id: UUID, schedule_id: UUID) -> Schedule:
        async with tenant_tx(self._pool, tenant_id) as db:
            schedule = await queries.find_schedule(db, tenant_id, schedule_id)
        if schedule is None:
            raise ScheduleNotThere
        return schedule

    async def _run_due(self, tenant_id: UUID, schedule: Schedule) -> None:
        now, due_at = self._jobs.clock(), schedule.next_at
        if schedule.state != "active" or due_at is None or due_at > now:
            return
        missed = 0
        if due_at < now - timedelta(seconds=LATE_S):
            due_at, missed = self._skip_missed(schedule, due_at, now)
            if schedule.on_missed == "skip":
                next_at = following(schedule, due_at)
                await self._record(tenant_id, schedule, due_at, next_at, "missed", missed=missed)
                return
        next_at = following(schedule, due_at)
        try:
            permission = await self._jobs.permit(tenant_id, schedule)
        except GONE as error:
            await self._pause(tenant_id, schedule, due_at, error)
            return
        if not await self._make_room(tenant_id, schedule, due_at, next_at, missed):
            return
        job_id = new_id()
        statements = (
            queries.advance(tenant_id, schedule.id, schedule.next_at or due_at, next_at, job_id=job_id),
            queries.add_run(tenant_id, schedule.id, due_at, "submitted", job_id=job_id, missed=missed),
        )
        try:
            await self._jobs.submit(tenant_id, schedule, permission, job_id, statements)
        except (LimitReached, QueueFull) as error:
            await self._record(tenant_id, schedule, due_at, next_at, "refused", error=error, missed=missed)

    def _skip_missed(self, schedule: Schedule, first: datetime, now: datetime) -> tuple[datetime, int]:
        """Return the last time that was missed, and how many there were, counted up to MAX_COUNTED."""
        until = now - timedelta(seconds=LATE_S)
        last = max(first, previous_due(schedule.cron, schedule.timezone, until))
        times = due_times(schedule.cron, schedule.timezone, first)
        return last, 1 + sum(1 for _ in takewhile(lambda at: at <= last, islice(times, MAX_COUNTED)))

    async def _make_room(
        self, tenant_id: UUID, schedule: Schedule, due_at: datetime, next_at: datetime | None, missed: int
    ) -> bool:
        """Return whether the job may be submitted now: there is none before it that has not ended, or it was cancelled."""
        async with tenant_tx(self._pool, tenant_id) as db:
            live = await queries.find_live_job(db, tenant_id, schedule.id, next_at=schedule.next_at)
            waiting = await queries.list_waiting_times(db, tenant_id, schedule.id)
        if live is None and not waiting:
            return True
        if schedule.on_overlap == "cancel_previous":
            if live is not None:
                await cancel(self._jobs.core, tenant_id, live)
            return True
        reason = {"code": "overlap", "message": "The job before it had not ended."}
        outcome: RunOutcome = "skipped"
        if schedule.on_overlap == "queue" and len(waiting) < MAX_WAITING:
            outcome, reason = "waiting", None
        await self._write(tenant_id, schedule, due_at, next_at, outcome, reason=reason, missed=missed)
        return False

    async def _start_waiting(self, tenant_id: UUID, schedule: Schedule) -> None:
        """Submit the oldest due time that waits, if the job before it has ended."""
        async with tenant_tx(self._pool, tenant_id) as db:
            live = await queries.find_live_job(db, tenant_id, schedule.id)
            waiting = await queries.list_waiting_times(db, tenant_id, schedule.id)
        if live is not None or not waiting or schedule.state == "paused":
            return
        try:
            permission = await self._jobs.permit(tenant_id, schedule)
        except GONE as error:
            await self._pause(tenant_id, schedule, None, error)
            return
        job_id = new_id()
        statements = tuple(queries.start_waiting(tenant_id, schedule.id, waiting[0], job_id))
        try:
            await self._jobs.submit(tenant_id, schedule, permission, job_id, statements)
        except (LimitReached, QueueFull):
            return  # it goes on waiting

    async def _record(
        self,
        tenant_id: UUID,
        schedule: Schedule,
        due_at: datetime,
        next_at: datetime | None,
        outcome: RunOutcome,
        *,
        error: HeadraceError | None = None,
        missed: int = 0,
    ) -> None:
        reason = {"code": error.code, "message": error.message} if error is not None else None
        await self._write(tenant_id, schedule, due_at, next_at, outcome, reason=reason, missed=missed)

    async def _write(
        self,
        tenant_id: UUID,
        schedule: Schedule,
        due_at: datetime,
        next_at: datetime | None,
        outcome: RunOutcome,
        *,
        reason: dict[str, str] | None,
        missed: int,
    ) -> None:
        """Store what became of a due time that got no job, and move on."""
        statements = [
            queries.advance(tenant_id, schedule.id, schedule.next_at or due_at, next_at),
            queries.add_run(tenant_id, schedule.id, due_at, outcome, reason=reason, missed=missed),
        ]
        await run_moves(self._pool, tenant_id, statements)
        log.info("schedule_not_submitted", schedule_id=str(schedule.id), outcome=outcome)

    async def _pause(self, tenant_id: UUID, schedule: Schedule, due_at: datetime | None, error: HeadraceError) -> None:
        """Pause a schedule that would fail each time, and say why: in its row, its history and the audit log."""
        reason = {"code": error.code, "message": error.message}
        async with tenant_tx(self._pool, tenant_id) as db:
            if not await queries.pause(db, tenant_id, schedule.id, due_at=due_at, reason=reason):
                raise ScheduleMoved
            target = f"schedule:{schedule.id}"
            await add_audit(db, tenant_id, actor="system", action="schedule.paused", target=target, detail=reason)
        log.warning("schedule_paused", tenant_id=str(tenant_id), schedule_id=str(schedule.id), code=error.code)


async def run_moves(pool: Pool, tenant_id: UUID, statements: list[Statement]) -> None:
    """Run statements of a move as one transaction. Raises ScheduleMoved if another scheduler was there first."""
    try:
        await run_batch(pool, tenant_id, statements)
    except psycopg.Error as error:
        if error.sqlstate == SCHEDULE_MOVED or error.diag.constraint_name == "schedule_runs_pkey":
            raise ScheduleMoved from error
        raise


def following(schedule: Schedule, due_at: datetime) -> datetime | None:
    """Return the due time after `due_at`; None if the schedule ends before it."""
    at = next_due(schedule.cron, schedule.timezone, due_at)
    return None if at is None or (schedule.ends_at is not None and at > schedule.ends_at) else at


def first_due(
    cron: str, timezone: str, *, now: datetime, starts_at: datetime | None, ends_at: datetime | None
) -> datetime | None:
    """Return the first due time from now on, and from `starts_at` on; None if there is none before `ends_at`."""
    after = now if starts_at is None or starts_at <= now else starts_at - timedelta(seconds=1)
    at = next_due(cron, timezone, after)
    return None if at is None or (ends_at is not None and at > ends_at) else at
