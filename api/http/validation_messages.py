"""Turns msgspec's validation errors into a field name and a sentence that says what the value must be."""

import re
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

TYPE_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "date": "a date",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "uuid": "a UUID",
    "datetime": "an ISO 8601 time",
}
PATH = " - at `$"
KEY_PATH = " - at `key` in `$"
PATH_ENDS = re.compile(r"[\w.\-\[\]]*`")
UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
MISSING_FIELD = re.compile(r"Object missing required field `(.*)`")
WRONG_TYPE = re.compile(r"Expected `(.*)`, got `(.*)`")
LENGTH = re.compile(r"Expected `(\w+)` of length (<=|>=|==) (\d+)")
BOUND = re.compile(r"Expected `(\w+)` (<=|>=|<|>) (\S+)")
PATTERN = re.compile(r"Expected `str` matching regex (.*)")
PATH_STEP = re.compile(r"\w*[A-Za-z_]\w*|\[")
INVALID_CHOICE = re.compile(r"Invalid (?:enum )?value (.*)")
OTHER_RULES = {
    "Invalid UUID": "must be a UUID",
    "Invalid RFC3339 encoded date": "must be a date such as 2026-01-31",
    "Invalid RFC3339 encoded datetime": "must be an ISO 8601 time such as 2026-01-31T12:00:00Z",
    "Expected `datetime` with a timezone component": "must have a time zone, such as Z for UTC",
    "Number out of range": "is too large a number",
    "Integer value out of range": "is too large a number",
}
MAX_SHOWN = 200
"""Characters of a field's name, which may be whatever was sent."""

COMPARISONS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than", "==": "exactly"}


NameKeys = Callable[[str], tuple[str, str]]
"""Takes a path with `[...]`; returns it with names, and the key of the object there that is wrong, or an empty one."""


class ValidationMessage(NamedTuple):
    """What is wrong with which field; `field` is empty for the body as a whole."""

    field: str
    message: str


def explain(message: str, shape: Any, name_keys: NameKeys | None = None) -> ValidationMessage:
    """Rewrite msgspec's message about a value of type `shape`. `name_keys` knows the value, and what msgspec doesn't say: which
    keys its objects have."""
    text, path, about_key = _split(message)
    field = path.removeprefix(".").removesuffix("`")[:MAX_SHOWN]
    key = ""
    if name_keys is not None and (about_key or "[...]" in field):
        field, key = name_keys(field)
    if match := UNKNOWN_FIELD.fullmatch(text):
        return ValidationMessage(_join(field, match[1])[:MAX_SHOWN], _unknown_field_message(field, match[1], shape))
    if match := MISSING_FIELD.fullmatch(text):
        name = _join(field, match[1])
        return ValidationMessage(name, f"{name} is required.")
    subject = f"{f'The key {key!r}' if key else 'A key'} of {field or 'the body'}" if about_key else field or "The body"
    return ValidationMessage(field, f"{subject} {_rule(text, field, shape)}.")


def _split(message: str) -> tuple[str, str, bool]:
    """Return what is wrong, the path where, and whether it is a key of the object there."""
    for start in (PATH, KEY_PATH):
        text, found, path = message.rpartition(
            start
        )  # a regex would try each of a million such words in a field's name
        if found and PATH_ENDS.fullmatch(path):
            return text, path, start == KEY_PATH
    return message, "", False


def _rule(text: str, field: str, shape: Any) -> str:
    """Return what the value must be, as the end of a sentence that starts with the field's name."""
    rule = f"is invalid: {text[:200]}"
    if match := WRONG_TYPE.fullmatch(text):
        rule = f"must be {_type_names(match[1])}, not {_type_names(match[2])}"
    elif match := LENGTH.fullmatch(text):
        rule = _length(match[1], match[2], int(match[3]))
    elif match := BOUND.fullmatch(text):
        rule = f"must be {COMPARISONS[match[2]]} {match[3].removesuffix('.0')}"
    elif match := PATTERN.fullmatch(text):
        rule = f"must match the pattern {match[1]}"
    elif match := INVALID_CHOICE.fullmatch(text):
        choices = _choices(field, shape)
        rule = f"must be {choices}, not {match[1][:80]}" if choices else f"must not be {match[1][:80]}"
    return OTHER_RULES.get(text, rule)


def _length(kind: str, bound: str, limit: int) -> str:
    if (bound, limit) == (">=", 1):
        return "must not be empty"
    if kind == "str":
        return f"must be {COMPARISONS[bound]} {limit:,} characters long"
    return f"must have {COMPARISONS[bound]} {limit:,} {'items' if kind == 'array' else 'entries'}"


def _type_names(types: str) -> str:
    return _join_with_or([word for name in types.split(" | ") for word in TYPE_NAMES.get(name, name).split(" or ")])


def _join_with_or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _join(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _unknown_field_message(field: str, name: str, shape: Any) -> str:
    known = [] if field else _field_names(shape)
    return f"Unknown field {_join(field, name)[:80]}." + (f" Known fields: {', '.join(known)}." if known else "")


def _field_names(shape: Any) -> list[str]:
    structs = [kind for kind in member_types(shape) if _is_struct(kind)]
    return [field.encode_name for kind in structs for field in msgspec.structs.fields(kind)]


def _choices(field: str, shape: Any) -> str:
    """Return the literals or tags that are valid at `field`, such as "a, b or c"; empty if it isn't an enumeration."""
    kinds, choices = member_types(shape), []
    for step in PATH_STEP.findall(field):
        configs = [kind.__struct_config__ for kind in kinds if _is_struct(kind)]
        choices = [config.tag for config in configs if config.tag is not None and config.tag_field == step]
        kinds = [inner for kind in kinds for inner in types_at(kind, step)]
    # msgspec doesn't say which item of a list in a query string is invalid.
    kinds += [inner for kind in kinds for inner in types_at(kind, "[")]
    choices += [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return _join_with_or([str(choice) for choice in dict.fromkeys(choices)]) if choices else ""


def member_types(shape: Any) -> list[Any]:
    """Return the types that a value of type `shape` may have, with unions and `Annotated` resolved."""
    if get_origin(shape) in (Union, UnionType):
        return [kind for inner in get_args(shape) for kind in member_types(inner)]
    return member_types(get_args(shape)[0]) if get_origin(shape) is Annotated else [shape]


def types_at(kind: Any, step: str) -> list[Any]:
    """Return the types at one step of a path: a field's name, or the `[…]` of a list."""
    if step == "[":
        return member_types(get_args(kind)[0]) if get_origin(kind) is list else []
    return member_types(get_type_hints(kind, include_extras=True).get(step)) if _is_struct(kind) else []


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
