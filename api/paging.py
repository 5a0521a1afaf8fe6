"""Cursors of paged lists: opaque to clients, the place of the last row to us. Nothing secret is in one, and the tenant's
row-level security holds whatever a client puts in, so they are not signed."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec
from litestar.params import QueryParameter

from schema.errors import InputError

Place = TypeVar("Place")

Limit = Annotated[int, QueryParameter(ge=1, le=100, description="How many to return, at most 100.")]
Cursor = Annotated[
    str | None,
    QueryParameter(max_length=400, description="`next_cursor` of the page before; leave it out for the first."),
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
            "cursor must be the next_cursor of the page before; leave it out for the first page.", field="cursor"
        ) from error
