"""Parses the arguments that a model wrote and validates them against the tool's schema, or raises an error it can act on.

Models wrap JSON in code fences, leave a trailing comma, use Python's quotes, or write "5" for 5. That is repaired if there
is only one way to read it; anything else is refused with the name of the field.
"""

import ast
import json
import math
import re
from typing import Any, NoReturn

import jsonschema_rs

from tools.errors import ToolBadArguments, ToolTooLarge

MAX_CHARACTERS = 256 * 1024
MAX_DEPTH = 32
CODE_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n?(.*?)\n?```\Z", re.DOTALL)
TYPE_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")


def read_arguments(raw: str | dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return arguments that fit `schema`. Raises ToolBadArguments (`field` is a path such as `items.0.name`) and
    ToolTooLarge."""
    arguments = _coerce_arguments(parse_arguments(raw), schema) if isinstance(raw, str) else raw
    if is_too_deep(arguments, MAX_DEPTH):
        raise ToolBadArguments(f"The arguments are nested more than {MAX_DEPTH} levels deep; send a flatter object.")
    validate(arguments, schema)
    return arguments


def parse_arguments(raw: str) -> dict[str, Any]:
    """Parse a model's text as a JSON object. Raises ToolBadArguments and ToolTooLarge."""
    if len(raw) > MAX_CHARACTERS:
        raise ToolTooLarge(f"The arguments are longer than {MAX_CHARACTERS:,} characters; send less.")
    text = raw.strip()
    if fenced := CODE_FENCE.match(text):
        text = fenced[1].strip()
    value = _parse_value(text) if text else {}
    if isinstance(value, str):  # some models encode twice
        value = _parse_value(value.strip())
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolBadArguments('The arguments must be one JSON object, such as {"query": "…"}.')
    return value


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_reject_constant, parse_float=_parse_finite_float)
    except (ValueError, RecursionError):
        pass
    try:  # literals only; names, calls and attributes are errors
        value = ast.literal_eval(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ToolBadArguments("The arguments are not JSON; send one JSON object with double quotes.") from None
    return value


def _parse_finite_float(text: str) -> float:
    """Reject numbers such as 1e999, which parse as JSON but can't be encoded again."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _coerce_arguments(arguments: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Turn "5" into 5 and "true" into True where the schema allows no other reading."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return arguments
    return {name: _coerce_value(value, properties.get(name)) for name, value in arguments.items()}


def _coerce_value(value: Any, schema: Any) -> Any:
    wanted = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(value, str):
        return value
    if wanted == "boolean" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if wanted in ("integer", "number") and NUMBER.fullmatch(value.strip()):
        number = json.loads(value.strip()) if not re.match(r"-?0\d", value.strip()) else value
        return value if wanted == "integer" and not isinstance(number, int) else number
    if wanted in ("array", "object") and value.lstrip()[:1] in ("[", "{"):
        try:
            return _parse_value(value)
        except ToolBadArguments:
            return value
    return value


def validate(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raises ToolBadArguments for arguments that don't fit. The schema must be trusted or have passed `check_schema`."""
    try:
        validator(schema).validate(arguments)
    except jsonschema_rs.ValidationError as error:
        path = ".".join(str(step)[:60] for step in error.instance_path)
        name, message = _explain(error, path, schema)
        raise ToolBadArguments(message, field=name or None) from None
    except ValueError:
        raise ToolBadArguments("The arguments can't be checked against this tool's schema.") from None


def _explain(error: jsonschema_rs.ValidationError, path: str, schema: dict[str, Any]) -> tuple[str, str]:
    """Return the argument that doesn't fit, and a sentence that says what is right."""
    kind: Any = error.kind
    name = path or "The arguments"
    match kind.name:
        case "required":
            name = f"{path}.{kind.property}".lstrip(".")
            return name, f"The argument {name} is required."
        case "additionalProperties":
            unknown = f"{path}.{str(kind.unexpected[0])[:60]}".lstrip(".")
            known = ", ".join(schema.get("properties") or ()) if not path else ""
            hint = f" Known arguments: {known[:300]}." if known else " This tool takes none." if not path else ""
            return unknown, f"Unknown argument {unknown}.{hint}"
        case "type":
            return path, f"{name} must be {_join_with_or([TYPE_NAMES.get(str(one), str(one)) for one in kind.types])}."
        case "enum":
            return path, f"{name} must be {_join_with_or([str(one) for one in kind.options])[:300]}."
        case "minimum" | "maximum":
            return path, f"{name} must be at {'least' if kind.name == 'minimum' else 'most'} {kind.limit}."
        case _:
            about = f"In the argument {path}: " if path else ""
            return path, f"{about}{error.message[:300]}."


def _join_with_or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator that fetches no remote schemas, limits regex work, and keeps values out of its messages."""
    limits = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=1 << 20, dfa_size_limit=1 << 20)
    return jsonschema_rs.validator_for(
        schema, mask="the value", retriever=_reject_remote_schema, pattern_options=limits, validate_formats=False
    )


def _reject_remote_schema(uri: str) -> NoReturn:
    raise ValueError("schemas are not fetched")


def is_too_deep(value: Any, limit: int) -> bool:
    """Whether objects and lists are nested deeper than `limit`; looks no deeper than that."""
    level = [value]
    for _ in range(limit):
        level = [inner for each in level for inner in _child_values(each)]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def _child_values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
