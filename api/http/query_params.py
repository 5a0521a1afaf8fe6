"""Query parameters that lists share: search text, flags and times."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar.params import QueryParameter

from schema.errors import InputError

Word = Annotated[str | None, QueryParameter(max_length=300)]
Search = Annotated[
    str | None, QueryParameter(max_length=300, description="Text that names or descriptions contain, in any case.")
]
EnabledFilter = Annotated[
    bool | None, QueryParameter(description="Only those that are enabled (`true`) or disabled (`false`).")
]
Since = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        format="date-time",
        description="Only entries from this time on (ISO 8601; UTC if it has no zone).",
    ),
]
Until = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        format="date-time",
        description="Only entries before this time (ISO 8601; UTC if it has no zone).",
    ),
]


def parse_time(text: str | None, field: str) -> datetime | None:
    """Parse an ISO 8601 time, in UTC if it has no zone. Raises InputError for anything else, including bare numbers, which
    Litestar would accept as seconds since 1970 if the handler took a datetime."""
    if text is None:
        return None
    try:
        return default_to_utc(msgspec.convert(text, datetime))
    except msgspec.ValidationError as error:
        raise InputError(f"{field} must be an ISO 8601 time such as 2026-01-31T12:00:00Z.", field=field) from error


def default_to_utc(time: datetime) -> datetime:
    """Return a time with its zone; UTC if it has none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
