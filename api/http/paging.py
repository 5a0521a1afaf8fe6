"""Cursors of paged lists: opaque to clients, the position of the last row to us. They hold nothing secret, and row-level
security applies whatever a client sends, so they are not signed."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta

from schema.errors import InputError

Place = TypeVar("Place")

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Maximum number of items to return, from 1 to 100.")]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=400, description="`next_cursor` of the previous page. Omit for the first page."),
]
NextCursor = Annotated[
    str | None, Meta(description="Send as `cursor` to get the next page; null if this is the last one.")
]


def write_cursor(place: Any) -> str:
    """Return the cursor of a place, which is anything that JSON can hold."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def read_cursor(cursor: str | None, shape: type[Place]) -> Place | None:
    """Return the place that a cursor names; None for the first page. Raises InputError for one that we didn't make."""
    if cursor is None:
        return None
    try:
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if b"\\u0000" in data:
            raise ValueError("Postgres can't compare with U+0000")
        return msgspec.json.decode(data, type=shape)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise InputError(
            "cursor must be the next_cursor of the previous page. Omit it for the first page.", field="cursor"
        ) from error
