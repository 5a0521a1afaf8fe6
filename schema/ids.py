"""Ids of rows. For nothing secret: keys are made in `schema/api_keys.py`."""

from datetime import datetime
from uuid import UUID

import uuid_utils.compat as uuids


def new_id() -> UUID:
    """Return a fresh UUIDv7: ids sort by the time they were made, also across processes (to the millisecond)."""
    return uuids.uuid7()


def first_id(at: datetime) -> UUID:
    """Return the smallest id that can be made at `at`: ids that are smaller are older."""
    return UUID(int=int(at.timestamp() * 1000) << 80)
