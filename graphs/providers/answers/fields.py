"""Reads the fields that are needed from JSON of a vendor, each by itself: one of a wrong type counts as absent, so that an odd
field beside it costs nothing.

Not for: JSON that is badly written (`json_payloads.py`), counts of tokens and names (`reported.py`), or what a field means
(the readers of each protocol).
"""

from typing import Any, cast

import msgspec

from graphs.providers.errors import ProviderInvalidResponse
from schema.storable import storable


def record(value: Any, *path: str) -> dict[str, Any]:
    """Return the object at `path` below `value`; empty if there is none."""
    for name in path:
        value = cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def records(value: Any, name: str) -> list[dict[str, Any]]:
    """Return the objects of the list `name` of an object."""
    found = record(value).get(name)
    return [item for item in cast(list[Any], found) if isinstance(item, dict)] if isinstance(found, list) else []


def text(value: Any, *path: str) -> str:
    """Return the text at `path` below `value`; empty if there is none."""
    found = record(value, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str) -> int | None:
    """Return the whole number at `path` below `value`."""
    found = record(value, *path[:-1]).get(path[-1])
    return found if type(found) is int else None


def arguments(provider: str, value: Any) -> str:
    """Return the arguments of a call as JSON text, whether they came as that or as an object; empty for what is neither.

    Raises ProviderInvalidResponse for an object that is nested too deeply.
    """
    if not isinstance(value, dict):
        return value if isinstance(value, str) else ""
    try:
        return msgspec.json.encode(storable(value)).decode()
    except RecursionError:
        raise ProviderInvalidResponse(f"{provider} sent JSON that is nested too deeply.") from None


def vectors(provider: str, found: Any, count: int) -> list[list[float]]:
    """Return embeddings. Raises ProviderInvalidResponse unless they are `count` lists of numbers."""
    try:
        read = msgspec.convert(found, list[list[float]], strict=False)
    except msgspec.ValidationError as exc:
        raise ProviderInvalidResponse(f"{provider} sent something that is not a list of vectors.") from exc
    if len(read) != count:
        raise ProviderInvalidResponse(f"{provider} sent {len(read)} vectors for {count} texts.")
    return read
