"""Ids of rows. For nothing secret: keys are made in `schema/keys.py`."""

from uuid import UUID

import uuid_utils.compat as uuids


def new_id() -> UUID:
    """Return a fresh UUIDv7: ids sort by the time they were made, also across processes (to the millisecond)."""
    return uuids.uuid7()
