"""`/api/embed/{key}`: what a widget in somebody's page calls. Its key is public, and its visitors are strangers: they may ask
one agent, read their own conversation, and stop an answer. `gate.py` has looked at the origin before."""

from typing import Annotated, Any

import structlog
from litestar import Request, Response, Router, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, PathParameter, QueryParameter
from msgspec.json import encode
from msgspec.structs import replace

from api.auth.principals import PUBLIC
from api.chat.routes import build_chat
from api.chat.schemas import ChatIn
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.headers import read_last_event_id
from api.http.sse import EVENT_STREAM
from api.jobs.event_stream import follow_stream, resume_stream
from api.jobs.submit import Accepted, submit_and_follow
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from api.widgets.frames import for_visitors
from api.widgets.gate import Embedded, embedded_in
from api.widgets.schemas import (
    MESSAGES_EXAMPLE,
    EmbeddedOut,
    VisitorMessageIn,
    VisitorMessageOut,
    VisitorMessagesOut,
)
from api.widgets.visits import TOO_MANY, NewVisit, begin_visit, count_call, find_conversation, require_conversation
from graphs.providers.tokens import estimate_tokens
from schema.errors import Conflict, HeadraceError, InputError, LimitReached, QueueFull, SessionBusy, Unavailable
from schema.job_kinds import INTERACTIVE
from schema.postgres.connections import tenant_tx
from schema.queries.sessions.sessions import SessionMessage, list_messages
from workers.queue.cancel import cancel

log = structlog.get_logger()

MAX_TURNS = 100
"""Messages of one conversation: each is read again with the next, and paid for."""
BUSY = "The answer to the message before is still being written. Wait for its end, or stop it."
SHOWN_MESSAGES = 2 * MAX_TURNS
REFUSALS = ("not_found", "forbidden", "rate_limit_exceeded", "unavailable")
LIMITED = {"rate": "guesses"}
VISIT = "`Authorization: Bearer hrv_…` names the conversation"
Key = Annotated[str, PathParameter(description="The widget's public key, `hrw_…`.")]


@get(
    "/{key:str}",
    opt=described(response={"title": "", "greeting": "Hello! What are you looking for?"}) | PUBLIC | LIMITED,
    responses=problems(*REFUSALS),
    summary="Open a widget",
)
async def open_widget(key: Key, request: Request[Any, Any, Any], resources: AppResources) -> EmbeddedOut:
    """What the widget shows at first, for a page of its origins."""
    embedded = await _enter(resources, request)
    return EmbeddedOut(embedded.widget.title, embedded.widget.greeting)


@post(
    "/{key:str}/messages",
    status_code=200,
    media_type=EVENT_STREAM,
    opt=described(example={"text": "Do you have robusta?"}, other_media_types={EVENT_STREAM: EVENTS}) | PUBLIC,
    responses={
        **problems("unauthenticated", "session_busy", "conflict", *REFUSALS),
        200: ResponseSpec(None, description="Server-Sent Events, up to and including the last one."),
    },
    summary="Ask as a visitor",
    description=f"""Streams the answer. {VISIT}; without it a new one begins, and the first event, `opened`, has its secret
(`visit`). Then come `delta` (`text`: append it), `working`, `restarted` (`discard_after`: drop the text after that event),
`completed` (`text`: all of it), and at the end `ended`, `stopped` or `failed`.""",
)
async def send_visitor_message(
    key: Key, data: JSONBody[VisitorMessageIn], request: JsonRequest, resources: AppResources
) -> Response[Any]:
    embedded = await _enter(resources, request, message=True)
    if not data.text.strip():
        raise InputError("text must not be empty.", field="text")
    found = await find_conversation(resources, embedded, request.headers)
    if found is not None and found.turns >= MAX_TURNS:
        raise Conflict("This conversation has become long. Please begin a new one.")
    new = begin_visit(embedded) if found is None else None
    chat = ChatIn(
        message=data.text,
        agent=embedded.widget.agent,
        session_id=found.session_id if found else None,
        on_busy="reject",
    )
    accepted = await _submit(resources, embedded, chat, new)
    opened = b"event: opened\ndata: %s\n\n" % encode({"visit": new.secret}) if new else b""
    return follow_stream(resources, accepted.follower, {}, shown=for_visitors, first=opened)


