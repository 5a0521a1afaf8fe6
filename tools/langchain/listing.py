"""The operator's list of LangChain tools, a JSON file that HEADRACE_LANGCHAIN_TOOLS names:

    [{"class": "langchain_community.tools:BraveSearch",
      "name": "brave",
      "arguments": {"search_wrapper": {"class": "langchain_community.utilities:BraveSearchWrapper",
                                       "arguments": {"api_key": {"env": "BRAVE_KEY"}}}}}]

The list is the operator's, not a tenant's: what a class is given decides over files and hosts of this machine. Nothing else is
ever loaded. An object `{"class", "arguments"}` becomes an object of that class, `{"env": NAME}` the value of a setting.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

SETTING = "HEADRACE_LANGCHAIN_TOOLS"
CLASS = re.compile(r"[A-Za-z_][\w.]{0,199}:[A-Za-z_]\w{0,99}", re.ASCII)
MAX_FILE = 256 * 1024
MAX_LISTED = 64

ClassName = Annotated[str, Meta(pattern=rf"^{CLASS.pattern}$(?!\n)")]


class ListedTool(msgspec.Struct, frozen=True, rename={"class_name": "class"}, forbid_unknown_fields=True):
    """A tool of the list. Without `name` and `description`, the class's own count. Its arguments may hold secrets."""

    class_name: ClassName
    arguments: dict[str, Any] = {}
    name: Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$(?!\n)")] | None = None
    description: Annotated[str, Meta(min_length=1, max_length=4000)] | None = None
    side_effects: bool = False
    timeout_s: Annotated[float, Meta(ge=1, le=120)] = 30.0

    def __repr__(self) -> str:
        return f"ListedTool({self.class_name})"


Listed = TypeVar("Listed", bound=msgspec.Struct)

_listed: list[ListedTool] = []


def list_langchain_tools(env: Mapping[str, str]) -> None:
    """Make the tools of the setting those of this process, as an installed package would; call it once, when it starts.
    Raises ValueError as `read_listed_tools`."""
    _listed[:] = read_listed_tools(env)


def listed_tools() -> Sequence[ListedTool]:
    """Return the tools of this process."""
    return _listed


def read_listed_tools(env: Mapping[str, str]) -> list[ListedTool]:
    """Return the tools of the file, none without the setting. Raises ValueError that names the setting and what is wrong."""
    listed = read_list(env, SETTING, ListedTool, "tools")
    return [msgspec.structs.replace(one, arguments=open_arguments(one.arguments, env)) for one in listed]


def read_list(env: Mapping[str, str], setting: str, kind: type[Listed], noun: str) -> list[Listed]:
    """Return what the file of a setting lists, with arguments that can be opened; nothing without the setting. Raises
    ValueError that names the setting and what is wrong."""
    path = env.get(setting, "").strip()
    if not path:
        return []
    try:
        data = Path(path).expanduser().read_bytes()
        if len(data) > MAX_FILE:
            raise ValueError(f"it is larger than {MAX_FILE >> 10} KB")
        listed = msgspec.json.decode(data, type=list[kind])
        if len(listed) > MAX_LISTED:
            raise ValueError(f"it lists more than {MAX_LISTED} {noun}")
        for one in cast(list[Any], listed):
            open_arguments(one.arguments, env)
        return listed
    except (OSError, ValueError) as error:  # msgspec's are ValueErrors
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{setting} is {path!r}; it must be a JSON file with a list of {noun}: {why}.") from None


def open_arguments(value: Any, env: Mapping[str, str]) -> Any:
    """Return arguments with the values of the settings that they name. Raises ValueError for one that isn't set, and for what
    is no class."""
    match value:
        case {"env": str(name)} if len(cast(dict[str, Any], value)) == 1:
            if not env.get(name, "").strip():
                raise ValueError(f"the setting {name} is not set")
            return env[name]
        case {"class": named} if not (isinstance(named, str) and CLASS.fullmatch(named)):
            raise ValueError(f"{json.dumps(named)[:80]} is no class; write module:Class")
        case dict():
            return {name: open_arguments(one, env) for name, one in cast(dict[str, Any], value).items()}
        case list():
            return [open_arguments(one, env) for one in cast(list[Any], value)]
        case _:
            return value
