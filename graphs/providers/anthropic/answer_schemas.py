"""JSON Schemas for answers, as the vendor takes them.

It takes a part of JSON Schema: every object is closed, and bounds of numbers, lengths and the like are not known. As its own
SDK does (`transform_schema`), what it doesn't know is told to the model in the description. A schema that can't be put so is
given to a tool that the model has to call, whose input is the answer.
"""

from typing import Any

import msgspec

Json = dict[str, Any]

FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
MAX_DEPTH = 40
_PLAIN = frozenset({"type", "enum", "const", "title", "description", "$ref"})
_COMBINED = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_IMPLIED = frozenset({"$schema", "additionalProperties", "$defs"})


class _NotClosed(ValueError):
    """The schema can't be put as the vendor takes it."""


def closed_schema(schema: Any) -> Json | None:
    """Return a schema as the vendor takes it; None if it can't be put so. The order of keys stays."""
    try:
        return _close(schema, 0)
    except _NotClosed:
        return None


def _close(schema: Any, depth: int) -> Json:
    if not isinstance(schema, dict) or depth > MAX_DEPTH or _is_open(schema) or not _says_what(schema):
        raise _NotClosed
    kept: Json = {}
    for name, value in schema.items():
        _keep(kept, name, value, schema, depth)
    if schema.get("type") == "object":
        kept = {**kept, "properties": kept.get("properties", {}), "additionalProperties": False}
    return kept if "$ref" in schema else _told(kept, schema)


def _is_open(schema: Json) -> bool:
    """Whether an object may have members of any name: no closed schema says that."""
    more = schema.get("additionalProperties")
    nameless = schema.get("type") == "object" and not schema.get("properties") and more is not False
    return isinstance(more, dict) or nameless or "patternProperties" in schema


def _says_what(schema: Json) -> bool:
    combined = any(isinstance(schema.get(name), list) for name in _COMBINED)
    return isinstance(schema.get("type"), str | list) or combined or bool(schema.keys() & {"enum", "const", "$ref"})


def _keep(kept: Json, name: str, value: Any, schema: Json, depth: int) -> None:
    """Keep one member of a schema, if the vendor knows it."""
    kind = schema.get("type")
    match name, value:
        case ("properties" | "$defs", dict()) if name == "$defs" or kind == "object":
            kept[name] = {key: _close(one, depth + 1) for key, one in value.items()}
        case ("anyOf" | "oneOf" | "allOf", list()):
            kept[_COMBINED[name]] = [_close(one, depth + 1) for one in value]
        case ("required", list()) if kind == "object":
            kept[name] = value
        case ("items", dict()) if kind == "array":
            kept[name] = _close(value, depth + 1)
        case ("minItems", 0 | 1) if kind == "array":
            kept[name] = value
        case ("format", str()) if value in FORMATS:
            kept[name] = value
        case _ if name in _PLAIN:
            kept[name] = value


def _told(kept: Json, schema: Json) -> Json:
    """Return the schema with what the vendor doesn't know in its description."""
    known = {*kept, *_IMPLIED, *(name for name, as_ in _COMBINED.items() if as_ in kept)}
    rest = {name: value for name, value in schema.items() if name not in known}
    if not rest:
        return kept
    said = "{" + ", ".join(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in rest.items()) + "}"
    described = kept.get("description")
    return {**kept, "description": f"{described}\n\n{said}" if described else said}
