"""Routes of sessions and their messages: create, list, get, rename, delete, export, fork."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import Meta
from msgspec.structs import asdict

from api.audit.log import record
from api.auth.principals import MayReadSessions, MayWriteSessions, Principal
from api.http.errors import problems
from api.http.paging import Cursor, Limit, NextCursor, read_cursor, write_cursor
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import TEXT, described
from api.resources import AppResources, Resources
from api.sessions.export import MessageOut, SessionExportOut, SessionOut, as_markdown
from api.sessions.reading import NO_SESSION, all_messages, message_out, require_session, session_out
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.queries.sessions import sessions
from schema.queries.sessions.session_forks import copy_session, find_place
from schema.queries.sessions.session_search import search_sessions

Title = Annotated[str, Meta(min_length=1, max_length=200, description="Title, from 1 to 200 characters.")]
SessionId = Annotated[UUID, PathParameter(description="Id of the session.")]


class SessionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new session."""

    title: Annotated[str, Meta(max_length=200, description="Title, at most 200 characters.")] = ""


class SessionChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to change of a session. Omitted fields keep their value."""

    title: Title | None = None
    pinned: Annotated[bool, Meta(description="Whether it is listed on top.")] | None = None
    shared: Annotated[bool, Meta(description="Whether others of your tenant who have its id may read it.")] | None = (
        None
    )


class ForkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to fork a session."""

    message_id: Annotated[
        UUID | None, Meta(description="Last message to copy; all messages are copied if omitted.")
    ] = None
    title: (
        Annotated[str, Meta(min_length=1, max_length=200, description="Title of the new session; copied if omitted.")]
        | None
    ) = None


class SessionsOut(msgspec.Struct, frozen=True):
    """A page of sessions, most recently used first."""

    items: Annotated[list[SessionOut], Meta(description="The sessions of this page.")]
    next_cursor: NextCursor


class MessagesOut(msgspec.Struct, frozen=True):
    """A page of messages, oldest first."""

    items: Annotated[list[MessageOut], Meta(description="The messages of this page.")]
    next_cursor: NextCursor


SESSION_EXAMPLE: dict[str, Any] = {
    "id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1f",
    "title": "Mill wheels",
    "turns": 1,
    "created_at": "2026-05-04T08:15:30Z",
    "updated_at": "2026-05-04T08:15:32Z",
    "pinned_at": None,
    "shared_at": None,
}
MESSAGES_EXAMPLE: list[dict[str, Any]] = [
    {
        "id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b20",
        "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
        "role": "user",
        "parts": [{"type": "text", "text": "What is a headrace?"}],
        "status": "completed",
        "model": None,
        "agent": None,
        "usage": None,
        "created_at": "2026-05-04T08:15:30Z",
        "citations": None,
    },
    {
        "id": "019a5c9e-7d20-7e02-8a41-5b1f0c3d9e77",
        "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
        "role": "assistant",
        "parts": [{"type": "text", "text": "A headrace is the channel that leads water to a mill wheel."}],
        "status": "completed",
        "model": "ollama/llama3.2:3b",
        "agent": None,
        "usage": {"input_tokens": 14, "output_tokens": 15, "estimated": False},
        "created_at": "2026-05-04T08:15:32Z",
        "citations": None,
    },
]


@post(
    "/",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER, example={"title": "Mill wheels"}, response=SESSION_EXAMPLE | {"turns": 0}
    ),
    summary="Create a session",
    tags=["sessions"],
)
async def create_session(
    principal: MayWriteSessions, resources: AppResources, data: JSONBody[SessionIn | None] = None
) -> Response[SessionOut]:
    """Creates an empty session. `POST /api/chat` without `session_id` creates one too."""
    session_id = new_id()
    async with principal.tx(resources.core.pool) as db:
        await sessions.add_session(
            db, principal.tenant_id, session_id, (data or SessionIn()).title, user_id=principal.user_id
        )
        row = await require_session(db, principal, session_id)
    return Response(session_out(row), headers={"Location": f"/api/sessions/{session_id}"})


