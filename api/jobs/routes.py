"""Routes of jobs: list, get, stream events, cancel, retry, delete."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter

from api.auth.principals import MayReadJobs, MayWriteJobs, Principal
from api.http.csv import CSV, CSV_HEADERS, columns_of, csv_response, wants_csv
from api.http.csv import MAX_ROWS as CSV_ROWS
from api.http.errors import problems
from api.http.headers import read_last_event_id
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.http.sse import EVENT_STREAM
from api.jobs.event_stream import resume_stream
from api.jobs.filters import read_job_filter
from api.jobs.retry import RetriedOut, RetryIn, retry_job_within_limits, retry_selected
from api.jobs.schemas import (
    DETAIL_EXAMPLE,
    JOB_EXAMPLE,
    AttemptOut,
    CancelIn,
    JobCountOut,
    JobDetailOut,
    JobOut,
    JobsOut,
    JobStateOut,
    job_out,
    shown_fields,
)
from api.openapi.events import describe_events
from api.openapi.operations import EVENTS, TEXT, described
from api.resources import AppResources, Resources
from schema.errors import Conflict, NotFound
from schema.metrics.catalog import SSE_RESUMES
from schema.queries.jobs import job_lists, jobs
from schema.states import public_state
from workers.queue.cancel import cancel

NO_JOB = "No such job."
JobId = Annotated[UUID, PathParameter(description="Id of the job.")]


@get(
    "/",
    opt=described(
        response={"items": [JOB_EXAMPLE], "next_cursor": None},
        other_media_types={CSV: TEXT},
        response_headers=CSV_HEADERS,
    ),
    responses={200: ResponseSpec(JobsOut, description="The jobs, newest first.", generate_examples=False)},
    dependencies={"job_filter": Provide(read_job_filter)},
    summary="List jobs",
    tags=["jobs"],
)
async def list_jobs(
    principal: MayReadJobs,
    request: Request[Any, Any, Any],
    resources: AppResources,
    job_filter: NamedDependency[job_lists.JobFilter],
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response[Any]:
    """Newest first. A page of the filters `agent`, `model` and `error` looks at 5,000 jobs: it may have few items, or none, and
    yet a `next_cursor`. With `Accept: text/csv` you get up to 5,000 jobs as a file."""
    before, as_csv = read_cursor("jobs", cursor, UUID), wants_csv(request.headers)
    async with principal.tx(resources.core.pool) as db:
        page = await job_lists.list_job_page(
            db, principal.tenant_id, job_filter, limit=CSV_ROWS if as_csv else limit, before=before
        )
    items = [job_out(row) for row in page.jobs]
    next_cursor = write_cursor("jobs", page.next_before) if page.next_before else None
    if as_csv:
        return csv_response("jobs", columns_of(JobOut), items, next_cursor=next_cursor)
    return Response(JobsOut(items, next_cursor))


@get(
    "/count",
    opt=described(response={"count": 128, "more": False}),
    dependencies={"job_filter": Provide(read_job_filter)},
    summary="Count jobs",
    tags=["jobs"],
)
async def count_jobs(
    principal: MayReadJobs, resources: AppResources, job_filter: NamedDependency[job_lists.JobFilter]
) -> JobCountOut:
    """Counts the jobs that GET /api/jobs would list, of the newest 10,000 that its other filters leave; `more` says that there
    may be others."""
    async with principal.tx(resources.core.pool) as db:
        return JobCountOut(*await job_lists.count_jobs(db, principal.tenant_id, job_filter))


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
    responses=problems("not_found", "conflict", "budget_exceeded"),
    summary="Retry a job",
    tags=["jobs"],
)
async def retry_job(job_id: JobId, principal: MayWriteJobs, resources: AppResources) -> Response[JobStateOut]:
    """Queues a failed or cancelled job again, with all its tries restored, if limits and budgets have room for it."""
    if not await retry_job_within_limits(resources, principal, job_id):
        await _raise_conflict(principal, resources, job_id, "Only a failed or cancelled job can be retried")
    return Response(JobStateOut(job_id, "queued"), headers={"Location": f"/api/jobs/{job_id}"})


@post(
    "/retry",
    status_code=202,
    opt=described(
        example={"states": ["failed"], "kind": "chat"},
        response={"retried": 1, "ids": [JOB_EXAMPLE["id"]], "more": False},
    ),
    responses=problems("not_found", "budget_exceeded"),
    summary="Retry jobs",
    tags=["jobs"],
)
async def retry_jobs(data: JSONBody[RetryIn], principal: MayWriteJobs, resources: AppResources) -> RetriedOut:
    """Queues failed jobs again, or those selected by `states`, `kind` or `ids`. A call retries at most 1,000 jobs; call again
    while `more` is true."""
    return await retry_selected(resources, principal, data)


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
    route_handlers=[list_jobs, count_jobs, get_job, stream_job_events, cancel_job, retry_job, retry_jobs, delete_job],
)
