"""Sessions and their messages as they are shown, for all routes that show them."""

from uuid import UUID

import msgspec

from api.auth.principals import Principal
from api.http.rows import from_row
from api.sessions.export import MessageOut, SessionOut
from schema.errors import NotFound
from schema.events.base import Notice
from schema.postgres.connections import Db
from schema.queries.sessions import sessions

NO_SESSION = "No such session."
EXPORT_PAGE = 500


async def require_session(db: Db, principal: Principal, session_id: UUID) -> sessions.Session:
    """Return a session that the transaction sees. Raises NotFound."""
    row = await sessions.find_session(db, principal.tenant_id, session_id)
    if row is None:
        raise NotFound(NO_SESSION)
    return row


async def all_messages(db: Db, principal: Principal, session_id: UUID) -> list[MessageOut]:
    """Return all messages of a session, oldest first."""
    messages: list[MessageOut] = []
    after: tuple[int, int] | None = None
    while True:
        rows = await sessions.list_messages(db, principal.tenant_id, session_id, limit=EXPORT_PAGE, after=after)
        messages += [message_out(row) for row in rows]
        if len(rows) < EXPORT_PAGE:
            return messages
        after = (rows[-1].turn, rows[-1].ordinal)


def session_out(session: sessions.Session) -> SessionOut:
    """Return a session as it is shown."""
    return from_row(SessionOut, session)


def message_out(message: sessions.SessionMessage) -> MessageOut:
    """Return a message as it is shown: files without their bytes."""
    parts = [
        part if part.get("type") != "file" else {name: value for name, value in part.items() if name != "data"}
        for part in message.parts
    ]
    return from_row(MessageOut, message, parts=parts, notice=msgspec.convert(message.notice, Notice | None))
