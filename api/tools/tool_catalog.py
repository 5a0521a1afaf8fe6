"""The tools that a tenant may use: its own, and shared and built-in ones that are granted to it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Annotated

from litestar.params import PathParameter

from api.auth.principals import Principal
from api.grants.tenant_rows import list_patterns
from schema.errors import InputError
from schema.identity.tenancy import matches
from schema.postgres.connections import Db
from schema.queries.agents.tools import list_existing_tools
from tools.contract import Tool

ToolName = Annotated[str, PathParameter(description="The tool's name.")]
NO_TOOL = "Your tenant has no such tool. GET /api/admin/tools lists its tools."


@cache
def _load() -> Mapping[str, Tool]:
    from tools.registry import (
        builtin_tools,  # imported late: it loads parsers and plugins that most requests don't need
    )

    return builtin_tools()


async def load_builtin_tools() -> Mapping[str, Tool]:
    """Return the built-in tools by name. They are imported on first use, in a thread."""
    return await asyncio.to_thread(_load)


async def granted_builtin_tools(db: Db, principal: Principal) -> dict[str, Tool]:
    """Return the built-in tools granted to the caller's tenant; all of them for the platform."""
    patterns = await list_patterns(db, principal, "tool")
    tools = await load_builtin_tools()
    return {name: tool for name, tool in tools.items() if any(matches(pattern, name) for pattern in patterns)}


async def check_tools(
    db: Db, principal: Principal, names: Sequence[str], field: str, *, known: Collection[str] = ()
) -> None:
    """Raise InputError for the first of `names` that the caller's tenant may not use, unless it is `known`, and for a
    duplicate. Gives no hint whether another tenant has a tool of that name."""
    available = await list_existing_tools(db, names) | set(known)
    builtin_tools = {} if available.issuperset(names) else await granted_builtin_tools(db, principal)
    for index, name in enumerate(names):
        path = f"{field}[{index}]"
        if name in names[:index]:
            raise InputError(f"{path} duplicates {name[:80]!r}; list each tool once.", field=path)
        if name not in available and name not in builtin_tools:
            message = f"{path}: your tenant has no tool {name[:80]!r}. GET /api/admin/tools lists its tools."
            raise InputError(message, field=path)
