"""Agents as their admins see them, and those that a tenant may call. What a run of one needs is read in
`schema/queries/agents/agent_config.py`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.agents.named_rows import NamedTable


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as its admins see it."""

    name: str
    description: str
    examples: list[str]
    prompt: str
    models: list[str]
    graph: str
    tools: list[str]
    output_format: str | None
    output_schema: dict[str, Any] | None
    renderer: dict[str, Any] | None
    max_steps: int
    cache_s: int
    enabled: bool
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class CallableAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as its callers see it. `own` says that it is the tenant's, and not one that is shared with it."""

    name: str
    description: str
    examples: list[str]
    graph: str
    output_format: str | None
    renderer: dict[str, Any] | None
    own: bool


CHANGEABLE = (
    *("description", "examples", "prompt", "models", "graph", "tools", "output_format", "output_schema", "renderer"),
    *("max_steps", "cache_s", "enabled"),
)
COLUMNS = f"name, {', '.join(CHANGEABLE)}, created_at, updated_at, created_by"
JSON = frozenset({"examples", "models", "tools", "output_schema", "renderer"})
ROWS = NamedTable("agents", CHANGEABLE, COLUMNS, Agent, JSON)

# In the order of bytes, as cursors compare.
LIST = f"""
SELECT {COLUMNS} FROM agents
WHERE tenant_id = %(tenant_id)s AND name COLLATE "C" > %(after)s
  AND (%(enabled)s::boolean IS NULL OR enabled = %(enabled)s)
  AND (%(search)s::text IS NULL OR strpos(lower(name || ' ' || description), lower(%(search)s)) > 0)
ORDER BY name COLLATE "C" LIMIT %(limit)s
"""

# Row-level security shows the platform's rows as far as they are granted. As in `tenant_facts()`, which decides who may call.
CALLABLE = """
SELECT name, description, examples, graph, output_format, renderer, own FROM (
  SELECT DISTINCT ON (name COLLATE "C") name, description, examples, graph, output_format, renderer, enabled,
    tenant_id = %(tenant_id)s AS own
  FROM agents ORDER BY name COLLATE "C", (tenant_id = %(tenant_id)s) DESC) AS a
WHERE enabled
"""

LIST_USING_TOOL = """
SELECT name FROM agents WHERE tenant_id = %(tenant_id)s AND tools ? %(tool)s ORDER BY name COLLATE "C"
"""
REMOVE_TOOL = """
UPDATE agents SET tools = tools - %(tool)s::text, updated_at = now() WHERE tenant_id = %(tenant_id)s AND tools ? %(tool)s
"""


async def list_agents(
    db: Db, tenant_id: UUID, *, limit: int, after: str = "", search: str | None = None, enabled: bool | None = None
) -> list[Agent]:
    """Return the tenant's own agents by name; `after` is the last name of the page before."""
    values = {"tenant_id": tenant_id, "limit": limit, "after": after, "search": search, "enabled": enabled}
    return await fetch_all(db, LIST, values, into=Agent)


async def list_callable_agents(db: Db, tenant_id: UUID) -> list[CallableAgent]:
    """Return the agents that the tenant may call, its own and those that are granted, by name."""
    return await fetch_all(db, CALLABLE, {"tenant_id": tenant_id}, into=CallableAgent)


async def find_agent(db: Db, tenant_id: UUID, name: str) -> Agent | None:
    """Return one of the tenant's own agents."""
    sql = f"SELECT {COLUMNS} FROM agents WHERE tenant_id = %(tenant_id)s AND name = %(name)s"
    return await fetch_one(db, sql, {"tenant_id": tenant_id, "name": name}, into=Agent)


async def list_agents_using(db: Db, tenant_id: UUID, tool: str) -> list[str]:
    """Return the names of the tenant's agents that have a tool."""
    return [row["name"] for row in await fetch_all(db, LIST_USING_TOOL, {"tenant_id": tenant_id, "tool": tool})]


async def remove_tool_from_agents(db: Db, tenant_id: UUID, tool: str) -> None:
    """Take a tool out of all of the tenant's agents."""
    await db.execute(REMOVE_TOOL, {"tenant_id": tenant_id, "tool": tool})


async def get_config_version(db: Db, tenant_id: UUID) -> str:
    """Return the version of the tenant's configuration; every change makes another."""
    row = await fetch_one(db, "SELECT config_version(%(tenant_id)s::uuid) AS version", {"tenant_id": tenant_id})
    assert row is not None
    return row["version"]
