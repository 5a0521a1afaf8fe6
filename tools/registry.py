"""The registry of tools: the list below, plus those that installed packages add in the entry point group `headrace.tools`.

To add a built-in tool: a file in `tools/builtin/` with a `build()`, and its line here. To add one from outside: a package with

    [project.entry-points."headrace.tools"]
    stock_price = "acme_tools:stock_price"      # a Tool, or a function without arguments that returns one

LangChain's tools need no package: the operator lists them in a file (`tools/langchain/listing.py`).

A broken plugin is logged and skipped; a plugin can't replace an existing tool.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import structlog

from schema.errors import InputError
from tools.builtin import (
    analyse_data,
    mathematics,
    python,
    query_database,
    read_image,
    recall,
    remember,
    search_documents,
    system_info,
    weather,
    web_search,
    wikipedia,
    world_time,
)
from tools.contract import Tool
from tools.langchain.listing import listed_tools
from tools.langchain.tools import langchain_tools
from tools.parameter_schema import check_schema

ENTRY_POINT_GROUP = "headrace.tools"

BUILTIN: tuple[Callable[[], Tool], ...] = (
    search_documents.build,
    web_search.build,
    wikipedia.build,
    weather.build,
    world_time.build,
    mathematics.build,
    python.build,
    analyse_data.build,
    query_database.build,
    remember.build,
    recall.build,
    read_image.build,
    system_info.build,
)

log = structlog.get_logger()


def builtin_tools(plugins: bool = True) -> dict[str, Tool]:
    """Every tool in code, by name, built-in ones first. Loading plugins imports their packages; those of LangChain are asked
    for once in a process."""
    tools = {tool.spec.name: tool for tool in (build() for build in BUILTIN)}
    if not plugins:
        return tools
    entries = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name)
    loaded = [(entry.name, tool) for entry in entries if (tool := _load_plugin(entry)) is not None]
    for plugin, tool in (*loaded, *((tool.spec.name, tool) for tool in _listed_tools())):
        if tool.spec.name in tools:
            log.error("tool_plugin_refused", plugin=plugin, tool=tool.spec.name, reason="the name is taken")
        else:
            tools[tool.spec.name] = tool
    return tools


@cache
def _listed_tools() -> tuple[Tool, ...]:
    return tuple(langchain_tools(listed_tools()))


def _load_plugin(entry: EntryPoint) -> Tool | None:
    """The tool of an entry point, or None if it fails: one bad package must not stop every worker."""
    try:
        return _validate_plugin(entry.load())
    except InputError as error:
        log.error("tool_plugin_refused", plugin=entry.name, reason=error.message)
    except Exception:
        log.exception("tool_plugin_broken", plugin=entry.name)
    return None


def _validate_plugin(found: Any) -> Tool:
    """Raises InputError if it is not a tool or its parameters are not a valid schema."""
    tool = found if isinstance(found, Tool) else found()
    if not isinstance(tool, Tool):
        raise InputError("It is neither a tool nor a function that returns one.")
    check_schema(tool.spec.parameters)
    return tool
