"""Query parameters: those that lists share (search text, flags, times), and the refusal of unknown ones."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition
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
        description="Only entries from this time on: ISO 8601, UTC if it has no zone; a date alone is the start of its day; "
        "or so long ago: `15m`, `24h`, `7d`.",
    ),
]
Until = Annotated[
    str | None,
    QueryParameter(
        max_length=64,
        description="Only entries before this time: ISO 8601, UTC if it has no zone; a date alone is the start of its day; "
        "or so long ago: `15m`, `24h`, `7d`.",
    ),
]


_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_AGO = re.compile(r"([0-9]{1,5})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_ZONE_AFTER_SPACE = re.compile(r"\d \d\d(?::?\d\d)?$")


class Parameter(NamedTuple):
    """A query parameter: whether it is a list, and what its values are."""

    is_list: bool
    kinds: frozenset[Any]


def check_parameters(scope: Any, handler: BaseRouteHandler) -> None:
    """Raise InputError for a value that is no number or no boolean as people write them, and under `/api` for a query
    parameter that is sent more than once but has one value: only one would be read."""
    if not scope["query_string"]:
        return
    known, seen = _parameters(handler), set[str]()
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    sent = [(name, value, known[name]) for name, value in pairs if name in known]
    for name, _, parameter in sent:
        if name in seen and not parameter.is_list and scope["path"].startswith("/api/"):
            raise InputError(f"The query parameter {name} is there more than once; send it once.", field=name)
        seen.add(name)
    for name, value, parameter in sent:
        _check_value(name, value, parameter)


def _check_value(name: str, value: str, parameter: Parameter) -> None:
    """Python would take ` 5`, `+5`, `1_000`, `1e1` and digits of other scripts for numbers, and `1` or `yes` for true."""
    if str in parameter.kinds:
        return
    if int in parameter.kinds and not _INTEGER.fullmatch(value):
        raise InputError(f"{name} must be an integer in plain digits, such as 20.", field=name)
    if bool in parameter.kinds and value.lower() not in ("true", "false"):
        raise InputError(f"{name} must be true or false.", field=name)


def reject_unknown_parameters(scope: Any, handler: BaseRouteHandler) -> None:
    """Raise InputError for a query parameter that the route doesn't have: a filter with a typing error would be ignored, and
    the list be taken for filtered. Routes outside `/api` accept any, because OpenAI's SDKs and proxies add their own."""
    if not scope["query_string"] or not scope["path"].startswith("/api/"):
        return
    known = tuple(_parameters(handler))
    for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InputError(_unknown_parameter(name[:80], known), field=name[:80])


def _unknown_parameter(name: str, known: tuple[str, ...]) -> str:
    if not known:
        return f"Unknown query parameter {name}. This path takes none."
    if close := get_close_matches(name, known, n=1):
        return f"Unknown query parameter {name}. Did you mean {close[0]}?"
    return f"Unknown query parameter {name}. Known ones: {', '.join(known)}."


def declared_parameters(handler: BaseRouteHandler) -> dict[str, FieldDefinition]:
    """Return the parameters of a handler and of the dependencies that it takes, which have query parameters of their own."""
    dependencies = handler.resolve_dependencies()
    own = handler.parsed_fn_signature.parameters
    taken = [dependencies[name].parsed_fn_signature.parameters for name in own if name in dependencies]
    return {name: field for fields in (*taken, own) for name, field in fields.items()}


@cache
def _parameters(handler: BaseRouteHandler) -> dict[str, Parameter]:
    """Return the query parameters of a handler and of the dependencies that it takes."""
    return dict(_parameters_in(handler.parsed_fn_signature, handler.resolve_dependencies()))


def _parameters_in(signature: ParsedSignature, dependencies: Mapping[str, Provide]) -> Iterator[tuple[str, Parameter]]:
    for name, field in signature.parameters.items():
        if isinstance(field.kwarg_definition, QueryParameter):
            kinds = _alternatives(field)
            is_list = any(one.is_non_string_collection for one in kinds)
            yield field.kwarg_definition.name or name, Parameter(is_list, frozenset(one.annotation for one in kinds))
        elif name in dependencies:
            yield from _parameters_in(dependencies[name].parsed_fn_signature, dependencies)


def _alternatives(field: FieldDefinition) -> tuple[FieldDefinition, ...]:
    """Return the types of a union, or the type."""
    return field.inner_types if field.is_union else (field,)


def parse_time(text: str | None, field: str) -> datetime | None:
    """Parse an ISO 8601 time, in UTC if it has no zone, a date alone, or how long ago it was, such as `15m`.

    Raises InputError for anything else, including bare numbers, which Litestar would accept as seconds since 1970 if the
    handler took a datetime.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if _DATE.fullmatch(text):
        text = f"{text}T00:00:00Z"
    try:
        return default_to_utc(msgspec.convert(text, datetime))
    except msgspec.ValidationError as error:
        hint = " A + in a query string means a space: write it as %2B." if _ZONE_AFTER_SPACE.search(text) else ""
        example = "2026-01-31, an ISO 8601 time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m or 7d"
        raise InputError(f"{field} must be a date such as {example}.{hint}", field=field) from error


def default_to_utc(time: datetime) -> datetime:
    """Return a time with its zone; UTC if it has none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
