"""Versions of an agent: what it was after each of its last changes, and back to one of them."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from api.agents.manage import AGENT_EXAMPLE, AGENT_PATH, AgentName, change_agent, require_agent
from api.agents.schemas import (
    AgentOut,
    CacheS,
    Description,
    Enabled,
    Examples,
    Format,
    Graph,
    Models,
    OutputSchema,
    Prompt,
    Renderer,
    Steps,
    Tools,
)
from api.auth.principals import MayManageAgents
from api.grants.tenant_rows import changing_own_tenant
from api.http.errors import problems
from api.http.fields import NoNextCursor
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import NotFound
from schema.queries.agents import agent_versions
from schema.queries.agents.agents import CHANGEABLE

NO_VERSION = "No such version of this agent. GET /api/admin/agents/{name}/versions lists those that are kept."


class RestoreIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version to go back to."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1, description="Number of the version.")]


class AgentVersionOut(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was after a change."""

    version: Annotated[int, Meta(description="Number of the version: 1, 2, 3 …; the last 50 are kept.")]
    created_at: Annotated[datetime, Meta(description="When it was changed so.")]
    created_by: Annotated[str | None, Meta(description="Who changed it; null if that isn't known.")]
    description: Description
    examples: Examples
    prompt: Prompt
    models: Models
    graph: Graph
    tools: Tools
    output_format: Format | None
    output_schema: OutputSchema | None
    renderer: Renderer | None
    max_steps: Steps
    cache_s: CacheS
    enabled: Enabled


class AgentVersionsOut(msgspec.Struct, frozen=True):
    """The versions of an agent that are kept, the newest first."""

    items: Annotated[list[AgentVersionOut], Meta(description="The versions; the first is how the agent is now.")]
    next_cursor: NoNextCursor = None


VERSION_EXAMPLE: dict[str, Any] = {
    "version": 3,
    "created_at": AGENT_EXAMPLE["updated_at"],
    "created_by": AGENT_EXAMPLE["created_by"],
    **{name: AGENT_EXAMPLE[name] for name in CHANGEABLE},
}


@get(
    f"{AGENT_PATH}/versions",
    opt=described(response={"items": [VERSION_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List an agent's versions",
)
async def list_versions_of_agent(
    name: AgentName, principal: MayManageAgents, resources: AppResources
) -> AgentVersionsOut:
    """Every change of an agent makes a version, whoever makes it; the last 50 are kept."""
    async with principal.tx(resources.core.pool) as db:
        await require_agent(db, principal, name)
        rows = await agent_versions.list_agent_versions(db, principal.tenant_id, name)
    return AgentVersionsOut([_version_out(row) for row in rows])


@post(
    f"{AGENT_PATH}/restore",
    status_code=200,
    opt=described(example={"version": 1}, response=AGENT_EXAMPLE),
    responses=problems("not_found"),
    summary="Restore a version of an agent",
)
async def restore_version_of_agent(
    name: AgentName, data: JSONBody[RestoreIn], principal: MayManageAgents, resources: AppResources
) -> AgentOut:
    """Makes the agent what it was then, as a new version. Refused if it names a tool or a model that your tenant may no longer
    use."""
    async with changing_own_tenant(resources, principal) as db:
        row = await require_agent(db, principal, name)
        found = await agent_versions.find_agent_version(db, principal.tenant_id, name, data.version)
        if found is None:
            raise NotFound(NO_VERSION)
        return await change_agent(db, principal, row, found.definition, restored=data.version)


def _version_out(row: agent_versions.AgentVersion) -> AgentVersionOut:
    about = {"version": row.version, "created_at": row.created_at, "created_by": row.created_by}
    return msgspec.convert({**row.definition, **about}, AgentVersionOut)


routes = Router("/admin/agents", route_handlers=[list_versions_of_agent, restore_version_of_agent], tags=["agents"])
