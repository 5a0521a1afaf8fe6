"""Routes of jobs: list, get, stream events, cancel, retry, delete."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter

from api.auth.principals import MayReadJobs, MayWriteJobs, Principal
from api.http.errors import problems
from api.http.headers import read_last_event_id
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.http.sse import EVENT_STREAM
from api.jobs.event_stream import resume_stream
from api.jobs.retry import RetriedOut, RetryIn, retry_selected
from api.jobs.schemas import (
    DETAIL_EXAMPLE,
    JOB_EXAMPLE,
    AttemptOut,
    CancelIn,
    JobDetailOut,
    JobsOut,
    JobStateOut,
    job_out,
    shown_fields,
)
from api.openapi.events import describe_events
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from schema.errors import Conflict, NotFound
from schema.job_kinds import Kind
from schema.metrics.catalog import SSE_RESUMES
from schema.queries.jobs import job_lists, jobs
from schema.states import (
    WAITING,
    PublicState,
    State,
    public_state,
)
from workers.queue.cancel import cancel, retry

NO_JOB = "No such job."
JobId = Annotated[UUID, PathParameter(description="Id of the job.")]
INTERNAL_STATES: dict[PublicState, list[State]] = {"queued": list(WAITING)}


@get(
    "/",
    opt=described(response={"items": [JOB_EXAMPLE], "next_cursor": None}),
    summary="List jobs",
    tags=["jobs"],
)
async def list_jobs(
    principal: MayReadJobs,
    resources: AppResources,
    kind: Annotated[Kind | None, QueryParameter(description="Only jobs of this kind.")] = None,
    public_states: Annotated[
        list[PublicState] | None,
        QueryParameter(name="state", description="Only jobs in this state. Repeat to select several states."),
    ] = None,
    session_id: Annotated[UUID | None, QueryParameter(description="Only jobs of this session.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> JobsOut:
    """Newest first."""
    before = read_cursor("jobs", cursor, UUID)
    states = [inner for public in public_states or [] for inner in INTERNAL_STATES.get(public, [public])]
    async with principal.tx(resources.core.pool) as db:
        rows = await job_lists.list_jobs(
            db,
            principal.tenant_id,
            limit=limit + 1,
            before=before,
            kind=kind,
            states=states,
            session_id=session_id,
            user_id=principal.visible_user_id,
        )
    items = [job_out(row) for row in rows[:limit]]
    return JobsOut(items, write_cursor("jobs", items[-1].id) if len(rows) > limit else None)


EVENTS_HELP = f"""Streams the job's events as Server-Sent Events and closes after the last one. Starts with the first event, or
after the one named by `Last-Event-ID` or `after`, so a client that lost its connection can resume without gaps. If the job has
ended and that was its last event, the answer is `204`, which ends the reconnecting of a browser's `EventSource`.

Each event has `id:` (1, 2, 3, … without gaps), `event:` and `data:`, a JSON object with `job_id`, `seq`, `at` and:

