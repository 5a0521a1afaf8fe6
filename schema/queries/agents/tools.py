"""Configured tools as their admins see them. `sealed` is opened only where a tool is built or a secret is changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.agents.named_rows import NamedTable
from schema.vault import Sealed


class ConfiguredTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that is a row: the tenant's `own`, or one of the platform's that is granted to it."""

    tenant_id: UUID
    id: UUID
    name: str
    kind: str
    definition: dict[str, Any]
    priority: int
    enabled: bool
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    own: bool


class ToolWithSecrets(ConfiguredTool, frozen=True, kw_only=True):
    """The same with what its headers need, sealed."""

    key_id: str | None
    sealed: bytes | None

    @property
    def secrets(self) -> Sealed | None:
        return None if self.key_id is None or self.sealed is None else Sealed(self.key_id, self.sealed)

    def __repr__(self) -> str:
        return f"ToolWithSecrets(id={self.id})"


CHANGEABLE = ("kind", "definition", "priority", "enabled", "key_id", "sealed")
COLUMNS = "tenant_id, id, name, kind, definition, priority, enabled, created_at, updated_at, created_by"
ROWS = NamedTable("tools", CHANGEABLE, f"{COLUMNS}, true AS own", ConfiguredTool, frozenset({"definition"}))
IS_OWN = "tenant_id = %(tenant_id)s AS own"

# The platform's rows are there as far as they are granted (row-level security); one's own hide those of the same name.
LIST = f"""
SELECT DISTINCT ON (name COLLATE "C") {COLUMNS}, {IS_OWN} FROM tools
WHERE name COLLATE "C" > %(after)s AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
  AND (%(search)s::text IS NULL OR strpos(lower(name || ' ' || (definition ->> 'description')), lower(%(search)s)) > 0)
ORDER BY name COLLATE "C", (tenant_id = %(tenant_id)s) DESC LIMIT %(limit)s
"""
FIND = f"""
SELECT {COLUMNS}, key_id, sealed, {IS_OWN} FROM tools WHERE name = %(name)s ORDER BY (tenant_id = %(tenant_id)s) DESC LIMIT 1
"""


async def list_tools(
    db: Db, tenant_id: UUID, *, limit: int, after: str = "", search: str | None = None, enabled: bool | None = None
) -> list[ConfiguredTool]:
    """Return the tenant's own tools and those that are granted, by name; `own` tells them apart."""
    values = {"tenant_id": tenant_id, "limit": limit, "after": after, "search": search, "enabled": enabled}
    return await fetch_all(db, LIST, values, into=ConfiguredTool)


async def find_tool(db: Db, tenant_id: UUID, name: str) -> ToolWithSecrets | None:
    """Return a tool that the tenant may use, with its sealed secrets: its own, else one that is granted."""
    return await fetch_one(db, FIND, {"tenant_id": tenant_id, "name": name}, into=ToolWithSecrets)


async def list_existing_tools(db: Db, names: Sequence[str]) -> set[str]:
    """Return those of `names` that are configured tools which the tenant of the transaction may use."""
    rows = await fetch_all(db, "SELECT name FROM tools WHERE name = ANY(%(names)s)", {"names": list(names)})
    return {row["name"] for row in rows}
