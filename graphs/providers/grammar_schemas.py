"""JSON Schemas for servers that turn them into grammars, such as llama.cpp's: what such a grammar can't say is left out.

Tried against llama.cpp's server: lengths of 2,000 and more, most patterns and whole numbers near 2^63 make it refuse the
request, with "failed to parse grammar". Arguments of tools are checked here in any case, against the whole schema.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

MAX_REPEATS = 1000
MAX_NUMBER = 2**53
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_UNSAID = frozenset(
    {
        *("not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems", "propertyNames"),
        *("patternProperties", "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties"),
    }
)
_NAMED = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose value has schemas by name."""
_NESTED = frozenset({"items", "additionalProperties"})
_LISTED = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_PATTERN = re.compile(r"\^[\w \-\[\]+*?()|,:/@{}]*\$", re.ASCII)
_REPEATED = re.compile(r"\{[^}]*\d{4,}")


def reduce_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema without what a grammar can't say; the order of its keys stays."""
    return {name: _value(name, value) for name, value in schema.items() if _is_sayable(name, value)}


def reduce_tools(tools: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Return tools in OpenAI's format with reduced schemas."""
    return tuple(_tool(tool) for tool in tools)


def reduce_format(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a response format of OpenAI's with a reduced schema."""
    match response_format:
        case {"type": "json_schema", "json_schema": {"schema": dict() as schema} as named}:
            return {**response_format, "json_schema": {**named, "schema": reduce_schema(cast(dict[str, Any], schema))}}
        case _:
            return response_format


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    match tool:
        case {"function": {"parameters": dict() as schema} as function}:
            return {**tool, "function": {**function, "parameters": reduce_schema(cast(dict[str, Any], schema))}}
        case _:
            return tool


def _is_sayable(name: str, value: Any) -> bool:
    if name in _UNSAID:
        return False
    if name in _COUNTS:
        return type(value) is int and 0 <= value <= MAX_REPEATS
    if name in _BOUNDS:
        return isinstance(value, int | float) and abs(value) <= MAX_NUMBER
    if name == "pattern":
        return (
            isinstance(value, str)
            and "(?" not in value
            and bool(_PATTERN.fullmatch(value))
            and not _REPEATED.search(value)
        )
    return True


def _value(name: str, value: Any) -> Any:
    if name in _NAMED and isinstance(value, dict):
        return {key: _schema(inner) for key, inner in cast(dict[str, Any], value).items() if inner is not False}
    if name in _LISTED and isinstance(value, list):
        return [_schema(inner) for inner in cast(list[Any], value) if inner is not False]
    if name in _NESTED:
        return _schema(value) if isinstance(value, dict) or (name == "items" and value is True) else value
    return value


def _schema(value: Any) -> Any:
    """Return a schema within another; `true` is the one that anything fits."""
    return reduce_schema(cast(dict[str, Any], value)) if isinstance(value, dict) else {} if value is True else value
