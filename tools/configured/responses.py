"""Turns the JSON of a service into what a model reads: the selected part, in the row's output format."""

import json
import re
from typing import Any

from schema.errors import InputError
from tools.configured.definition import ToolDefinition
from tools.contract import ToolResult
from tools.errors import ToolUnavailable

POINTER = re.compile(r"(/([^~/]|~0|~1)*){0,16}")
RENDERERS = {"markdown_table": "table", "chart_data": "chart"}
MISSING = object()


def check_pointer(pointer: str, field: str = "config.result") -> None:
    """Raises InputError for an invalid JSON pointer (RFC 6901)."""
    if not POINTER.fullmatch(pointer):
        raise InputError(f"{field} must be a JSON pointer, such as /data/items.", field=field)


def resolve_pointer(value: Any, pointer: str, service: str) -> Any:
    """The part of `value` at the pointer; "" is the whole. Raises ToolUnavailable if it is missing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(name)] if re.fullmatch("[0-9]{1,9}", name) and int(name) < len(value) else MISSING
        else:
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        if value is MISSING:
            raise ToolUnavailable(
                f"{service} returned a response without {pointer}; an admin must correct config.result."
            )
    return value


def to_tool_result(value: Any, definition: ToolDefinition) -> ToolResult:
    """The value for a model and for programs."""
    hint = (definition.renderer or {}).get("type") or RENDERERS.get(definition.output_format or "")
    return ToolResult(_text(value, definition.output_format), value, hint)


def _text(value: Any, output_format: str | None) -> str:
    if isinstance(value, str):
        return value
    if output_format == "markdown_table" and (rows := _find_rows(value)):
        return _markdown_table(rows)
    if output_format == "summary_text" and isinstance(value, dict):
        return "\n".join(f"{name}: {_cell_text(inner)}" for name, inner in value.items())
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _find_rows(value: Any) -> list[dict[str, Any]]:
    """The list of objects: the value itself or, since services often wrap it, the only list in it."""
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = lists[0] if len(lists) == 1 else [value]
    return value if isinstance(value, list) and value and all(isinstance(row, dict) for row in value) else []


def _markdown_table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([_cell_text(row.get(name)) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(_escape_cell(cell) for cell in line)} |" for line in lines)


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _escape_cell(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\r", " ").replace("\n", " ")
