"""Parses JSON that model servers send into structs, each field by itself: a field of a wrong type counts as absent.

What is right, which is nearly everything, is parsed by msgspec alone. What isn't is read again, slowly: a byte order mark,
bytes that are not UTF-8, NaN, halves of surrogate pairs, control characters within strings and Python's own notation are no
reason to lose an answer. Half of a pair stays in the text, since the other half may be in the next chunk (`answer.py` joins
them).
"""

import json
import math
import types
from functools import cache
from typing import Any, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec

from graphs.providers.errors import ProviderInvalidResponse
from graphs.providers.lenient_json import read_values

MAX_LENIENT_CHARS = 64 * 1024
MAX_DIGITS = 400
BOM = b"\xef\xbb\xbf"

T = TypeVar("T", bound=msgspec.Struct)


class _Absent:
    """The type of ABSENT."""


ABSENT = _Absent()


class TolerantDecoder(Generic[T]):
    """`decode(provider, data)` for one struct. Fields need defaults; a struct that lacks a required field counts as absent."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._strict = msgspec.json.Decoder(kind).decode

    def decode(self, provider: str, data: bytes) -> T:
        """Return the struct. Raises ProviderInvalidResponse for what is no JSON object."""
        try:
            return self._strict(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            value = read_json(provider, data)
        found = fitted(value, self._kind)
        if found is ABSENT:
            raise ProviderInvalidResponse(f"{provider} sent something that is not its protocol.")
        return cast(T, found)


def read_json(provider: str, data: bytes) -> Any:
    """Return the value of a JSON text, however badly it is written. Raises ProviderInvalidResponse."""
    text = data.removeprefix(BOM).decode("utf-8", "replace").strip()
    try:
        return json.loads(text, strict=False, parse_int=_integer)
    except RecursionError:
        raise ProviderInvalidResponse(f"{provider} sent JSON that is nested too deeply.") from None
    except ValueError:
        pass
    try:
        values = read_values(text) if len(text) <= MAX_LENIENT_CHARS else []
    except ValueError:
        values = []
    if len(values) != 1:
        raise ProviderInvalidResponse(f"{provider} sent something that is not its protocol.")
    return values[0]


def fitted(value: Any, kind: Any) -> Any:  # noqa: PLR0911 -- one return per kind of type
    """Return `value` as `kind`, without the parts of it that don't fit, or ABSENT."""
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return next((one for arm in get_args(kind) if (one := fitted(value, arm)) is not ABSENT), ABSENT)
    if origin is list:
        if not isinstance(value, list):
            return ABSENT
        fitting = (fitted(inner, get_args(kind)[0]) for inner in cast(list[Any], value))
        return [one for one in fitting if one is not ABSENT]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _fitted_struct(cast(dict[str, Any], value), kind) if isinstance(value, dict) else ABSENT
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return ABSENT


def _fitted_struct(value: dict[str, Any], kind: type[msgspec.Struct]) -> Any:
    found = {}
    for name, wire_name, field_kind, required in _fields(kind):
        inner = fitted(value[wire_name], field_kind) if wire_name in value else ABSENT
        if inner is not ABSENT:
            found[name] = inner
        elif required:
            return ABSENT
    return kind(**found)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any, bool], ...]:
    return tuple((f.name, f.encode_name, f.type, f.required) for f in msgspec.structs.fields(kind))


def _integer(digits: str) -> Any:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf
