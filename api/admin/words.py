"""Words and times from a query string that rows are looked for by."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter

from schema.errors import InputError

Word = Annotated[str | None, QueryParameter(max_length=300)]
Since = Annotated[str | None, QueryParameter(max_length=64, format="date-time", description="From this time on.")]
Until = Annotated[str | None, QueryParameter(max_length=64, format="date-time", description="Before this time.")]


def read_moment(text: str | None, field: str) -> datetime | None:
    """Return a time with its zone; one that names none is UTC. Raises InputError for anything else, such as the bare numbers
    that a datetime in a handler's signature would take for seconds since 1970."""
    if text is None:
        return None
    try:
        return in_utc(msgspec.convert(text, datetime))
    except msgspec.ValidationError as error:
        raise InputError(f"{field} must be a time, like 2026-01-31T12:00:00Z.", field=field) from error


def in_utc(moment: datetime) -> datetime:
    """Return a time with its zone: one that names none is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
