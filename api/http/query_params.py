"""Query parameters: those that lists share (search text, flags, times), and the refusal of unknown ones."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.utils.signature import ParsedSignature

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


def reject_unknown_parameters(scope: Any, handler: BaseRouteHandler) -> None:
    """Raise InputError for a query parameter that the route doesn't have: a filter with a typing error would be ignored, and
    the list be taken for filtered. Routes outside `/api` accept any, because OpenAI's SDKs and proxies add their own."""
    if not scope["query_string"] or not scope["path"].startswith("/api/"):
        return
    known = _parameter_names(handler)
    for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InputError(_unknown_parameter(name[:80], known), field=name[:80])


def _unknown_parameter(name: str, known: tuple[str, ...]) -> str:
    if not known:
        return f"Unknown query parameter {name}. This path takes none."
    if close := get_close_matches(name, known, n=1):
        return f"Unknown query parameter {name}. Did you mean {close[0]}?"
    return f"Unknown query parameter {name}. Known ones: {', '.join(known)}."


@cache
def _parameter_names(handler: BaseRouteHandler) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_names_in(handler.parsed_fn_signature, handler.resolve_dependencies())))


def _names_in(signature: ParsedSignature, dependencies: Mapping[str, Provide]) -> Iterator[str]:
    """Yield the query parameters of a handler, and those of the dependencies that it takes."""
    for name, field in signature.parameters.items():
        if isinstance(field.kwarg_definition, QueryParameter):
            yield field.kwarg_definition.name or name
        elif name in dependencies:
            yield from _names_in(dependencies[name].parsed_fn_signature, dependencies)


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