@get(
    "/",
    opt=described(response={"items": [SESSION_EXAMPLE], "next_cursor": None}),
    summary="List sessions",
    tags=["sessions"],
)
async def list_sessions(
    principal: MayReadSessions,
    resources: AppResources,
    search: Annotated[
        str | None,
        QueryParameter(
            min_length=1,
            max_length=300,
            description="Only sessions whose title or messages contain this text, whatever its case and accents.",
        ),
    ] = None,
    pinned: Annotated[bool, QueryParameter(description="Only sessions that are pinned; not with `search`.")] = False,
    widget: Annotated[
        UUID | None, QueryParameter(description="The conversations of this widget's visitors; not with `search`.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> SessionsOut:
    """Most recently used first. A page with `search` looks at 200 sessions: it may have few items, or none, and yet a
    `next_cursor`."""
    before = read_cursor("sessions", cursor, tuple[datetime, UUID])
    if search is not None and (pinned or widget):
        field = "pinned" if pinned else "widget"
        raise InputError(f"search looks at all sessions of the tenant's own. Send it or {field}.", field=field)
    if search is not None:
        return await _search(principal, resources, search, before, limit)
    async with principal.tx(resources.core.pool) as db:
        rows = await sessions.list_sessions(
            db,
            principal.tenant_id,
            limit=limit + 1,
            before=before,
            user_id=principal.visible_user_id,
            pinned=pinned,
            widget_id=widget,
        )
    items = [session_out(row) for row in rows[:limit]]
    more = len(rows) > limit
    return SessionsOut(items, write_cursor("sessions", (items[-1].updated_at, items[-1].id)) if more else None)


@get(
    "/{session_id:uuid}",
    opt=described(response=SESSION_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a session",
    tags=["sessions"],
)
async def get_session(session_id: SessionId, principal: MayReadSessions, resources: AppResources) -> SessionOut:
    async with principal.tx(resources.core.pool) as db:
        return session_out(await require_session(db, principal, session_id))


@patch(
    "/{session_id:uuid}",
    opt=described(example={"title": "Mill wheels"}, response=SESSION_EXAMPLE),
    responses=problems("not_found"),
    summary="Rename, pin or share a session",
    tags=["sessions"],
)
async def update_session(
    session_id: SessionId, data: JSONBody[SessionChangeIn], principal: MayWriteSessions, resources: AppResources
) -> SessionOut:
    """What is shared can be read by everybody of the tenant who has its id and may read sessions
    (`GET /api/sessions/{session_id}/shared`), with what is said in it later, until it is shared no more."""
    async with principal.tx(resources.core.pool) as db:
        row = await sessions.change_session(db, principal.tenant_id, session_id, **asdict(data))
        if row is None:
            raise NotFound(NO_SESSION)
        if data.shared is not None:
            action = "session.shared" if data.shared else "session.unshared"
            await record(db, principal, principal.tenant_id, action, f"session:{session_id}")
    return session_out(row)


@delete(
    "/{session_id:uuid}", responses=problems("not_found", "conflict"), summary="Delete a session", tags=["sessions"]
)
async def delete_session(session_id: SessionId, principal: MayWriteSessions, resources: AppResources) -> None:
    """Deletes a session with its messages and jobs. Fails with `409` while one of its jobs has not ended."""
    async with principal.tx(resources.core.pool) as db:
        deleted = await sessions.delete_session(db, principal.tenant_id, session_id)
        if not deleted:
            await require_session(db, principal, session_id)
            raise Conflict(
                "A job of this session has not ended. Cancel it or wait for it to end, then delete the session."
            )


@post(
    "/{session_id:uuid}/fork",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER,
        example={"message_id": MESSAGES_EXAMPLE[1]["id"], "title": "Mill wheels, take two"},
        response=SESSION_EXAMPLE | {"id": "019a5ca0-1b2c-7d3e-8f40-5a6b7c8d9e0f", "title": "Mill wheels, take two"},
    ),
    responses=problems("not_found"),
    summary="Fork a session",
    tags=["sessions"],
)
async def fork_session(
    session_id: SessionId, principal: MayWriteSessions, resources: AppResources, data: JSONBody[ForkIn | None] = None
) -> Response[SessionOut]:
    """Creates a session of yours with copies of the messages up to and including `message_id`, to continue from there. The
    original session is not changed."""
    options = data or ForkIn()
    async with principal.tx(resources.core.pool) as db:
        await require_session(db, principal, session_id)
        position = await find_place(db, principal.tenant_id, session_id, options.message_id)
        if position is None and options.message_id is not None:
            raise NotFound("No such message in this session.", field="message_id")
        copy_id = await copy_session(
            db, principal.tenant_id, session_id, position, title=options.title, user_id=principal.user_id
        )
        row = await require_session(db, principal, copy_id)
    return Response(session_out(row), headers={"Location": f"/api/sessions/{copy_id}"})


@get(
    "/{session_id:uuid}/messages",
    opt=described(response={"items": MESSAGES_EXAMPLE, "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a session's messages",
    tags=["sessions"],
)
async def list_messages(
    session_id: SessionId, principal: MayReadSessions, resources: AppResources, cursor: Cursor = None, limit: Limit = 50
) -> MessagesOut:
    """Oldest first."""
    list_name = f"messages/{session_id}"
    after = read_cursor(list_name, cursor, tuple[int, int])
    async with principal.tx(resources.core.pool) as db:
        await require_session(db, principal, session_id)
        rows = await sessions.list_messages(db, principal.tenant_id, session_id, limit=limit + 1, after=after)
    items = [message_out(row) for row in rows[:limit]]
    position = (rows[limit - 1].turn, rows[limit - 1].ordinal) if len(rows) > limit else None
    return MessagesOut(items, write_cursor(list_name, position) if position else None)


@get(
    "/{session_id:uuid}/export",
    opt=described(response=SESSION_EXAMPLE | {"messages": MESSAGES_EXAMPLE}, other_media_types={"text/markdown": TEXT}),
    responses={
        200: ResponseSpec(
            SessionExportOut, description="The session in the requested format.", generate_examples=False
        ),
        **problems("not_found"),
    },
    summary="Export a session",
    tags=["sessions"],
)
async def export_session(
    session_id: SessionId,
    principal: MayReadSessions,
    resources: AppResources,
    format: Annotated[Literal["json", "markdown"], QueryParameter(description="Format of the file.")] = "json",
) -> Response[Any]:
    """Returns the whole conversation as a file to download."""
    async with principal.tx(resources.core.pool) as db:
        session = session_out(await require_session(db, principal, session_id))
        messages = await all_messages(db, principal, session_id)
    name = f"session-{session_id}.{'md' if format == 'markdown' else 'json'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if format == "markdown":
        return Response(as_markdown(session.title, messages), headers=headers, media_type="text/markdown")
    return Response(SessionExportOut(**asdict(session), messages=messages), headers=headers)


async def _search(
    principal: Principal, resources: Resources, search: str, before: tuple[datetime, UUID] | None, limit: int
) -> SessionsOut:
    async with principal.tx(resources.core.pool) as db:
        page = await search_sessions(
            db, principal.tenant_id, search, limit=limit, before=before, user_id=principal.visible_user_id
        )
    items = [session_out(row) for row in page.sessions]
    return SessionsOut(items, write_cursor("sessions", page.next_before) if page.next_before else None)


routes = Router(
    "/sessions",
    route_handlers=[
        create_session,
        list_sessions,
        get_session,
        update_session,
        delete_session,
        list_messages,
        export_session,
        fork_session,
    ],
)
