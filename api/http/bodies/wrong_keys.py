"""Finds the key of an object at which a body is wrong: msgspec writes `[...]` in its place."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from api.http.validation_messages import member_types, types_at

STEP = re.compile(r"\.?(\w[\w\-]*)|\[(\d+)\]|\[\.\.\.\]")
MAX_KEY = 60
"""Characters of a key that are shown."""


class Place(NamedTuple):
    """A place in a body: its path, such as `metadata.budget`, what is there, and the types that it may have."""

    path: str
    value: Any
    kinds: list[Any]


def find_place(path: str, body: Any, shape: Any) -> Place:
    """Return the place of a path of msgspec's, such as `metadata[...]`, in a body that `shape` doesn't fit there."""
    at = Place("", body, member_types(shape))
    for step in STEP.finditer(path):
        at = _follow(at, step)
    return at._replace(path=at.path.removeprefix("."))


def wrong_key(at: Place) -> str:
    """Return the key of the object there that is wrong itself, such as one that is too long; empty if none is."""
    kinds = [get_args(kind)[0] for kind in at.kinds if get_origin(kind) is dict]
    keys = at.value if isinstance(at.value, Mapping) else ()
    return next((str(key)[:MAX_KEY] for key in keys if not all(_fits(key, kind) for kind in kinds)), "")


def _follow(at: Place, step: re.Match[str]) -> Place:
    name, number = step[1], step[2]
    if name:
        value = at.value.get(name) if isinstance(at.value, Mapping) else None
        return Place(f"{at.path}.{name}", value, [inner for kind in at.kinds for inner in types_at(kind, name)])
    if number:
        value = at.value[int(number)] if isinstance(at.value, list) and int(number) < len(at.value) else None
        return Place(f"{at.path}[{number}]", value, [inner for kind in at.kinds for inner in types_at(kind, "[")])
    for kind in at.kinds:
        if get_origin(kind) is dict and isinstance(at.value, Mapping):
            wanted = get_args(kind)[1]
            for key, value in at.value.items():
                if not _fits(value, wanted):
                    return Place(f"{at.path}.{str(key)[:MAX_KEY]}", value, member_types(wanted))
    return Place(f"{at.path}[...]", None, [])


def _fits(value: Any, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True
