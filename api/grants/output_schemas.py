"""Checks of an agent's output settings: format, JSON Schema, and renderer (a display hint for clients). Shared by agents and
by grants that override them.
"""

from typing import Any, Literal

import msgspec

from schema.errors import InputError
from tools.parameter_schema import check_schema

OutputFormat = Literal["structured_json", "markdown_table", "chart_data", "summary_text"]

MAX_RENDERER_BYTES = 4096
MAX_RENDERER_DEPTH = 16
MAX_TYPE_LENGTH = 40


def check_renderer(renderer: dict[str, Any], field: str) -> None:
    """Raise InputError for a renderer that is too large to store."""
    if _depth(renderer) > MAX_RENDERER_DEPTH:
        raise InputError(f"{field} must not be nested more than {MAX_RENDERER_DEPTH} levels deep.", field=field)
    if len(msgspec.json.encode(renderer)) > MAX_RENDERER_BYTES:
        raise InputError(f"{field} must be at most 4 KB as JSON.", field=field)


def check_renderer_type(renderer: dict[str, Any], field: str) -> None:
    """Raise InputError for a renderer without a usable `type`."""
    kind = renderer.get("type")
    if not isinstance(kind, str) or not 1 <= len(kind) <= MAX_TYPE_LENGTH or not kind.isprintable():
        raise InputError(
            f"{field}.type is required: a word of up to {MAX_TYPE_LENGTH} characters, such as table, chart or card.",
            field=f"{field}.type",
        )


def check_output_schema(schema: dict[str, Any], field: str) -> None:
    """Raise InputError unless `schema` is the JSON Schema of an object or an array."""
    if schema.get("type", "object") not in ("object", "array"):
        raise InputError(f'{field}.type must be "object" or "array".', field=f"{field}.type")
    check_schema({**schema, "type": "object"}, field)  # the keywords allowed do not depend on the type


def check_output(output_format: str | None, schema: dict[str, Any] | None, field: str) -> None:
    """Raise InputError for an invalid schema (at `field`), or one whose format isn't JSON."""
    if schema is None:
        return
    if output_format != "structured_json":
        message = f"{field} requires the output_format structured_json. Set that, or set {field} to null."
        raise InputError(message, field=field)
    check_output_schema(schema, field)


def _depth(value: Any, max_depth: int = MAX_RENDERER_DEPTH) -> int:
    """Return how deeply a value is nested, or one more than `max_depth`."""
    if not isinstance(value, dict | list) or max_depth < 0:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(part, max_depth - 1) for part in inner), default=0)
