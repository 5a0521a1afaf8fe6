"""Turns what msgspec says of a wrong body into a field name and a sentence that says what is right."""

import re
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "uuid": "a UUID",
    "datetime": "an ISO 8601 time",
}
PLACE = re.compile(r" - at `\$\.?(.*)`$")
UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
MISSING = re.compile(r"Object missing required field `(.*)`")
TYPES = re.compile(r"Expected `(.*)`, got `(.*)`")
LENGTH = re.compile(r"Expected `(\w+)` of length (<=|>=|==) (\d+)")
BOUND = re.compile(r"Expected `(\w+)` (<=|>=|<|>) (\S+)")
PATTERN = re.compile(r"Expected `str` matching regex (.*)")
CHOICE = re.compile(r"Invalid (?:enum )?value (.*)")
BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than", "==": "exactly"}


class Complaint(NamedTuple):
    """What is wrong with which field; `field` is empty when it is the body as a whole."""

    field: str
    message: str


def explain(said: str, shape: Any) -> Complaint:
    """Return msgspec's complaint about a value of type `shape` as a sentence."""
    place = PLACE.search(said)
    field = place[1] if place else ""
    text = said[: place.start()] if place else said
    if match := UNKNOWN.fullmatch(text):
        return Complaint(_join(field, match[1]), _unknown(field, match[1], shape))
    if match := MISSING.fullmatch(text):
        name = _join(field, match[1])
        return Complaint(name, f"{name} is missing.")
    return Complaint(field, f"{field or 'The body'} {_rule(text, field, shape)}.")


def _rule(text: str, field: str, shape: Any) -> str:
    if match := TYPES.fullmatch(text):
        return f"must be {_words(match[1])}, not {_words(match[2])}"
    if match := LENGTH.fullmatch(text):
        unit = {"str": "characters", "array": "items"}.get(match[1], "entries")
        if (match[2], match[3]) == (">=", "1"):
            return "must not be empty"
        return f"must have {BOUNDS[match[2]]} {int(match[3]):,} {unit}"
    if match := BOUND.fullmatch(text):
        return f"must be {BOUNDS[match[2]]} {match[3]}"
    if match := PATTERN.fullmatch(text):
        return f"must match the pattern {match[1]}"
    if match := CHOICE.fullmatch(text):
        return f"can't be {match[1][:80]}" + _choices(field, shape)
    return f"is not right: {text[:200]}"


def _words(types: str) -> str:
    words = [WORDS.get(name, name) for name in types.split(" | ")]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _join(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _unknown(field: str, name: str, shape: Any) -> str:
    known = [] if field else _fields(shape)
    return f"There is no field {_join(field, name)[:80]}" + (f"; known are {', '.join(known)}." if known else ".")


def _fields(shape: Any) -> list[str]:
    for kind in (shape, *get_args(shape)):
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return [field.encode_name for field in msgspec.structs.fields(kind)]
    return []


def _choices(field: str, shape: Any) -> str:
    """Return "; right is one of …" where the field's type is a list of literals."""
    hints = get_type_hints(shape) if isinstance(shape, type) else {}
    literals = [value for value in _literals(hints.get(field, shape if not field else None)) if value is not None]
    return f"; right is {', '.join(map(str, literals))}" if literals else ""


def _literals(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [value for inner in get_args(kind) for value in _literals(inner)]
