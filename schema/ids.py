"""Ids of rows and of LangGraph threads. For nothing secret: keys are made in `schema/keys.py`."""

from uuid import UUID

import uuid_utils.compat as uuids


def new_id() -> UUID:
    """Return a fresh UUIDv7: ids sort by the time they were made, also across processes (to the millisecond)."""
    return uuids.uuid7()


def parse_id(text: str) -> UUID | None:
    """Return the UUID that `text` spells in its canonical form, else None; for ids that come from outside."""
    if len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def thread_id(tenant_id: UUID, user_id: str, session_id: UUID) -> str:
    """Return the LangGraph thread of one user's session, as `SPEC.md` §1 spells it."""
    return f"tenant_{tenant_id}__user_{user_id}__session_{session_id}"
