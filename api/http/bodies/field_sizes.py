"""How many bytes of JSON a field of a body may have where its type leaves the shape open: checked before anything is built.

    metadata: Annotated[dict[str, Any], Meta(extra={"max_bytes": 64 * 1024})]
    tools: Annotated[list[Annotated[dict[str, Any], Meta(extra={"max_bytes": …})]], Meta(extra={"max_bytes": …})]

Building objects from 8 MB of `{}` or `[]` would hold up all requests of the process for half a second, and releases the GIL
nowhere, so a thread would not help. To skip a value is 20 times as fast: a body is first split into its fields, and only
those that are small enough are decoded. Here and not in the checks of a noun, which see objects: what was sent is larger than
what is stored, by its spaces and escapes. `tests/api/http/bodies/test_field_sizes.py` finds fields without a bound.
"""

from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Raw

from api.http.validation_messages import member_types
from schema.errors import InputError

ABSENT = Raw(b"")


class Bound(NamedTuple):
    """Most bytes of a field, and of each item if it is a list whose items have a bound."""

    name: str
    max_bytes: int
    max_item_bytes: int | None


class Splitter(NamedTuple):
    """Splits a body into fields. `smallest`: no body of this size breaks a bound."""

    decoder: msgspec.json.Decoder[Any]
    names: tuple[tuple[str, str], ...]
    bounds: dict[str, Bound]
    smallest: int


def keep_bounds(body: bytes, shape: Any) -> bytes:
    """Return the body, each field once: of repeated ones the last, as they are refused later. Raises InputError for a field
    that is too large, and msgspec's errors for what is no JSON object of known fields."""
    splitter = splitter_for(shape)
    if splitter is None or len(body) <= splitter.smallest:
        return body
    fields = splitter.decoder.decode(body)
    sent = [
        (name, wire_name, raw) for name, wire_name in splitter.names if (raw := getattr(fields, name)) is not ABSENT
    ]
    for name, _, raw in sent:
        if bound := splitter.bounds.get(name):
            _check(bound, raw)
    return b"{%b}" % b",".join(b'"%b":%b' % (wire_name.encode(), bytes(raw)) for _, wire_name, raw in sent)


def _check(bound: Bound, raw: Raw) -> None:
    size = len(memoryview(raw))
    if size > bound.max_bytes:
        raise InputError(_too_large(bound.name, bound.max_bytes), field=bound.name)
    if bound.max_item_bytes is not None and size > bound.max_item_bytes and bytes(memoryview(raw)[:1]) == b"[":
        for place, item in enumerate(msgspec.json.decode(raw, type=list[Raw])):
            if len(memoryview(item)) > bound.max_item_bytes:
                field = f"{bound.name}[{place}]"
                raise InputError(_too_large(field, bound.max_item_bytes), field=field)


def _too_large(field: str, max_bytes: int) -> str:
    return f"{field} must not exceed {max_bytes // 1024} KB of JSON."


@cache
def splitter_for(shape: Any) -> Splitter | None:
    """Return how to split bodies of this type, None if no field of it has a bound."""
    struct = next(
        (kind for kind in member_types(shape) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None
    )
    if struct is None:
        return None
    fields = msgspec.structs.fields(struct)
    bounds = {
        field.name: Bound(field.encode_name, max_bytes, _max_item_bytes(field.type))
        for field in fields
        if (max_bytes := max_bytes_of(field.type)) is not None
    }
    if not bounds:
        return None
    split = msgspec.defstruct(
        f"Split{struct.__name__}",
        [(field.name, Raw, ABSENT) for field in fields],
        rename={field.name: field.encode_name for field in fields},
        forbid_unknown_fields=struct.__struct_config__.forbid_unknown_fields,
    )
    names = tuple((field.name, field.encode_name) for field in fields)
    smallest = min(bound.max_item_bytes or bound.max_bytes for bound in bounds.values())
    return Splitter(msgspec.json.Decoder(split), names, bounds, smallest)


def max_bytes_of(kind: Any) -> int | None:
    """Return the bound that a type declares, itself or in a member of its union."""
    if get_origin(kind) is Annotated:
        inner, *metadata = get_args(kind)
        declared = [meta.extra["max_bytes"] for meta in metadata if isinstance(meta, Meta) and meta.extra]
        return declared[0] if declared else max_bytes_of(inner)
    if get_origin(kind) in (list, dict):
        return None
    return next((bound for inner in get_args(kind) if (bound := max_bytes_of(inner)) is not None), None)


def _max_item_bytes(kind: Any) -> int | None:
    lists = (inner for inner in member_types(kind) if get_origin(inner) is list)
    return next((bound for inner in lists if (bound := max_bytes_of(get_args(inner)[0])) is not None), None)
