"""`/v1/batches`: create, get, list and cancel batches of requests, compatible with OpenAI's API. A batch is a job."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.auth.principals import MayChat, MayReadJobs, MayWriteJobs, Principal
from api.batches.jobs import find_batch, stop_batch, submit_batch
from api.batches.objects import (
    BATCH_EXAMPLE,
    BATCH_ID,
    PREFIX,
    WINDOW,
    BatchesOut,
    BatchOut,
    batch_out,
    no_batch,
    parse_batch_id,
)
from api.files.routes import FILE_ID
from api.files.store import MAX_TTL_S, MIN_TTL_S
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.file_ids import parse_file_id
from api.openai.responses.schemas import Metadata
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS
from schema.errors import InputError, NotFound
from schema.ids import new_id
from schema.queries.batches import batches
from schema.queries.batches.batches import Batch
from schema.queries.files.files import find_file
from workers.batches.lines import ENDPOINTS

ROUTE = "POST /v1/batches"
BatchId = Annotated[str, PathParameter(max_length=64, description="Id of the batch: `batch_…`.")]


class ExpiresAfterIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long files are kept."""

    anchor: Annotated[Literal["created_at"], Meta(description="From when the time counts.")]
    seconds: Annotated[int, Meta(ge=MIN_TTL_S, le=MAX_TTL_S, description="How long: an hour to 30 days.")]


class BatchIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch to create."""

    input_file_id: Annotated[
        str, Meta(max_length=64, description="A file of the purpose `batch`, with a request on each line.")
    ]
    endpoint: Annotated[
        str,
        Meta(max_length=64, description=f"The route of all its requests: {', '.join(f'`{e}`' for e in ENDPOINTS)}."),
    ]
    completion_window: Annotated[Literal["24h"], Meta(description="How long it may take: `24h`.")]
    metadata: Metadata = None
    output_expires_after: Annotated[
        ExpiresAfterIn | UnsetType | None,
        Meta(description="How long the files of results are kept; for ever without it."),
    ] = UNSET


@post(
    "/batches",
    status_code=200,
    opt=described(
        example={"input_file_id": FILE_ID, "endpoint": "/v1/chat/completions", "completion_window": WINDOW},
        response=BATCH_EXAMPLE | {"status": "validating", "in_progress_at": None, "metadata": None},
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS),
    ),
    responses=problems("not_found", "queue_full", "idempotency_key_reused", "unavailable"),
    summary="Create a batch",
)
async def create_batch(
    data: JSONBody[BatchIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> BatchOut:
    """Executes the requests of a file in the background: each once, behind whatever somebody waits for, within the limits and
    budgets of your tenant. A request on a line is `{"custom_id": "…", "method": "POST", "url": "/v1/chat/completions", "body":
    {…}}`. The file is read after this; if it is not valid, the batch fails, and `errors` says why, by line."""
    file_id = await _require_input(resources, principal, data)
    expires = data.output_expires_after
    batch_id = await submit_batch(
        resources,
        principal,
        request,
        data,
        route=ROUTE,
        job_id=new_id(),
        input_file_id=file_id,
        endpoint=data.endpoint,
        output_ttl_s=expires.seconds if isinstance(expires, ExpiresAfterIn) else None,
        metadata=data.metadata,
    )
    return batch_out(await _require_batch(resources, principal, batch_id))


@get(
    "/batches",
    opt=described(
        response={
            "object": "list",
            "data": [BATCH_EXAMPLE],
            "first_id": BATCH_ID,
            "last_id": BATCH_ID,
            "has_more": False,
        }
    ),
    responses=problems("not_found"),
    summary="List batches",
)
async def list_batches(
    principal: MayReadJobs,
    resources: AppResources,
    after: Annotated[str | None, QueryParameter(max_length=64, description="`last_id` of the page before.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="How many.")] = 20,
) -> BatchesOut:
    """Newest first."""
    before = None if after is None else parse_batch_id(after, "after")
    async with principal.tx(resources.core.pool) as db:
        rows = await batches.list_batches(db, principal.tenant_id, limit=limit + 1, before=before)
    page = [batch_out(row) for row in rows[:limit]]
    ids = [batch.id for batch in page] or [None]
    return BatchesOut(data=page, first_id=ids[0], last_id=ids[-1], has_more=len(rows) > limit)


@get(
    "/batches/{batch_id:str}",
    opt=described(response=BATCH_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a batch",
)
async def retrieve_batch(batch_id: BatchId, principal: MayReadJobs, resources: AppResources) -> BatchOut:
    """Returns how far a batch is. `GET /api/jobs/{job_id}/events` follows it, with the rest of the id after `batch_`."""
    return batch_out(await _require_batch(resources, principal, parse_batch_id(batch_id)))


@post(
    "/batches/{batch_id:str}/cancel",
    status_code=200,
    opt=described(response=BATCH_EXAMPLE | {"status": "cancelling", "cancelling_at": 1_777_882_590}),
    responses=problems("not_found", "unavailable"),
    summary="Cancel a batch",
)
async def cancel_batch(batch_id: BatchId, principal: MayWriteJobs, resources: AppResources) -> BatchOut:
    """Stops a batch. It is `cancelling` until the requests that are on their way have stopped; what was answered is kept, in
    its files. One that has ended is returned as it is."""
    wanted = parse_batch_id(batch_id)
    batch = await _require_batch(resources, principal, wanted)
    await stop_batch(resources, principal, batch)
    return batch_out(await _require_batch(resources, principal, wanted))


async def _require_input(resources: Resources, principal: Principal, data: BatchIn) -> UUID:
    """Return the id of the input file. Raises NotFound, and InputError for another purpose or endpoint."""
    if data.endpoint not in ENDPOINTS:
        raise InputError(f"endpoint must be one of {', '.join(ENDPOINTS)}.", field="endpoint")
    file_id = parse_file_id(data.input_file_id, "input_file_id")
    async with principal.tx(resources.core.pool) as db:
        file = await find_file(db, principal.tenant_id, file_id)
    if file is None:
        message = f"No such file: {data.input_file_id!r}. POST /v1/files uploads it, with the purpose batch."
        raise NotFound(message, field="input_file_id")
    if file.purpose != "batch":
        message = f"The file's purpose is {file.purpose}; upload it with the purpose batch."
        raise InputError(message, field="input_file_id")
    return file_id


async def _require_batch(resources: Resources, principal: Principal, batch_id: UUID) -> Batch:
    batch = await find_batch(resources, principal, batch_id)
    if batch is None:
        raise no_batch(f"{PREFIX}{batch_id.hex}")
    return batch


routes = Router("/", route_handlers=[create_batch, list_batches, retrieve_batch, cancel_batch], tags=["openai"])
