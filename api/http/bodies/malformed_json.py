"""Says what is wrong with JSON that can't be decoded or stored, in a time that hostile bodies of some MB don't raise."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

HEX = "[0-9a-fA-F]{2}"
LONE_SURROGATE = re.compile(rf"\\u[dD][89abAB]{HEX}(?!\\u[dD][c-fC-F]{HEX})|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]{HEX}")
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
POSITION = re.compile(r"\(byte (\d+)\)$")
TRUNCATED = "Input data was truncated"
PAIR = len(r"\ud83d\ude00")
AROUND = 3 * PAIR
MAX_PATH = 8
"""Steps of the path to a character that can't be stored."""


def explain_malformed(body: bytes, reason: str) -> str:
    """Return what is wrong with a body that can't be decoded."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"The body is not UTF-8: byte {error.start} is invalid. Send JSON that is encoded as UTF-8."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The body starts with a byte order mark. Remove it."
    if half := _half_of_a_pair(body, reason):
        return f"The body contains {half}, which is half of a surrogate pair and no character. Remove it."
    if reason == TRUNCATED:
        return "The body is not valid JSON: it ends too early."
    return f"The body is not valid JSON: {reason.removeprefix('JSON is malformed: ')}."


def _half_of_a_pair(body: bytes, reason: str) -> str:
    """Return half of a surrogate pair where decoding ended, else nothing. Only there: to search a whole body takes long."""
    position = POSITION.search(reason)
    end = int(position[1]) if position else len(body)
    start = max(0, end - AROUND)
    near = body[start : end + PAIR].decode("latin-1")
    # The first of what is cut out may be a half only because it is cut.
    halves = [match[0] for match in LONE_SURROGATE.finditer(near) if start == 0 or match.start() >= PAIR]
    return halves[-1] if halves else ""


def has_nul(value: Any) -> bool:
    """Return whether a string in the value contains U+0000."""
    return NUL.search(msgspec.json.encode(value)) is not None


def nul_path(value: Any, field: str = "", steps: int = MAX_PATH) -> str:
    """Return the path to a string with U+0000, which Postgres can't store, in a value that has one."""
    if steps == 0 or not isinstance(value, Mapping | list | tuple):
        return field
    if isinstance(value, Mapping):
        name, inner = _narrowed(list(value.items()))[1]
        if "\0" in name:
            return field
        return nul_path(inner, f"{field}.{name}" if field else name, steps - 1)
    place, inner = _narrowed(value)
    return nul_path(inner, f"{field}[{place}]", steps - 1)


def _narrowed(items: Sequence[Any]) -> tuple[int, Any]:
    """Return the place and the first of the items that contain U+0000, by halves: a look at each would take long."""
    start, stop = 0, len(items)
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (start, middle) if has_nul(items[start:middle]) else (middle, stop)
    return start, items[start]
