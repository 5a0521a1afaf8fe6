"""Cursors of paged lists: the position of the last row, opaque to clients. They contain no secrets, and row-level security
applies whatever a client sends, so they are not signed."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec
from litestar.params import QueryParameter
from msgspec import Meta

from schema.errors import InputError

Position = TypeVar("Position")

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Maximum number of items to return, from 1 to 100.")]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=600, description="`next_cursor` of the previous page. Omit for the first page."),
]
NextCursor = Annotated[
    str | None, Meta(description="Send as `cursor` to get the next page; null if this is the last one.")
]


def write_cursor(list_name: str, position: Any) -> str:
    """Encode a position in a list, which is any JSON value, as a cursor. The name of a list that belongs to something, such
    as a session's messages, contains its id."""
    return base64.urlsafe_b64encode(msgspec.json.encode((list_name, position))).rstrip(b"=").decode()


def read_cursor(list_name: str, cursor: str | None, type_: type[Position]) -> Position | None:
    """Return the position of a cursor; None for the first page. Raises InputError for an invalid one, and for one of another
    list."""
    if cursor is None:
        return None
    try:
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if b"\\u0000" in data:
            raise ValueError("Postgres can't compare with U+0000")
        name, position = msgspec.json.decode(data, type=tuple[str, msgspec.Raw])
        if name == list_name:
            return msgspec.json.decode(position, type=type_)
    except (binascii.Error, msgspec.DecodeError, ValueError) as error:
        raise InputError(
            "cursor must be the next_cursor of the previous page of this list. Omit it for the first page.",
            field="cursor",
        ) from error
    raise InputError(
        "cursor is of another list. Send the next_cursor of the previous page of this one, or omit it for the first page.",
        field="cursor",
    )
