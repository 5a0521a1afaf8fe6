"""Tells whether a grant by name is of something that exists. It may come first: an installation is set up in any order."""

import asyncio
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schema.identity.tenancy import GrantKind
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.agents.agents import find_agent
from schema.queries.agents.tools import find_tool
from schema.vault import PLATFORM


class GrantNotice(msgspec.Struct, frozen=True):
    """What a client should know of a grant that was set."""

    code: Annotated[Literal["name_unknown"], Meta(description="A stable code.")]
    message: Annotated[str, Meta(description="What it means, and what to do.")]


async def notice_for_grant(pool: Pool, kind: GrantKind, name: str) -> GrantNotice | None:
    """Return a notice if a grant names a shared agent or tool that doesn't exist. Models can't be told: providers pull them on
    demand, and tenants bring their own."""
    if kind == "model" or name.endswith("*") or await _exists(pool, kind, name):
        return None
    return GrantNotice(
        "name_unknown",
        f"There is no shared {kind} {name[:80]!r} yet. The grant takes effect when an admin creates one; check the spelling. "
        f"GET /api/admin/{kind}s lists the shared {kind}s, and a tenant's own need no grant.",
    )


async def _exists(pool: Pool, kind: GrantKind, name: str) -> bool:
    async with tenant_tx(pool, PLATFORM) as db:
        row = await (find_agent if kind == "agent" else find_tool)(db, PLATFORM, name)
    return row is not None or (kind == "tool" and name in await asyncio.to_thread(_builtin_names))


def _builtin_names() -> frozenset[str]:
    from tools.registry import (
        builtin_tools,
    )  # imported late: it loads parsers and plugins that most requests don't need

    return frozenset(builtin_tools())
