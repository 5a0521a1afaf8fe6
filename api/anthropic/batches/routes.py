"""`/v1/messages/batches`: create, get, list, cancel and delete batches of messages, and their results, compatible with
Anthropic's API. A batch is a job."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.response import Stream

from api.anthropic.batches.create import ENDPOINT, MessageBatchIn, create
from api.anthropic.batches.objects import (
    BATCH_ID,
    MESSAGE_BATCH_EXAMPLE,
    DeletedMessageBatchOut,
    MessageBatchesOut,
    MessageBatchOut,
    message_batch_out,
    no_batch,
    parse_batch_id,
    write_batch_id,
)
from api.anthropic.batches.results import read_results
from api.anthropic.messages import EXAMPLE
from api.auth.principals import MayChat, MayReadJobs, MayWriteJobs, Principal
from api.batches.jobs import find_batch, stop_batch
from api.documents.content import BYTES, start_reading
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS
from schema.errors import InputError
from schema.queries.batches import batches
from schema.queries.batches.batches import Batch
from schema.queries.files.files import delete_file
from schema.queries.jobs.jobs import delete_job

MAX_PAGE = 1000
ENDED_EXAMPLE: dict[str, Any] = MESSAGE_BATCH_EXAMPLE | {
    "processing_status": "ended",
    "request_counts": {"processing": 0, "succeeded": 997, "errored": 3, "canceled": 0, "expired": 0},
    "ended_at": "2026-05-04T08:31:02Z",
    "results_url": f"/v1/messages/batches/{BATCH_ID}/results",
}
BatchId = Annotated[str, PathParameter(max_length=64, description="Id of the batch: `msgbatch_…`.")]


@post(
    "/messages/batches",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example={"requests": [{"custom_id": "first", "params": EXAMPLE}]},
        response=MESSAGE_BATCH_EXAMPLE,
        request_headers=("Idempotency-Key", "anthropic-version", "anthropic-beta", *CALLBACK_HEADERS),
    ),
    responses=problems("storage_full", "queue_full", "idempotency_key_reused", "unavailable"),
    summary="Create a batch of messages",
)
async def create_message_batch(
    data: JSONBody[MessageBatchIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> MessageBatchOut:
    """Executes requests for messages in the background: each once, behind whatever somebody waits for, within the limits and
    budgets of your tenant. Each goes through `POST /v1/messages`; what that refuses is the result of the request."""
    batch_id = await create(resources, principal, request, data)
    return message_batch_out(await _require_batch(resources, principal, batch_id))


@get(
    "/messages/batches",
    opt=described(
        response={"data": [ENDED_EXAMPLE], "has_more": False, "first_id": BATCH_ID, "last_id": BATCH_ID},
        request_headers=("anthropic-version",),
    ),
    responses=problems("not_found"),
    summary="List batches of messages",
)
async def list_message_batches(
    principal: MayReadJobs,
    resources: AppResources,
    after_id: Annotated[str | None, QueryParameter(max_length=64, description="Older ones than this batch.")] = None,
    before_id: Annotated[str | None, QueryParameter(max_length=64, description="Newer ones than this batch.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="How many.")] = 20,
) -> MessageBatchesOut:
    """Newest first."""
    if after_id is not None and before_id is not None:
        raise InputError("Send after_id or before_id, not both.", field="before_id")
    older = None if after_id is None else parse_batch_id(after_id, "after_id")
    newer = None if before_id is None else parse_batch_id(before_id, "before_id")
    async with principal.tx(resources.core.pool) as db:
        rows = await batches.list_batches(
            db, principal.tenant_id, limit=limit + 1, before=older, after=newer, endpoint=ENDPOINT
        )
    kept = rows[-limit:] if newer is not None else rows[:limit]
    ids = [write_batch_id(row.id) for row in kept] or [None]
    page = [message_batch_out(row) for row in kept]
    return MessageBatchesOut(data=page, has_more=len(rows) > limit, first_id=ids[0], last_id=ids[-1])


@get(
    "/messages/batches/{batch_id:str}",
    opt=described(response=MESSAGE_BATCH_EXAMPLE, request_headers=("anthropic-version",)),
    responses=problems("not_found"),
    summary="Get a batch of messages",
)
async def retrieve_message_batch(batch_id: BatchId, principal: MayReadJobs, resources: AppResources) -> MessageBatchOut:
    """Returns the state of a batch. `GET /api/jobs/{job_id}/events` follows it, with the rest of the id after `msgbatch_`."""
    return message_batch_out(await _require_batch(resources, principal, parse_batch_id(batch_id)))


@get(
    "/messages/batches/{batch_id:str}/results",
    media_type=BYTES,
    opt=described(
        other_media_types={BYTES: Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)},
        request_headers=("anthropic-version",),
    ),
    responses={
        200: ResponseSpec(bytes, description="A result a line, as JSON.", media_type=BYTES, generate_examples=False),
        **problems("not_found", "unavailable"),
    },
    summary="Get the results of a batch of messages",
)
async def read_message_batch_results(
    batch_id: BatchId, principal: MayReadJobs, resources: AppResources
) -> Response[Any]:
    """Returns a line for each request: its `custom_id`, and the `result`: `succeeded` with the message, `errored` with the
    error, `canceled` or `expired`. Answers come first, in the order of the requests."""
    batch = await _require_batch(resources, principal, parse_batch_id(batch_id))
    shown = message_batch_out(batch)
    if shown.results_url is None:
        reason = "has not ended" if batch.outcome is None else "is too old: its results are deleted"
        raise InputError(f"This batch {reason}. Its processing_status is {shown.processing_status}.", field="batch_id")
    if batch.output_file_id is None and batch.error_file_id is None:
        reason = (batch.errors or [{}])[0].get("message", "The batch failed.")
        raise InputError(f"This batch has no results. {reason}", field="batch_id")
    return Stream(await start_reading(read_results(resources, principal.tenant_id, batch)), media_type=BYTES)


@post(
    "/messages/batches/{batch_id:str}/cancel",
    status_code=200,
    opt=described(
        response=MESSAGE_BATCH_EXAMPLE
        | {"processing_status": "canceling", "cancel_initiated_at": "2026-05-04T08:16:02Z"},
        request_headers=("anthropic-version",),
    ),
    responses=problems("not_found", "unavailable"),
    summary="Cancel a batch of messages",
)
async def cancel_message_batch(batch_id: BatchId, principal: MayWriteJobs, resources: AppResources) -> MessageBatchOut:
    """Stops a batch. It is `canceling` until the requests that are on their way have stopped; what was answered is kept. One
    that has ended is returned as it is."""
    wanted = parse_batch_id(batch_id)
    batch = await _require_batch(resources, principal, wanted)
    await stop_batch(resources, principal, batch)
    return message_batch_out(await _require_batch(resources, principal, wanted))


@delete(
    "/messages/batches/{batch_id:str}",
    status_code=200,
    opt=described(response={"id": BATCH_ID, "type": "message_batch_deleted"}, request_headers=("anthropic-version",)),
    responses=problems("not_found", "unavailable"),
    summary="Delete a batch of messages",
)
async def delete_message_batch(
    batch_id: BatchId, principal: MayWriteJobs, resources: AppResources
) -> DeletedMessageBatchOut:
    """Deletes a batch that has ended, with its requests, its results and its job."""
    wanted = parse_batch_id(batch_id)
    batch = await _require_batch(resources, principal, wanted)
    if batch.outcome is None:
        raise InputError("This batch has not ended. Cancel it first, and wait until it has.", field="batch_id")
    async with principal.tx(resources.core.pool) as db:
        if not await delete_job(db, principal.tenant_id, wanted):
            raise no_batch(batch_id)
        for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                await delete_file(db, principal.tenant_id, file_id)
    return DeletedMessageBatchOut(id=batch_id)


async def _require_batch(resources: Resources, principal: Principal, batch_id: UUID) -> Batch:
    batch = await find_batch(resources, principal, batch_id)
    if batch is None or batch.endpoint != ENDPOINT:
        raise no_batch(write_batch_id(batch_id))
    return batch


routes = Router(
    "/",
    route_handlers=[
        *(create_message_batch, list_message_batches, retrieve_message_batch, read_message_batch_results),
        *(cancel_message_batch, delete_message_batch),
    ],
    tags=["anthropic"],
)
