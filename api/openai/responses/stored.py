"""Responses that are stored: get, stream again, cancel, delete, and the items of their input."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from api.auth.principals import MayReadJobs, MayWriteJobs, Principal
from api.http.errors import problems
from api.http.shutdown import ServerStopping
from api.http.sse import EVENT_STREAM, EventStream
from api.openai.conversations.settling import settle_of_response
from api.openai.responses.history import said_before
from api.openai.responses.input_items import input_items
from api.openai.responses.lookup import KnownResponse, fold_now, get_response, no_response, response_path
from api.openai.responses.objects import RESPONSE_EXAMPLE, ResponseOut
from api.openai.responses.response_stream import ResponseStream
from api.openapi.operations import RESPONSE_EVENTS, described
from api.resources import AppResources, Resources
from schema.errors import InputError, NotFound
from schema.queries.jobs.jobs import delete_job
from schema.queries.jobs.responses import hide_response
from schema.states import TERMINAL
from workers.queue.cancel import cancel
from workers.stream.follow import Follower

ResponseId = Annotated[str, PathParameter(max_length=64, description="Id of the response: `resp_…`.")]

CANCEL_WAIT_S = 5.0
"""How long the request waits for a running job to stop."""

GO_ON = "With stream=true and starting_after, the last sequence_number that you have, its stream goes on."
NO_RESPONSE = "Response with id 'resp_019a5c9e6f0a7c119f530c9d2f6f6b1e' not found."


class DeletedResponseOut(msgspec.Struct, frozen=True, kw_only=True):
    """A response that was deleted."""

    id: Annotated[str, Meta(description="Id of the response.")]
    object: Annotated[Literal["response"], Meta(description="Always `response`.")] = "response"
    deleted: Annotated[bool, Meta(description="Always true.")] = True


class InputItemsOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the items of a response's input."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[dict[str, Any]], Meta(description="The items of this page.")]
    first_id: Annotated[str | None, Meta(description="Id of the first of them; null if there is none.")]
    last_id: Annotated[str | None, Meta(description="Id of the last of them; null if there is none.")]
    has_more: Annotated[bool, Meta(description="Whether there are others: send `last_id` as `after`.")]


@get(
    "/responses/{response_id:str}",
    opt=described(
        response=RESPONSE_EXAMPLE,
        other_media_types={EVENT_STREAM: RESPONSE_EVENTS},
        response_headers={200: ("X-Job-ID",)},
    ),
    responses={
        200: ResponseSpec(
            ResponseOut, description="The response, or its events with `stream`.", generate_examples=False
        ),
        **problems(not_found=NO_RESPONSE),
    },
    summary="Get a response",
    tags=["openai"],
)
async def retrieve_response(
    response_id: ResponseId,
    principal: MayReadJobs,
    resources: AppResources,
    stream: Annotated[
        bool | None, QueryParameter(description="Stream the response's events, from the first, until it ends.")
    ] = None,
    starting_after: Annotated[
        int | None,
        QueryParameter(ge=0, le=2**31 - 1, description="With `stream`: only events after this `sequence_number`."),
    ] = None,
) -> Response[Any]:
    """The events are the same, byte for byte, while the response is generated and after its end. A client that leaves
    cancels nothing."""
    known = await get_response(resources, principal, response_id)
    headers = {"X-Job-ID": str(known.job.id)}
    if not stream:
        if starting_after is not None:
            raise InputError("starting_after requires stream=true.", field="starting_after")
        return Response(await _read(resources, principal, known), status_code=200, headers=headers)
    visible_user_id = principal.visible_user_id
    follower = await resources.core.hub.join(principal.tenant_id, known.job.id, visible_user_id=visible_user_id)
    after = -1 if starting_after is None else starting_after
    stopping = ServerStopping(response_path(known.job.id), str(known.job.id), GO_ON)
    events = _until_shutdown(resources, follower, ResponseStream(follower, known.request, after=after), stopping)
    return EventStream(events, shutdown=None, headers=headers)


async def _until_shutdown(
    resources: Resources, follower: Follower, stream: ResponseStream, stopping: ServerStopping
) -> AsyncGenerator[bytes, None]:
    """Yield the events; when this process begins to end, the last one says where to go on."""
    with resources.shutdown.tells(lambda: follower.interrupt(stopping)):
        async with aclosing(stream.read()) as events:
            async for event in events:
                yield event


@post(
    "/responses/{response_id:str}/cancel",
    status_code=200,
    opt=described(
        response=RESPONSE_EXAMPLE
        | {"status": "cancelled", "incomplete_details": {"reason": "cancelled"}, "output": [], "usage": None}
    ),
    responses=problems(not_found=NO_RESPONSE),
    summary="Cancel a response",
    tags=["openai"],
)
async def cancel_response(response_id: ResponseId, principal: MayWriteJobs, resources: AppResources) -> ResponseOut:
    """Cancels a response that has not ended, in the background or not; one that has ended is returned as it is."""
    known = await get_response(resources, principal, response_id)
    await _stop(resources, principal, known)
    return await _read(resources, principal, await get_response(resources, principal, response_id))


@delete(
    "/responses/{response_id:str}",
    status_code=200,
    opt=described(response={"id": RESPONSE_EXAMPLE["id"], "object": "response", "deleted": True}),
    responses=problems(not_found=NO_RESPONSE),
    summary="Delete a response",
    tags=["openai"],
)
async def delete_response(
    response_id: ResponseId, principal: MayWriteJobs, resources: AppResources
) -> DeletedResponseOut:
    """Deletes a response and its job; one that has not ended is cancelled first."""
    known = await get_response(resources, principal, response_id)
    await _stop(resources, principal, known)
    if known.request.conversation is not None:
        await settle_of_response(resources, principal, known.request.conversation)
    async with principal.tx(resources.core.pool) as db:
        gone = await delete_job(db, principal.tenant_id, known.job.id)
        gone = gone or await hide_response(db, principal.tenant_id, known.job.id)
    if not gone:
        raise no_response(response_id)
    return DeletedResponseOut(id=response_id)


@get(
    "/responses/{response_id:str}/input_items",
    opt=described(
        response={
            "object": "list",
            "data": [
                {
                    "id": "msg_019a5c9e6f0a7c119f530c9d2f6f6b1e_in_0",
                    "type": "message",
                    "status": "completed",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "What is a headrace?"}],
                }
            ],
            "first_id": "msg_019a5c9e6f0a7c119f530c9d2f6f6b1e_in_0",
            "last_id": "msg_019a5c9e6f0a7c119f530c9d2f6f6b1e_in_0",
            "has_more": False,
        }
    ),
    responses=problems(not_found=NO_RESPONSE),
    summary="List the input items of a response",
    tags=["openai"],
)
async def list_input_items(
    response_id: ResponseId,
    principal: MayReadJobs,
    resources: AppResources,
    after: Annotated[
        str | None, QueryParameter(max_length=80, description="Id of the item after which the page begins.")
    ] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Maximum number of items.")] = 20,
    order: Annotated[
        Literal["asc", "desc"], QueryParameter(description="Oldest first (`asc`) or newest first (`desc`).")
    ] = "desc",
) -> InputItemsOut:
    """The items of earlier responses that this one continues are among them; its instructions are not."""
    known = await get_response(resources, principal, response_id, messages=True)
    items = input_items(known.job.id, said_before(known))
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise NotFound(f"Item with id '{after}' not found.", field="after")
    begin = 0 if after is None else ids.index(after) + 1
    page = items[begin : begin + limit]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return InputItemsOut(data=page, first_id=first, last_id=last, has_more=begin + limit < len(items))


async def _read(resources: Resources, principal: Principal, known: KnownResponse) -> ResponseOut:
    return (await fold_now(resources, principal, known.job, known.request)).response()


async def _stop(resources: Resources, principal: Principal, known: KnownResponse) -> None:
    """Cancel the response's job, and wait for its end for a moment."""
    core, tenant_id, whose = resources.core, principal.tenant_id, principal.visible_user_id
    if known.job.state in TERMINAL:
        return
    if await cancel(core, tenant_id, known.job.id, visible_user_id=whose) in TERMINAL:
        return
    follower = await core.hub.join(tenant_id, known.job.id, visible_user_id=whose)
    async with follower:
        try:
            async with asyncio.timeout(CANCEL_WAIT_S):
                async for _ in follower.chunks(heartbeat_s=None):
                    pass
        except TimeoutError:
            return


routes = Router("/", route_handlers=[retrieve_response, cancel_response, delete_response, list_input_items])
