"""Which tools a tenant may name: configured ones of its own, those of the platform that are granted to it, and those that
are code, as far as they are granted.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import cache

from api.admin.own_rows import list_patterns
from api.principals import Principal
from schema.db import Db
from schema.errors import InputError
from schema.queries.tools import list_tools_there
from schema.tenancy import matches
from tools.contract import Tool

NO_TOOL = "There is no such tool of your tenant. GET /api/admin/tools lists them."


@cache
def _load() -> Mapping[str, Tool]:
    from tools.registry import builtin_tools  # parsers and plugins, which a process that only takes chats never needs

    return builtin_tools()


async def load_builtin_tools() -> Mapping[str, Tool]:
    """Return the tools that are code, by name. They are imported when they are first asked for, in a thread."""
    return await asyncio.to_thread(_load)


async def granted_builtin_tools(db: Db, principal: Principal) -> dict[str, Tool]:
    """Return the tools that are code and granted to the caller's tenant; for the platform all."""
    patterns = await list_patterns(db, principal, "tool")
    found = await load_builtin_tools()
    return {name: tool for name, tool in found.items() if any(matches(pattern, name) for pattern in patterns)}


async def check_tools(
    db: Db, principal: Principal, names: Sequence[str], field: str, *, known: Collection[str] = ()
) -> None:
    """Raise InputError for the first of `names` that is no tool which the caller's tenant may use, unless it is `known`, and
    for one that is named twice. Never tells another tenant's tool from one that nobody has."""
    there = await list_tools_there(db, names) | set(known)
    code = {} if there.issuperset(names) else await granted_builtin_tools(db, principal)
    for place, name in enumerate(names):
        where = f"{field}[{place}]"
        if name in names[:place]:
            raise InputError(f"{where} names {name[:80]!r} a second time.", field=where)
        if name not in there and name not in code:
            said = f"{where}: there is no tool {name[:80]!r} that your tenant may use. GET /api/admin/tools lists them."
            raise InputError(said, field=where)
