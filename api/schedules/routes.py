"""Routes of schedules: create, list, get, change, delete, pause, resume, run now, history."""

from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Response, Router, delete, get, post, put
from litestar.params import JSONBody, PathParameter, QueryParameter

from api.audit.log import record
from api.auth.principals import MayReadSchedules, MayWriteSchedules, Principal
from api.grants.tenant_rows import changing_own_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources
from api.schedules.compile import compile_schedule
from api.schedules.schemas import (
    DETAIL_EXAMPLE,
    MAX_SCHEDULES,
    NEXT_TIMES,
    RUN_EXAMPLE,
    SCHEDULE_EXAMPLE,
    SCHEDULE_IN_EXAMPLE,
    SCHEDULED_JOB_EXAMPLE,
    ScheduleDetailOut,
    ScheduledJobOut,
    ScheduleIn,
    ScheduleOut,
    ScheduleRunOut,
    ScheduleRunsOut,
    SchedulesOut,
)
from schema.errors import Conflict, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.pages import END
from schema.queries.schedules import schedules
from schema.queries.schedules.schedules import Schedule
from schema.states import ScheduleState, public_state
from workers.schedules.cron import due_times
from workers.schedules.due import first_due
from workers.schedules.submitting import ScheduledJobs

NO_SCHEDULE = "No such schedule. GET /api/schedules lists them."
SCHEDULE_PATH = "/{schedule_id:uuid}"
ScheduleId = Annotated[UUID, PathParameter(description="Id of the schedule.")]
UNKNOWN = ("model_unknown", "agent_unknown", "not_found")
DESCRIPTION = """The job is checked now, with your rights, and each time it is due, with those that you have by then: if
you lost the right, or its agent, pipeline or model is gone, the schedule pauses and says why. Each due time has one
job, however many schedulers run. Times follow the time zone: one that a change to summer time skips is due right after
the gap, one that happens twice is due once."""


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=SCHEDULE_IN_EXAMPLE, response=DETAIL_EXAMPLE),
    responses=problems("conflict", *UNKNOWN),
    summary="Create a schedule",
    description=DESCRIPTION,
)
async def create_schedule(
    data: JSONBody[ScheduleIn], principal: MayWriteSchedules, resources: AppResources
) -> Response[ScheduleDetailOut]:
    schedule_id = new_id()
    values = await compile_schedule(resources, principal, data, schedule_id)
    async with changing_own_tenant(resources, principal) as db:
        row = await schedules.add_schedule(db, principal.tenant_id, values, most=MAX_SCHEDULES)
        if row is None:
            raise Conflict(f"Your tenant has reached the maximum of {MAX_SCHEDULES:,} schedules. Delete one first.")
        await record(db, principal, principal.tenant_id, "schedule.created", f"schedule:{schedule_id}")
    return Response(_detail_out(row), headers={"Location": f"/api/schedules/{schedule_id}"})


