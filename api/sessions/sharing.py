"""`/sessions/{session_id}/shared`: what somebody lets the others of their tenant read. Sharing it is in `routes.py`."""

from litestar import Router, get
from msgspec.structs import asdict

from api.auth.principals import MayReadSessions
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources
from api.sessions.export import SessionExportOut
from api.sessions.reading import NO_SESSION, all_messages, require_session, session_out
from api.sessions.routes import MESSAGES_EXAMPLE, SESSION_EXAMPLE, SessionId
from schema.errors import NotFound
from schema.postgres.connections import tenant_tx


@get(
    "/{session_id:uuid}/shared",
    opt=described(response=SESSION_EXAMPLE | {"shared_at": "2026-05-04T09:00:00Z", "messages": MESSAGES_EXAMPLE}),
    responses=problems("not_found"),
    summary="Read a shared session",
    tags=["sessions"],
)
async def get_shared_session(
    session_id: SessionId, principal: MayReadSessions, resources: AppResources
) -> SessionExportOut:
    """A session of anybody in your tenant, if it is shared, with all its messages. Others can't be told from missing ones."""
    async with tenant_tx(resources.core.pool, principal.tenant_id) as db:
        row = await require_session(db, principal, session_id)
        if row.shared_at is None:
            raise NotFound(NO_SESSION)
        messages = await all_messages(db, principal, session_id)
    return SessionExportOut(**asdict(session_out(row)), messages=messages)


routes = Router("/sessions", route_handlers=[get_shared_session])
