"""The operator's list of LangChain tools, a JSON file that HEADRACE_LANGCHAIN_TOOLS names:

    [{"class": "langchain_community.tools:BraveSearch",
      "name": "brave",
      "arguments": {"search_wrapper": {"class": "langchain_community.utilities:BraveSearchWrapper",
                                       "arguments": {"api_key": {"env": "BRAVE_KEY"}}}}}]

The list is the operator's, not a tenant's: what a class is given decides over files and hosts of this machine. Nothing else is
ever loaded. An object `{"class", "arguments"}` becomes an object of that class, `{"env": NAME}` the value of a setting. A
module that isn't installed may lie beside the list.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from tools.langchain.child import ClassCall

SETTING = "HEADRACE_LANGCHAIN_TOOLS"
CLASS = re.compile(r"[A-Za-z_][\w.]{0,199}:[A-Za-z_]\w{0,99}", re.ASCII)
MAX_FILE = 256 * 1024
MAX_LISTED = 64
BUILTIN = Path(__file__).parents[1] / "builtin"
"""A file for each built-in tool, of its name."""

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


class LangChainTool(msgspec.Struct, frozen=True):
    """A tool of the list, and what its object is made with, which may hold secrets."""

    listed: ListedTool
    made: ClassCall

    def __repr__(self) -> str:
        return repr(self.listed)


Listed = TypeVar("Listed", bound=msgspec.Struct)

_listed: list[LangChainTool] = []


def list_langchain_tools(env: Mapping[str, str]) -> None:
    """Make the tools of the setting those of this process, as an installed package would; call it once, when it starts.
    Raises ValueError as `read_listed_tools`."""
    _listed[:] = read_listed_tools(env)


def listed_tools() -> Sequence[LangChainTool]:
    """Return the tools of this process."""
    return _listed


def read_listed_tools(env: Mapping[str, str]) -> list[LangChainTool]:
    """Return the tools of the file, none without the setting. Raises ValueError that names the setting and what is wrong."""
    listed = read_list(env, SETTING, ListedTool, "tools")
    names = [one.name for one in listed if one.name]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{SETTING} is {env[SETTING]!r}; it lists {twice!r} twice.")
    if taken := next((name for name in names if name in _builtin_names()), None):
        raise ValueError(f"{SETTING} is {env[SETTING]!r}; {taken!r} is a built-in tool's name, so take another.")
    return [LangChainTool(one, made_of(one, env, SETTING)) for one in listed]


def _builtin_names() -> set[str]:
    return {file.stem for file in BUILTIN.glob("*.py")}


def made_of(listed: Any, env: Mapping[str, str], setting: str) -> ClassCall:
    """Return what an entry of a setting's list is made with. Raises ValueError as `open_arguments`."""
    folder = str(_file(env, setting).absolute().parent)
    return ClassCall(listed.class_name, open_arguments(listed.arguments, env), folder)


def _file(env: Mapping[str, str], setting: str) -> Path:
    return Path(env[setting].strip()).expanduser()


def read_list(env: Mapping[str, str], setting: str, kind: type[Listed], noun: str) -> list[Listed]:
    """Return what the file of a setting lists, with arguments that can be opened; nothing without the setting. Raises
    ValueError that names the setting and what is wrong."""
    path = env.get(setting, "").strip()
    if not path:
        return []
    try:
        data = _file(env, setting).read_bytes()
        if len(data) > MAX_FILE:
            raise ValueError(f"it is larger than {MAX_FILE >> 10} KB")
        listed = msgspec.json.decode(data, type=list[kind])
        if len(listed) > MAX_LISTED:
            raise ValueError(f"it lists more than {MAX_LISTED} {noun}")
        for number, one in enumerate(cast(list[Any], listed), 1):
            _check_arguments(one, number, env)
        return listed
    except (OSError, ValueError) as error:  # msgspec's are ValueErrors
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{setting} is {path!r}; it must be a JSON file with a list of {noun}: {why}.") from None


def _check_arguments(listed: Any, number: int, env: Mapping[str, str]) -> None:
    try:
        open_arguments(listed.arguments, env)
    except ValueError as error:
        raise ValueError(f"entry {number} ({listed.name or listed.class_name}): {error}") from None


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