@get(
    "/{key:str}/messages",
    opt=described(response=MESSAGES_EXAMPLE) | PUBLIC | LIMITED,
    responses=problems("unauthenticated", *REFUSALS),
    summary="Read a visitor's conversation",
    description=f"{VISIT}. Its last {SHOWN_MESSAGES} messages.",
)
async def list_visitor_messages(
    key: Key, request: Request[Any, Any, Any], resources: AppResources
) -> VisitorMessagesOut:
    embedded = await _enter(resources, request)
    found = await require_conversation(resources, embedded, request.headers)
    tenant_id = embedded.principal.tenant_id
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        rows = await list_messages(db, tenant_id, found.session_id, limit=SHOWN_MESSAGES)
    items = [_message(row) for row in rows if row.role in ("user", "assistant")]
    return VisitorMessagesOut([one for one in items if one.text], found.live)


@get(
    "/{key:str}/events",
    media_type=EVENT_STREAM,
    opt=described(other_media_types={EVENT_STREAM: EVENTS}) | PUBLIC | LIMITED,
    responses={
        **problems("unauthenticated", *REFUSALS),
        200: ResponseSpec(None, description="Server-Sent Events, up to and including the last one."),
        204: ResponseSpec(None, description="There is nothing more to come."),
    },
    summary="Follow the answer to a visitor",
    description=f"The events of the answer that is being written, from its beginning or after `Last-Event-ID`. {VISIT}.",
)
async def follow_visitor_answer(
    key: Key,
    request: Request[Any, Any, Any],
    resources: AppResources,
    after: Annotated[
        str | None, QueryParameter(description="Number of the last event received; overrides `Last-Event-ID`.")
    ] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="Number of the last event received.")
    ] = None,
) -> Response[Any]:
    embedded = await _enter(resources, request)
    found = await require_conversation(resources, embedded, request.headers)
    if found.job_id is None:
        return Response(None, status_code=204)
    position = read_last_event_id(request.headers, after)
    follower = await resources.core.hub.join(embedded.principal.tenant_id, found.job_id, after=position)
    return await resume_stream(resources, follower, {}, shown=for_visitors)


@post(
    "/{key:str}/stop",
    status_code=204,
    opt=PUBLIC | LIMITED,
    responses=problems("unauthenticated", *REFUSALS),
    summary="Stop the answer to a visitor",
    description=f"What was written stays. {VISIT}.",
)
async def stop_visitor_answer(key: Key, request: Request[Any, Any, Any], resources: AppResources) -> None:
    embedded = await _enter(resources, request)
    found = await require_conversation(resources, embedded, request.headers)
    if found.job_id is not None and found.live:
        await cancel(resources.core, embedded.principal.tenant_id, found.job_id)


async def _enter(resources: Resources, request: Request[Any, Any, Any], *, message: bool = False) -> Embedded:
    embedded = embedded_in(request.scope)
    await count_call(resources, embedded, message=message)
    return embedded


async def _submit(resources: Resources, embedded: Embedded, chat: ChatIn, new: NewVisit | None) -> Accepted:
    """Submit a visitor's message. Raises what visitors may know of: that their conversation is busy, or that it does not work
    now. Which model is missing, or whose budget is spent, is in the log."""
    try:
        submission = await build_chat(chat, embedded.principal, resources)
        if new is not None:
            submission = replace(submission, session_id=new.session_id, extra_statements=(new.statement,))
        submission = replace(
            submission,
            payload={**submission.payload, INTERACTIVE: True},
            request_id=embedded.principal.request_id,
        )
        tokens = estimate_tokens(len(str(chat.message)))
        return await submit_and_follow(resources, embedded.principal, submission, input_tokens=tokens, max_tokens=None)
    except SessionBusy as error:  # whose own advice is for those who may choose
        raise SessionBusy(BUSY) from error
    except (LimitReached, QueueFull) as error:
        log.info("widget_limited", widget_id=str(embedded.widget.id), code=error.code)
        raise LimitReached(TOO_MANY, code="rate_limit_exceeded", retry_after_s=60.0) from error
    except HeadraceError as error:
        log.warning("widget_chat_refused", widget_id=str(embedded.widget.id), code=error.code, why=error.message)
        raise Unavailable("The assistant is not available now. Please try again later.", effect="nothing") from error


def _message(row: SessionMessage) -> VisitorMessageOut:
    text = "\n\n".join(part["text"] for part in row.parts if part.get("type") == "text")
    return VisitorMessageOut(role=row.role, text=text, complete=row.status == "completed")


routes = Router(
    "/embed",
    route_handlers=[
        *(open_widget, send_visitor_message, list_visitor_messages),
        *(follow_visitor_answer, stop_visitor_answer),
    ],
    tags=["widgets"],
)
