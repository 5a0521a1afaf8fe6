"""JSON that Postgres can store. Models, tools and vendors send U+0000, halves of surrogate pairs and NaN, which it refuses, and
with them everything else that the transaction was to store.
"""

import math
from typing import Any, cast

import msgspec
from psycopg.types.json import Jsonb


def storable_json(value: Any) -> Jsonb:
    """Return a JSON value as a parameter for `jsonb`, made `storable` where it isn't."""
    return Jsonb(value, dumps=_dumps)


def _dumps(value: Any) -> bytes:
    try:
        text = msgspec.json.encode(value)  # null for a number that is none
    except UnicodeEncodeError:
        return msgspec.json.encode(storable(value))
    # A quick look, since nearly everything is clean. A backslash in the text itself leads to a needless cleaning at worst.
    return msgspec.json.encode(storable(value)) if b"\\u0000" in text else text


def storable(value: Any) -> Any:
    """Return a JSON value as Postgres can store it and events can carry it: texts as `storable_text`, a number that is none
    becomes null."""
    match value:
        case str():
            return storable_text(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            pairs = cast(dict[str, Any], value).items()
            return {storable(name): storable(inner) for name, inner in pairs}
        case list() | tuple():
            return [storable(inner) for inner in cast(list[Any], value)]
        case _:
            return value


def storable_text(text: str) -> str:
    """Return text without U+0000, and with U+FFFD for half of a surrogate pair."""
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