{describe_events()}
"""


@get(
    "/{job_id:uuid}",
    opt=described(response=DETAIL_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a job",
    tags=["jobs"],
)
async def get_job(job_id: JobId, principal: MayReadJobs, resources: AppResources) -> JobDetailOut:
    """Returns the job with its attempts. To wait for its end, stream `GET /api/jobs/{job_id}/events`."""
    async with principal.tx(resources.core.pool) as db:
        row = await jobs.find_job(db, principal.tenant_id, job_id)
        attempts = await jobs.list_attempts(db, principal.tenant_id, job_id)
    if row is None:
        raise NotFound(NO_JOB)
    return from_row(
        JobDetailOut, row, **shown_fields(row), attempts=[from_row(AttemptOut, attempt) for attempt in attempts]
    )


@get(
    "/{job_id:uuid}/events",
    media_type=EVENT_STREAM,
    opt=described(other_media_types={EVENT_STREAM: EVENTS}, response_headers={200: ("X-Job-ID",)}),
    responses={
        **problems("not_found"),
        200: ResponseSpec(None, description="Server-Sent Events, up to and including the job's last one."),
        204: ResponseSpec(None, description="The job has ended, and the client has its last event."),
    },
    description=EVENTS_HELP,
    summary="Stream a job's events",
    tags=["jobs"],
)
async def stream_job_events(
    job_id: JobId,
    request: Request[Any, Any, Any],
    principal: MayReadJobs,
    resources: AppResources,
    after: Annotated[
        str | None, QueryParameter(description="Number of the last event received; overrides `Last-Event-ID`.")
    ] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="Number of the last event received.")
    ] = None,
) -> Response[Any]:
    position = read_last_event_id(request.headers, after)
    if position:
        SSE_RESUMES.of().inc()
    follower = await resources.core.hub.join(
        principal.tenant_id, job_id, after=position, visible_user_id=principal.visible_user_id
    )
    return await resume_stream(resources, follower, {"X-Job-ID": str(job_id)})


@post(
    "/{job_id:uuid}/cancel",
    status_code=200,
    opt=described(example={"mode": "forget"}, response={"job_id": JOB_EXAMPLE["id"], "state": "cancelled"}),
    responses=problems("not_found"),
    summary="Cancel a job",
    tags=["jobs"],
)
async def cancel_job(
    job_id: JobId, principal: MayWriteJobs, resources: AppResources, data: JSONBody[CancelIn | None] = None
) -> JobStateOut:
    """A queued job is cancelled immediately. A running job is told to stop; the event `job.cancelled` follows when it has.
    A job that has ended is not changed."""
    mode = (data or CancelIn()).mode
    state = await cancel(
        resources.core, principal.tenant_id, job_id, mode=mode, visible_user_id=principal.visible_user_id
    )
    return JobStateOut(job_id, public_state(state))


@post(
    "/{job_id:uuid}/retry",
    status_code=202,
    opt=described(response={"job_id": JOB_EXAMPLE["id"], "state": "queued"}, response_headers={202: ("Location",)}),
    responses=problems("not_found", "conflict"),
    summary="Retry a job",
    tags=["jobs"],
)
async def retry_job(job_id: JobId, principal: MayWriteJobs, resources: AppResources) -> Response[JobStateOut]:
    """Queues a failed or cancelled job again, with all its tries restored."""
    if not await retry(resources.core, principal.tenant_id, job_id, visible_user_id=principal.visible_user_id):
        await _raise_conflict(principal, resources, job_id, "Only a failed or cancelled job can be retried")
    return Response(JobStateOut(job_id, "queued"), headers={"Location": f"/api/jobs/{job_id}"})


@post(
    "/retry",
    status_code=202,
    opt=described(
        example={"states": ["failed"], "kind": "chat"},
        response={"retried": 1, "ids": [JOB_EXAMPLE["id"]], "more": False},
    ),
    responses=problems("not_found"),
    summary="Retry jobs",
    tags=["jobs"],
)
async def retry_jobs(data: JSONBody[RetryIn], principal: MayWriteJobs, resources: AppResources) -> RetriedOut:
    """Queues failed jobs again, or those selected by `states`, `kind` or `ids`. A call retries at most 1,000 jobs; call again
    while `more` is true."""
    return await retry_selected(resources.core, principal, data)


@delete("/{job_id:uuid}", responses=problems("not_found", "conflict"), summary="Delete a job", tags=["jobs"])
async def delete_job(job_id: JobId, principal: MayWriteJobs, resources: AppResources) -> None:
    """Deletes a job that has ended, with its events. Its messages stay in their session."""
    async with principal.tx(resources.core.pool) as db:
        deleted = await jobs.delete_job(db, principal.tenant_id, job_id)
    resources.core.relay.changes.note(principal.tenant_id, "jobs", job_id)
    if not deleted:
        await _raise_conflict(principal, resources, job_id, "Only a job that has ended can be deleted; cancel it first")


async def _raise_conflict(principal: Principal, resources: Resources, job_id: UUID, rule: str) -> None:
    """Raise Conflict with the job's state, or NotFound."""
    async with principal.tx(resources.core.pool) as db:
        row = await jobs.find_job_status(db, principal.tenant_id, job_id)
    if row is None:
        raise NotFound(NO_JOB)
    raise Conflict(f"{rule}. This job is {public_state(row.state)}.")


routes = Router(
    "/jobs",
    route_handlers=[list_jobs, get_job, stream_job_events, cancel_job, retry_job, retry_jobs, delete_job],
)
