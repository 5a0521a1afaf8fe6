"""Sessions and their messages: make, list, read, rename, delete, export, go on from an earlier message (A4)."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta
from psycopg.rows import DictRow

from api.describing import TEXT, described
from api.errors import problems
from api.exporting import MessageOut, SessionExportOut, as_markdown
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayReadSessions, MayWriteSessions, Principal
from api.resources import Opened
from schema.db import Db
from schema.errors import Conflict, NotFound
from schema.ids import new_id
from schema.queries import sessions
from schema.queries.forking import copy_session, find_place

NO_SESSION = "There is no such session."
EXPORT_PAGE = 500

Title = Annotated[str, Meta(min_length=1, max_length=200)]


class SessionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new session."""

    title: Annotated[str, Meta(max_length=200)] = ""


class SessionTitleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new title."""

    title: Title


class ForkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to and with which message the session is copied, the last one if none is named. Without a title it keeps its own."""

    message_id: UUID | None = None
    title: Title | None = None


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation; `turns` counts the messages that were sent to it."""

    id: UUID
    title: str
    turns: int
    created_at: datetime
    updated_at: datetime


class SessionsOut(msgspec.Struct, frozen=True):
    """A page of sessions, the last used first."""

    items: list[SessionOut]
    next_cursor: str | None


class MessagesOut(msgspec.Struct, frozen=True):
    """A page of messages, the first said first."""

    items: list[MessageOut]
    next_cursor: str | None


@post(
    "/",
    status_code=201,
    opt=described(example={"title": "Mill wheels"}),
    summary="Begin a session",
    tags=["sessions"],
)
async def create(
    principal: MayWriteSessions, resources: Opened, data: JSONBody[SessionIn | None] = None
) -> Response[SessionOut]:
    session_id = new_id()
    async with principal.tx(resources.ports.pool) as db:
        await sessions.add_session(
            db, principal.tenant_id, session_id, (data or SessionIn()).title, user_id=principal.user_id
        )
        row = await _require(db, principal, session_id)
    return Response(SessionOut(**row), headers={"Location": f"/api/sessions/{session_id}"})


@get("/", summary="List sessions", tags=["sessions"])
async def list_(principal: MayReadSessions, resources: Opened, cursor: Cursor = None, limit: Limit = 20) -> SessionsOut:
    before = read_cursor(cursor, tuple[datetime, UUID])
    async with principal.tx(resources.ports.pool) as db:
        rows = await sessions.list_sessions(db, principal.tenant_id, limit=limit + 1, before=before)
    items = [SessionOut(**row) for row in rows[:limit]]
    more = len(rows) > limit
    return SessionsOut(items, write_cursor((items[-1].updated_at, items[-1].id)) if more else None)


@get("/{session_id:uuid}", responses=problems("not_found"), summary="Look at a session", tags=["sessions"])
async def look(session_id: FromPath[UUID], principal: MayReadSessions, resources: Opened) -> SessionOut:
    async with principal.tx(resources.ports.pool) as db:
        return SessionOut(**await _require(db, principal, session_id))


@patch("/{session_id:uuid}", responses=problems("not_found"), summary="Rename a session", tags=["sessions"])
async def rename(
    session_id: FromPath[UUID], data: JSONBody[SessionTitleIn], principal: MayWriteSessions, resources: Opened
) -> SessionOut:
    async with principal.tx(resources.ports.pool) as db:
        row = await sessions.rename_session(db, principal.tenant_id, session_id, data.title)
    if row is None:
        raise NotFound(NO_SESSION)
    return SessionOut(**row)


@delete(
    "/{session_id:uuid}", responses=problems("not_found", "conflict"), summary="Delete a session", tags=["sessions"]
)
async def delete_(session_id: FromPath[UUID], principal: MayWriteSessions, resources: Opened) -> None:
    """Delete a session with its messages and jobs. 409 while a job of it has not ended."""
    async with principal.tx(resources.ports.pool) as db:
        deleted = await sessions.delete_session(db, principal.tenant_id, session_id)
        if not deleted:
            await _require(db, principal, session_id)
            raise Conflict("A job of this session has not ended. Cancel it, or wait for it, then delete the session.")


@post(
    "/{session_id:uuid}/fork",
    status_code=201,
    opt=described(example={"message_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e", "title": "Another way"}),
    responses=problems("not_found"),
    summary="Go on from an earlier message",
    tags=["sessions"],
)
async def fork(
    session_id: FromPath[UUID], principal: MayWriteSessions, resources: Opened, data: JSONBody[ForkIn | None] = None
) -> Response[SessionOut]:
    """A new session of yours, with copies of the messages up to and with the one that you name. The old one stays."""
    wanted = data or ForkIn()
    async with principal.tx(resources.ports.pool) as db:
        await _require(db, principal, session_id)
        place = await find_place(db, principal.tenant_id, session_id, wanted.message_id)
        if place is None and wanted.message_id is not None:
            raise NotFound("There is no such message in this session.", field="message_id")
        copy_id = await copy_session(
            db, principal.tenant_id, session_id, place, title=wanted.title, user_id=principal.user_id
        )
        row = await _require(db, principal, copy_id)
    return Response(SessionOut(**row), headers={"Location": f"/api/sessions/{copy_id}"})


@get("/{session_id:uuid}/messages", responses=problems("not_found"), summary="Read a session", tags=["sessions"])
async def messages(
    session_id: FromPath[UUID], principal: MayReadSessions, resources: Opened, cursor: Cursor = None, limit: Limit = 50
) -> MessagesOut:
    after = read_cursor(cursor, tuple[int, int])
    async with principal.tx(resources.ports.pool) as db:
        await _require(db, principal, session_id)
        rows = await sessions.list_messages(db, principal.tenant_id, session_id, limit=limit + 1, after=after)
    items = [_message(row) for row in rows[:limit]]
    place = (rows[limit - 1]["turn"], rows[limit - 1]["ordinal"]) if len(rows) > limit else None
    return MessagesOut(items, write_cursor(place) if place else None)


@get(
    "/{session_id:uuid}/export",
    opt=described(also={"text/markdown": TEXT}),
    responses={
        200: ResponseSpec(
            SessionExportOut, description="The session, in the format asked for.", generate_examples=False
        ),
        **problems("not_found"),
    },
    summary="Export a session",
    tags=["sessions"],
)
async def export(
    session_id: FromPath[UUID],
    principal: MayReadSessions,
    resources: Opened,
    format: FromQuery[Literal["json", "markdown"]] = "json",
) -> Response[Any]:
    """The whole conversation as one file."""
    async with principal.tx(resources.ports.pool) as db:
        session = SessionOut(**await _require(db, principal, session_id))
        said = await _all_messages(db, principal, session_id)
    name = f"session-{session_id}.{'md' if format == 'markdown' else 'json'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if format == "markdown":
        return Response(as_markdown(session.title, said), headers=headers, media_type="text/markdown")
    return Response(SessionExportOut(**msgspec.structs.asdict(session), messages=said), headers=headers)


async def _require(db: Db, principal: Principal, session_id: UUID) -> DictRow:
    row = await sessions.find_session(db, principal.tenant_id, session_id)
    if row is None:
        raise NotFound(NO_SESSION)
    return row


async def _all_messages(db: Db, principal: Principal, session_id: UUID) -> list[MessageOut]:
    said: list[MessageOut] = []
    after: tuple[int, int] | None = None
    while True:
        rows = await sessions.list_messages(db, principal.tenant_id, session_id, limit=EXPORT_PAGE, after=after)
        said += [_message(row) for row in rows]
        if len(rows) < EXPORT_PAGE:
            return said
        after = (rows[-1]["turn"], rows[-1]["ordinal"])


def _message(row: DictRow) -> MessageOut:
    return MessageOut(**{name: row[name] for name in MessageOut.__struct_fields__})


routes = Router(
    "/sessions",
    route_handlers=[create, list_, look, rename, delete_, messages, export, fork],
)
