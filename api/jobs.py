"""Jobs: list, look, follow, cancel, drive again, delete (A3)."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from psycopg.rows import DictRow

from api.describing import EVENTS, described
from api.errors import problems
from api.following import follow_stream
from api.headers import read_position
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayReadJobs, MayWriteJobs, Principal
from api.redriving import RetriedOut, RetryIn, retry_jobs
from api.resources import Opened, Resources
from api.streams import EVENT_STREAM
from schema.errors import Conflict, NotFound
from schema.events import describe_events
from schema.kinds import Kind
from schema.queries.jobs import delete_job, find_job, find_job_state, list_attempts, list_jobs
from schema.states import CancelMode, Priority, PublicState, State, WaitingFor, priority_name, public_state
from workers.cancel import cancel, redrive

NO_JOB = "There is no such job."
INNER: dict[PublicState, list[State]] = {"queued": ["queued", "dispatched"]}


class AttemptOut(msgspec.Struct, frozen=True, kw_only=True):
    """One try of the job by one worker."""

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: dict[str, Any] | None


class JobOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `attempt` counts claims, `tries` those that were lost or failed; `run_at` is when it may run (again)."""

    id: UUID
    kind: str
    state: PublicState
    waiting_for: WaitingFor | None
    session_id: UUID | None
    model: str | None
    agent: str | None
    priority: Priority
    attempt: int
    tries: int
    max_tries: int
    cancel_requested: CancelMode | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    request_id: str | None
    created_at: datetime
    run_at: datetime
    deadline_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobDetailOut(JobOut, frozen=True, kw_only=True):
    """A job with its attempts."""

    attempts: list[AttemptOut]


class JobsOut(msgspec.Struct, frozen=True):
    """A page of jobs, newest first."""

    items: list[JobOut]
    next_cursor: str | None


class CancelIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`keep` stores what was said so far, `forget` removes it and the question too."""

    mode: CancelMode = "keep"


class JobStateOut(msgspec.Struct, frozen=True):
    """What a job has come to."""

    job_id: UUID
    state: PublicState


def _job_fields(row: DictRow) -> dict[str, Any]:
    fields = {name: row[name] for name in JobOut.__struct_fields__}
    return {**fields, "state": public_state(row["state"]), "priority": priority_name(row["priority"])}


@get("/", summary="List jobs", tags=["jobs"])
async def list_(
    principal: MayReadJobs,
    resources: Opened,
    kind: FromQuery[Kind | None] = None,
    wanted: Annotated[
        list[PublicState] | None, QueryParameter(name="state", description="May be given more than once.")
    ] = None,
    session_id: FromQuery[UUID | None] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> JobsOut:
    before = read_cursor(cursor, UUID)
    states = [inner for public in wanted or [] for inner in INNER.get(public, [public])]
    async with principal.tx(resources.ports.pool) as db:
        rows = await list_jobs(
            db, principal.tenant_id, limit=limit + 1, before=before, kind=kind, states=states, session_id=session_id
        )
    items = [JobOut(**_job_fields(row)) for row in rows[:limit]]
    return JobsOut(items, write_cursor(items[-1].id) if len(rows) > limit else None)


EVENTS_HELP = f"""From the first event, or from behind the one that `Last-Event-ID` or `after` names, up to the job's last.
When all of an ended job has been read, the stream only closes.

Every event has `id:` (1, 2, 3 … without gaps), `event:` and `data:`, a JSON object with `job_id`, `seq`, `at` and:

