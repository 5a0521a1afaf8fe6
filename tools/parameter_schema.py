"""Checks the JSON Schemas that admins give to tools. A schema is a small program that runs on every call, so it is limited
beforehand: no remote references, no loops, no long patterns, no references that multiply.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

import jsonschema_rs

from schema.errors import InputError
from tools.arguments import is_too_deep, validator

MAX_DEPTH = 16
MAX_PATTERN = 256
MAX_BYTES = 64 * 1024
MAX_EXPANDED = 10_000
"""The maximum number of subschemas with all references expanded: 22 levels of two references each to the next level would
mean four million checks of one value."""

PathAndNode = tuple[str, Any]


def check_schema(schema: Any, field: str = "parameters") -> None:
    """Return if `schema` may describe a tool's arguments. Raises InputError that names the field and the path in it."""
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise InputError(f"{field} must be a JSON Schema of type object.", field=field)
    if is_too_deep(schema, MAX_DEPTH):
        raise InputError(f"{field} is nested more than {MAX_DEPTH} levels deep.", field=field)
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError):
        raise InputError(f"{field} contains something that can't be encoded as JSON.", field=field) from None
    if size > MAX_BYTES:
        raise InputError(f"{field} is larger than {MAX_BYTES:,} bytes.", field=field)
    for path, node in _walk_objects(schema, field):
        _check_node(path, node)
    _check_against_standard(schema, field)
    _expanded_size(schema, schema, {}, (), field)


def _walk_objects(value: Any, path: str) -> Iterator[PathAndNode]:
    """Yield every object in the schema with its path."""
    if isinstance(value, dict):
        yield path, value
        for name, inner in value.items():
            yield from _walk_objects(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk_objects(inner, f"{path}.{number}")


def _check_node(path: str, node: dict[str, Any]) -> None:
    patterns = [("pattern", node.get("pattern"))]
    inner = node.get("patternProperties")
    patterns += [("patternProperties", name) for name in inner] if isinstance(inner, dict) else []
    for name, pattern in patterns:
        if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
            raise InputError(f"{path}.{name} is longer than {MAX_PATTERN} characters.", field=f"{path}.{name}")
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        target = node.get(name)
        if isinstance(target, str) and not (name == "$ref" and (target == "#" or target.startswith("#/"))):
            raise InputError(f"{path}.{name} points outside the schema; only '#/…' is allowed.", field=f"{path}.{name}")
    if isinstance(node.get("$schema"), str) and "json-schema.org/" not in node["$schema"]:
        raise InputError(f"{path}.$schema is not a JSON Schema draft.", field=f"{path}.$schema")
    if isinstance(node.get("$id"), str):
        raise InputError(f"{path}.$id is not supported; remove it.", field=f"{path}.$id")


def _check_against_standard(schema: dict[str, Any], field: str) -> None:
    try:
        jsonschema_rs.meta.validate(schema)
        validator(schema)
    except jsonschema_rs.ValidationError as error:
        path = ".".join([field, *(str(step) for step in error.instance_path)])
        raise InputError(f"{path} is not valid JSON Schema: {error.message[:200]}.", field=path) from None
    except (ValueError, jsonschema_rs.ReferencingError):
        raise InputError(f"{field} contains an unusable reference or pattern.", field=field) from None


def _expanded_size(node: Any, root: dict[str, Any], known: dict[str, int], trail: tuple[str, ...], field: str) -> int:
    """The number of subschemas in `node` with references expanded. Raises InputError for a loop or too many."""
    count = 1
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str):
            if target in trail:
                raise InputError(f"{field} refers to itself at {target}; recursion is not supported.", field=field)
            if target not in known:
                known[target] = _expanded_size(_resolve_reference(root, target), root, known, (*trail, target), field)
            count += known[target]
        count += sum(
            _expanded_size(inner, root, known, trail, field) for name, inner in node.items() if name != "$defs"
        )
    elif isinstance(node, list):
        count += sum(_expanded_size(inner, root, known, trail, field) for inner in cast(list[Any], node))
    if count > MAX_EXPANDED:
        raise InputError(
            f"{field} has more than {MAX_EXPANDED:,} subschemas with its references expanded.", field=field
        )
    return count


def _resolve_reference(root: dict[str, Any], target: str) -> Any:
    """The target of a local reference; None if there is none, which the check against the standard has reported before."""
    node: Any = root
    for step in target.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list):
            node = node[int(name)] if name.isdigit() and int(name) < len(node) else None
        else:
            node = node.get(name) if isinstance(node, dict) else None
    return node
