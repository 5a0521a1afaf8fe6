"""A choice among some of the tools (`allowed_tools`), for vendors that know only all of them, none, or one."""

from collections.abc import Sequence
from typing import Any

Tool = dict[str, Any]


def narrowed(
    tools: Sequence[Tool], choice: str | dict[str, Any] | None
) -> tuple[tuple[Tool, ...], str | dict[str, Any] | None]:
    """Return the tools that a choice leaves, and the choice among these: `auto` or `required` in place of `allowed_tools`."""
    match choice:
        case {"allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(allowed)}}:
            names = [_name(tool) for tool in allowed if isinstance(tool, dict)]
            return tuple(tool for tool in tools if _name(tool) in names), mode
        case _:
            return tuple(tools), choice


def _name(tool: Tool) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None