{describe_events()}
"""


@get("/{job_id:uuid}", responses=problems("not_found"), summary="Look at a job", tags=["jobs"])
async def look(job_id: FromPath[UUID], principal: MayReadJobs, resources: Opened) -> JobDetailOut:
    async with principal.tx(resources.ports.pool) as db:
        row = await find_job(db, principal.tenant_id, job_id)
        attempts = await list_attempts(db, principal.tenant_id, job_id)
    if row is None:
        raise NotFound(NO_JOB)
    return JobDetailOut(**_job_fields(row), attempts=[AttemptOut(**attempt) for attempt in attempts])


@get(
    "/{job_id:uuid}/events",
    media_type=EVENT_STREAM,
    opt=described(also={EVENT_STREAM: EVENTS}),
    responses={
        **problems("not_found"),
        200: ResponseSpec(None, description="Server-Sent Events up to the job's last."),
    },
    description=EVENTS_HELP,
    summary="Follow a job's events",
    tags=["jobs"],
)
async def events(
    job_id: FromPath[UUID],
    request: Request[Any, Any, Any],
    principal: MayReadJobs,
    resources: Opened,
    after: Annotated[str | None, QueryParameter(description="The number of the last event that you have.")] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="The same, as EventSource sends it.")
    ] = None,
) -> Response[Any]:
    position = read_position(request.headers, after)
    follower = await resources.ports.hub.join(principal.tenant_id, job_id, after=position, sees=principal.sees)
    return follow_stream(resources, follower, {"X-Job-ID": str(job_id)})


@post(
    "/{job_id:uuid}/cancel",
    status_code=200,
    opt=described(example={"mode": "forget"}),
    responses=problems("not_found"),
    summary="Cancel a job",
    tags=["jobs"],
)
async def cancel_(
    job_id: FromPath[UUID], principal: MayWriteJobs, resources: Opened, data: JSONBody[CancelIn | None] = None
) -> JobStateOut:
    """A waiting job is cancelled at once; a running one is told to stop, and `job.cancelled` says when it has. An ended
    one stays as it is."""
    mode = (data or CancelIn()).mode
    state = await cancel(resources.ports, principal.tenant_id, job_id, mode=mode, sees=principal.sees)
    return JobStateOut(job_id, public_state(state))


@post(
    "/{job_id:uuid}/retry",
    status_code=202,
    responses=problems("not_found", "conflict"),
    summary="Drive a job again",
    tags=["jobs"],
)
async def retry(job_id: FromPath[UUID], principal: MayWriteJobs, resources: Opened) -> Response[JobStateOut]:
    """Queue a failed or cancelled job again, with all its tries."""
    if not await redrive(resources.ports, principal.tenant_id, job_id, sees=principal.sees):
        await _refuse(principal, resources, job_id, "Only a failed or cancelled job can be driven again")
    return Response(JobStateOut(job_id, "queued"), headers={"Location": f"/api/jobs/{job_id}"})


@post(
    "/retry",
    status_code=202,
    opt=described(example={"states": ["failed"], "kind": "chat"}),
    responses=problems("not_found"),
    summary="Drive many jobs again",
    tags=["jobs"],
)
async def retry_many(data: JSONBody[RetryIn], principal: MayWriteJobs, resources: Opened) -> RetriedOut:
    """Queue failed jobs (or those of the named states, kind or ids) again, up to 1,000 in one call; `more` says that some
    are left."""
    return await retry_jobs(resources.ports, principal, data)


@delete("/{job_id:uuid}", responses=problems("not_found", "conflict"), summary="Delete a job", tags=["jobs"])
async def delete_(job_id: FromPath[UUID], principal: MayWriteJobs, resources: Opened) -> None:
    """Delete an ended job with its events; its messages stay in their session."""
    async with principal.tx(resources.ports.pool) as db:
        deleted = await delete_job(db, principal.tenant_id, job_id)
    if not deleted:
        await _refuse(principal, resources, job_id, "Only an ended job can be deleted; cancel it first")


async def _refuse(principal: Principal, resources: Resources, job_id: UUID, rule: str) -> None:
    """Raise Conflict with the job's state, or NotFound."""
    async with principal.tx(resources.ports.pool) as db:
        row = await find_job_state(db, principal.tenant_id, job_id)
    if row is None:
        raise NotFound(NO_JOB)
    raise Conflict(f"{rule}. This one is {public_state(row['state'])}.")


routes = Router("/jobs", route_handlers=[list_, look, events, cancel_, retry, retry_many, delete_])
