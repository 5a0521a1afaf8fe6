"""How output is to look (G7): its format, its JSON Schema, the hint for whoever renders it. The same for agents and for
grants that override them.
"""

from typing import Any, Literal

import msgspec

from schema.errors import InputError
from tools.parameters import check_schema

OutputFormat = Literal["structured_json", "markdown_table", "chart_data", "summary_text"]

LARGEST_RENDERER = 4096
DEEPEST_RENDERER = 16
LONGEST_TYPE = 40


def check_renderer(renderer: dict[str, Any], field: str) -> None:
    """Raise InputError for a renderer that is too large to be kept."""
    if _depth(renderer) > DEEPEST_RENDERER:
        raise InputError(f"{field} is nested deeper than {DEEPEST_RENDERER}.", field=field)
    if len(msgspec.json.encode(renderer)) > LARGEST_RENDERER:
        raise InputError(f"{field} must have at most 4 KB as JSON.", field=field)


def check_renderer_type(renderer: dict[str, Any], field: str) -> None:
    """Raise InputError for a renderer that doesn't say what it is."""
    kind = renderer.get("type")
    if not isinstance(kind, str) or not 1 <= len(kind) <= LONGEST_TYPE or not kind.isprintable():
        raise InputError(
            f"{field}.type is needed; right is a word such as table, chart or card.", field=f"{field}.type"
        )


def check_output_schema(schema: dict[str, Any], field: str) -> None:
    """Raise InputError unless `schema` is the JSON Schema of an object or an array, which is what an answer may be."""
    if schema.get("type", "object") not in ("object", "array"):
        raise InputError(f'{field}.type must be "object" or "array"; an answer is one of them.', field=f"{field}.type")
    check_schema({**schema, "type": "object"}, field)  # which words a schema may have does not hang on its type


def check_output(output_format: str | None, schema: dict[str, Any] | None, field: str) -> None:
    """Raise InputError for a schema (at `field`) that isn't one, or stands where no JSON is answered."""
    if schema is None:
        return
    if output_format != "structured_json":
        said = f"{field} is for the output_format structured_json only; set that, or {field} to null."
        raise InputError(said, field=field)
    check_output_schema(schema, field)


def _depth(value: Any, deepest: int = DEEPEST_RENDERER) -> int:
    """Return how deeply a value is nested, or one more than `deepest`."""
    if not isinstance(value, dict | list) or deepest < 0:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(part, deepest - 1) for part in inner), default=0)
