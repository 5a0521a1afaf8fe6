"""Ids of rows. Not for secrets: keys are created in `schema/identity/api_keys.py`."""

from datetime import datetime
from uuid import UUID

import uuid_utils.compat as uuids


def new_id() -> UUID:
    """Return a new UUIDv7. Ids sort by creation time, also across processes (to the millisecond)."""
    return uuids.uuid7()


def first_id(at: datetime) -> UUID:
    """Return the smallest id that can be created at `at`; smaller ids are older."""
    return UUID(int=int(at.timestamp() * 1000) << 80)
