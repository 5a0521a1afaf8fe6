"""Tools of a request for a response: functions go to the model in the shape of chat completions, namespaces as functions too,
`file_search` becomes a search of collections. What can't be run here is refused with its place and type.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from schema.errors import InputError

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
FUNCTION_FIELDS = ("name", "description", "parameters", "strict")
FILE_SEARCH_FIELDS = ("type", "vector_store_ids")
NAMESPACE_FIELDS = ("type", "name", "tools")
WEB_SEARCH = re.compile(r"web_search(_preview)?(_\d+(_\d+)*)?")
MAX_FUNCTIONS = 512

Tool = dict[str, Any]


@dataclass
class ModelTools:
    """What a request's tools come to: `functions` for the model, `namespaced` functions by the name that the model knows as
    (namespace, name), `collections` that answer, and the names of what is `ignored`."""

    functions: list[Tool] = field(default_factory=list)
    namespaced: dict[str, tuple[str, str]] = field(default_factory=dict)
    collections: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        return {tool["function"]["name"] for tool in self.functions}


def flat_name(namespace: str, name: str) -> str:
    """Return the name under which the model knows a function of a namespace."""
    return f"{namespace}__{name}"[:64]


def read_tools(tools: list[Tool]) -> ModelTools:
    """Return what a model can be told of tools. Raises InputError that names the place of one that is invalid or unknown."""
    read = ModelTools()
    for place, tool in enumerate(tools):
        where = f"tools[{place}]"
        match kind := tool.get("type"):
            case "function":
                _add(read, where, tool, str(tool.get("name")))
            case "namespace":
                _add_namespace(read, where, tool)
            case "file_search":
                read.collections += _collections(where, tool)
                read.ignored += _unread(where, tool, FILE_SEARCH_FIELDS)
            case str() if WEB_SEARCH.fullmatch(kind):
                read.ignored.append(f"{where} ({kind})")
            case _:
                raise InputError(
                    f"{where} has the type {str(kind)[:64]!r}, which is not available here. Use function, namespace or "
                    "file_search; the tools of an agent are its own.",
                    field=where,
                )
    if len(read.functions) > MAX_FUNCTIONS:
        raise InputError(
            f"tools has {len(read.functions):,} functions; at most {MAX_FUNCTIONS} are accepted.", field="tools"
        )
    return read


def _add(read: ModelTools, where: str, tool: Tool, name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(f"{where}.name must be 1 to 64 letters, digits, _, . and -.", field=f"{where}.name")
    if name in read.names:
        raise InputError(f"{where}.name is that of an earlier function: {name!r}.", field=f"{where}.name")
    if not isinstance(tool.get("parameters") or {}, dict):
        raise InputError(f"{where}.parameters must be a JSON Schema.", field=f"{where}.parameters")
    function = {key: tool[key] for key in FUNCTION_FIELDS if tool.get(key) is not None} | {"name": name}
    read.functions.append({"type": "function", "function": function})
    read.ignored += _unread(where, tool, (*FUNCTION_FIELDS, "type"))


def _unread(where: str, tool: Tool, known: Sequence[str]) -> list[str]:
    return [f"{where}.{name[:64]}" for name, value in tool.items() if name not in known and value is not None]


def _add_namespace(read: ModelTools, where: str, tool: Tool) -> None:
    namespace, inner = tool.get("name"), tool.get("tools")
    if not isinstance(namespace, str) or not NAME.fullmatch(namespace) or not isinstance(inner, list):
        raise InputError(f"{where} must have a name of letters, digits, _, . and -, and a list of tools.", field=where)
    read.ignored += _unread(where, tool, NAMESPACE_FIELDS)
    for place, function in enumerate(inner):
        at = f"{where}.tools[{place}]"
        if not isinstance(function, dict) or function.get("type") != "function":
            raise InputError(f"{at} must be a function.", field=at)
        name = str(function.get("name"))
        if not NAME.fullmatch(name):
            raise InputError(f"{at}.name must be 1 to 64 letters, digits, _, . and -.", field=f"{at}.name")
        read.namespaced[flat_name(namespace, name)] = (namespace, name)
        _add(read, at, function, flat_name(namespace, name))


def _collections(where: str, tool: Tool) -> list[str]:
    ids = tool.get("vector_store_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) and len(one) <= 200 for one in ids):
        raise InputError(
            f"{where}.vector_store_ids must be a list of collections, by name.", field=f"{where}.vector_store_ids"
        )
    return ids


def read_choice(choice: str | Tool | None, tools: ModelTools) -> tuple[str | Tool | None, list[Tool]]:
    """Return the choice in the shape of chat completions, and the functions that it leaves to the model. Raises InputError."""
    match choice:
        case None | "none" | "auto":
            return (choice if tools.functions else None), tools.functions
        case "required":
            if not tools.functions:
                raise InputError(
                    "tool_choice requires functions. Send tools, or omit tool_choice.", field="tool_choice"
                )
            return choice, tools.functions
        case {"type": "function", "name": str(name)}:
            return {
                "type": "function",
                "function": {"name": _known(tools, name, choice.get("namespace"))},
            }, tools.functions
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*allowed]}:
            names = set(_allowed(tools, allowed))
            left = [tool for tool in tools.functions if tool["function"]["name"] in names]
            return (mode if left else None), left
        case {"type": str(kind)} if WEB_SEARCH.fullmatch(kind) or kind == "file_search":
            return None, tools.functions
    raise InputError(
        'tool_choice must be none, auto, required, {"type": "function", "name": …} or {"type": "allowed_tools", "mode": …, '
        '"tools": […]}.',
        field="tool_choice",
    )


def _known(tools: ModelTools, name: str, namespace: Any) -> str:
    known = flat_name(namespace, name) if isinstance(namespace, str) else name
    if known not in tools.names:
        raise InputError(f"tool_choice names a function that is not among tools: {name[:64]!r}.", field="tool_choice")
    return known


def _allowed(tools: ModelTools, allowed: list[Any]) -> Iterator[str]:
    for tool in allowed:
        match tool:
            case {"type": "function", "name": str(name)}:
                yield _known(tools, name, tool.get("namespace"))
            case {"type": str()}:
                continue
            case _:
                raise InputError(
                    "tool_choice.tools must be a list of tools, each with a type.", field="tool_choice.tools"
                )