@get("/", opt=described(response={"items": [SCHEDULE_EXAMPLE], "next_cursor": None}), summary="List schedules")
async def list_schedules(
    principal: MayReadSchedules,
    resources: AppResources,
    wanted: Annotated[
        ScheduleState | None, QueryParameter(name="state", description="Only schedules in this state.")
    ] = None,
    kind: Annotated[
        Literal["chat", "pipeline", "ingestion", "benchmark"] | None,
        QueryParameter(description="Only schedules of such jobs."),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> SchedulesOut:
    """Newest first."""
    before = read_cursor("schedules", cursor, UUID)
    async with principal.tx(resources.core.pool) as db:
        rows = await schedules.list_schedules(
            db, principal.tenant_id, limit=limit + 1, before=before, state=wanted, kind=kind
        )
    items = [from_row(ScheduleOut, row) for row in rows[:limit]]
    return SchedulesOut(items, write_cursor("schedules", items[-1].id) if len(rows) > limit else None)


@get(SCHEDULE_PATH, opt=described(response=DETAIL_EXAMPLE), responses=problems("not_found"), summary="Get a schedule")
async def get_schedule(
    schedule_id: ScheduleId, principal: MayReadSchedules, resources: AppResources
) -> ScheduleDetailOut:
    async with principal.tx(resources.core.pool) as db:
        return _detail_out(await _require(db, principal, schedule_id))


@put(
    SCHEDULE_PATH,
    opt=described(example=SCHEDULE_IN_EXAMPLE, response=DETAIL_EXAMPLE),
    responses=problems(*UNKNOWN),
    summary="Update a schedule",
)
async def update_schedule(
    schedule_id: ScheduleId, data: JSONBody[ScheduleIn], principal: MayWriteSchedules, resources: AppResources
) -> ScheduleDetailOut:
    """Replaces the whole definition. From then on its jobs run in your name, and a session that goes on begins anew."""
    async with principal.tx(resources.core.pool) as db:
        await _require(db, principal, schedule_id)  # an unknown schedule is 404, whatever the body says
    values = await compile_schedule(resources, principal, data, schedule_id)
    async with principal.tx(resources.core.pool) as db:
        row = await schedules.change_schedule(db, principal.tenant_id, values)
        if row is None:
            raise NotFound(NO_SCHEDULE)
        await record(db, principal, principal.tenant_id, "schedule.changed", f"schedule:{schedule_id}")
    return _detail_out(row)


@delete(SCHEDULE_PATH, responses=problems("not_found"), summary="Delete a schedule")
async def delete_schedule(schedule_id: ScheduleId, principal: MayWriteSchedules, resources: AppResources) -> None:
    """Deletes the schedule and its history. Its jobs stay."""
    async with principal.tx(resources.core.pool) as db:
        if not await schedules.delete_schedule(db, principal.tenant_id, schedule_id):
            raise NotFound(NO_SCHEDULE)
        await record(db, principal, principal.tenant_id, "schedule.deleted", f"schedule:{schedule_id}")


@post(
    f"{SCHEDULE_PATH}/pause",
    status_code=200,
    opt=described(response=DETAIL_EXAMPLE | {"state": "paused", "next_at": None, "next_times": []}),
    responses=problems("not_found"),
    summary="Pause a schedule",
)
async def pause_schedule(
    schedule_id: ScheduleId, principal: MayWriteSchedules, resources: AppResources
) -> ScheduleDetailOut:
    """It is not due any more until it is resumed. A job that runs goes on."""
    async with principal.tx(resources.core.pool) as db:
        await _require(db, principal, schedule_id)
        row = await schedules.set_state(db, principal.tenant_id, schedule_id, "paused", next_at=None)
        await record(db, principal, principal.tenant_id, "schedule.paused", f"schedule:{schedule_id}")
    return _require_row(row)


@post(
    f"{SCHEDULE_PATH}/resume",
    status_code=200,
    opt=described(response=DETAIL_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Resume a schedule",
)
async def resume_schedule(
    schedule_id: ScheduleId, principal: MayWriteSchedules, resources: AppResources
) -> ScheduleDetailOut:
    """It is due at its next time from now on; what was due while it was paused is not made up for."""
    async with principal.tx(resources.core.pool) as db:
        found = await _require(db, principal, schedule_id)
        next_at = found.next_at or first_due(
            found.cron,
            found.timezone,
            now=datetime.now(UTC),
            starts_at=found.starts_at,
            ends_at=found.ends_at,
        )
        if next_at is None:
            raise Conflict("This schedule is not due any more before its ends_at. Change it first.")
        row = await schedules.set_state(db, principal.tenant_id, schedule_id, "active", next_at=next_at)
        await record(db, principal, principal.tenant_id, "schedule.resumed", f"schedule:{schedule_id}")
    return _require_row(row)


@post(
    f"{SCHEDULE_PATH}/run",
    status_code=202,
    opt=described(response=SCHEDULED_JOB_EXAMPLE),
    responses=problems(*UNKNOWN, "conflict", "queue_full", "rate_limit_exceeded", "budget_exceeded"),
    summary="Run a schedule now",
)
async def run_schedule(
    schedule_id: ScheduleId, principal: MayWriteSchedules, resources: AppResources
) -> Response[ScheduledJobOut]:
    """Submits its job at once, in its owner's name, also while it is paused or an earlier job runs. Its times stay as
    they are."""
    async with principal.tx(resources.core.pool) as db:
        found = await _require(db, principal, schedule_id)
    job_id = await ScheduledJobs(resources.core, resources.vault).run_now(principal.tenant_id, found)
    url = f"/api/jobs/{job_id}"
    return Response(ScheduledJobOut(job_id=job_id, job_url=url, events_url=f"{url}/events"))


@get(
    f"{SCHEDULE_PATH}/runs",
    opt=described(response={"items": [RUN_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a schedule's runs",
)
async def list_schedule_runs(
    schedule_id: ScheduleId,
    principal: MayReadSchedules,
    resources: AppResources,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> ScheduleRunsOut:
    """What became of its due times, newest first, for 90 days."""
    list_name = f"schedule_runs/{schedule_id}"
    before = read_cursor(list_name, cursor, datetime)
    async with principal.tx(resources.core.pool) as db:
        await _require(db, principal, schedule_id)
        rows = await schedules.list_runs(db, principal.tenant_id, schedule_id, limit=limit + 1, before=before or END)
    items = [
        from_row(ScheduleRunOut, row, job_state=None if row.job_state is None else public_state(row.job_state))
        for row in rows[:limit]
    ]
    return ScheduleRunsOut(items, write_cursor(list_name, items[-1].due_at) if len(rows) > limit else None)


async def _require(db: Db, principal: Principal, schedule_id: UUID) -> Schedule:
    row = await schedules.find_schedule(db, principal.tenant_id, schedule_id)
    if row is None:
        raise NotFound(NO_SCHEDULE)
    return row


def _require_row(row: Schedule | None) -> ScheduleDetailOut:
    if row is None:
        raise NotFound(NO_SCHEDULE)
    return _detail_out(row)


def _detail_out(row: Schedule) -> ScheduleDetailOut:
    times: list[Any] = []
    if row.next_at is not None:
        after = due_times(row.cron, row.timezone, row.next_at)
        later = takewhile(lambda at: row.ends_at is None or at <= row.ends_at, after)
        times = [row.next_at, *islice(later, NEXT_TIMES - 1)]
    return from_row(ScheduleDetailOut, row, next_times=times)


routes = Router(
    "/schedules",
    route_handlers=[
        create_schedule,
        list_schedules,
        get_schedule,
        update_schedule,
        delete_schedule,
        pause_schedule,
        resume_schedule,
        run_schedule,
        list_schedule_runs,
    ],
    tags=["schedules"],
)
