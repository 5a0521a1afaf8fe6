"""Route that streams what changes in a tenant: jobs, documents, webhook deliveries."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from msgspec import Meta

from api.auth.principals import MayReadJobs, Principal, authenticate_caller
from api.documents.schemas import DocumentOut
from api.events.feeds import NO_PLACE, PLACE, Listener, Visibility
from api.events.rows import read_rows
from api.http.errors import problems
from api.http.sse import EVENT_STREAM, EventStream
from api.jobs.schemas import JobOut
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.webhooks.schemas import DeliveryOut
from schema.errors import HeadraceError, InputError, Unavailable
from schema.identity.rights import Right
from workers.stream.changes import Change, Noun
from workers.stream.follow import KEEP_ALIVE

CHECK_S = 15.0  # how often is checked whether the caller may still read, and how long a stream is silent
RIGHTS: dict[Noun, Right] = {"jobs": "jobs.read", "documents": "documents.read", "deliveries": "webhooks.manage"}
NOT_AN_ID = (
    "Last-Event-ID must be the id of an event of this stream, such as 1767225600000-0; leave it out to begin now."
)
SIGNED_OUT = b'event: stream.closed\ndata: {"reason":"signed_out"}\n\n'

Ids = Annotated[list[UUID], Meta(description="Ids of rows that are no longer there.")]


class DeletedRowsOut(msgspec.Struct, frozen=True):
    """What is no longer there."""

    jobs: Ids
    documents: Ids
    deliveries: Ids


class ChangedRowsOut(msgspec.Struct, frozen=True, kw_only=True):
    """The `data` of an event `changes`: rows as they are now, in place of those with the same ids."""

    jobs: Annotated[list[JobOut], Meta(description="Jobs, as GET /api/jobs shows them.")]
    documents: Annotated[list[DocumentOut], Meta(description="Documents, as GET /api/documents shows them.")]
    deliveries: Annotated[
        list[DeliveryOut], Meta(description="Deliveries, as GET /api/webhooks/deliveries shows them.")
    ]
    deleted: Annotated[DeletedRowsOut, Meta(description="What is no longer there.")]
    reload: Annotated[
        list[Noun], Meta(description="Lists to read again: too much of them has changed for one message.")
    ]


HELP = """Streams what changes in your tenant as Server-Sent Events, at most four a second, until you close it. You get what you
may see: your own jobs, or all with a role that sees all; documents with the right `documents.read`, deliveries with
`webhooks.manage`.

- `opened` comes first, with `{"resumed": false}`: read your lists after it. It is `true` if the stream goes on after
  `Last-Event-ID` (or `after`) without a gap. It may come again, if the connection behind the stream was lost.
- `changes` has rows as they are now (see the schema). Replace those with the same ids.
- `stream.closed` with `{"reason": "signed_out"}` ends the stream when its key or sign-in ends.

What changed is kept for ten minutes after the last stream of a tenant, 2,000 entries of it.
"""


@get(
    "/events",
    media_type=EVENT_STREAM,
    opt=described(),
    responses={
        **problems("unavailable"),
        200: ResponseSpec(
            ChangedRowsOut, description="Server-Sent Events; the schema is that of `changes`.", media_type=EVENT_STREAM
        ),
    },
    description=HELP,
    summary="Stream what changes",
    tags=["jobs"],
)
async def stream_changes(
    request: Request[Any, Any, Any],
    principal: MayReadJobs,
    resources: AppResources,
    after: Annotated[
        str | None,
        QueryParameter(max_length=40, description="Id of the last event received; overrides `Last-Event-ID`."),
    ] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="Id of the last event received.")
    ] = None,
) -> EventStream:
    place = after or request.headers.get("last-event-id", "")
    if place and not PLACE.fullmatch(place):
        raise InputError(NOT_AN_ID, field="after" if after else "Last-Event-ID")
    nouns = frozenset[Noun](noun for noun, right in RIGHTS.items() if right in principal.rights)
    sees = Visibility(visible_user_id=principal.visible_user_id, nouns=nouns)
    read = partial(read_rows, resources.core.pool, resources.core.redis)
    listener = await resources.feeds.open(principal.tenant_id, sees, place, read)
    frames = _frames(resources, principal, listener, lambda: _may_still_read(request))
    return EventStream(frames, shutdown=resources.shutdown, headers={})


async def _may_still_read(request: Request[Any, Any, Any]) -> bool:
    """Whether the caller's key or sign-in is still good for this. While that can't be checked, it is."""
    try:
        principal = await authenticate_caller(request, "jobs.read")
    except Unavailable:
        return True
    except HeadraceError:
        return False
    return "jobs.read" in principal.rights


async def _frames(
    resources: Resources, principal: Principal, listener: Listener, may_still_read: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    listener.wake.set()
    check_at = loop.time() + CHECK_S
    try:
        while True:
            try:
                async with asyncio.timeout_at(check_at):
                    await listener.wake.wait()
            except TimeoutError:
                yield KEEP_ALIVE
            if loop.time() >= check_at:
                if not await may_still_read():
                    yield SIGNED_OUT
                    return
                check_at = loop.time() + CHECK_S
            for frame in _take(listener):
                yield frame
    finally:
        resources.feeds.leave(principal.tenant_id, listener)


def _take(listener: Listener) -> list[bytes]:
    """Return the frames of what a listener has, and empty it."""
    listener.wake.clear()
    frames: list[bytes] = []
    if listener.is_new:
        listener.is_new = False
        frames.append(_frame("opened", listener.place, {"resumed": listener.resumed}))
    if listener.rows or listener.deleted or listener.reload:
        frames.append(_frame("changes", listener.place, _changes(listener)))
        listener.rows, listener.deleted, listener.reload = {}, {}, set()
    return frames


def _changes(listener: Listener) -> dict[str, Any]:
    rows = {noun: [row.body for row in listener.rows.values() if row.noun == noun] for noun in RIGHTS}
    return {**rows, "deleted": _ids(listener.deleted), "reload": sorted(listener.reload)}


def _ids(changes: dict[Change, None]) -> dict[str, list[UUID]]:
    return {noun: [change.id for change in changes if change.noun == noun] for noun in RIGHTS}


def _frame(name: str, place: str, data: Any) -> bytes:
    id_line = b"" if place == NO_PLACE else b"id: %s\n" % place.encode()
    return id_line + b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


routes = Router("/", route_handlers=[stream_changes])
