"""Routes to manage a tenant's agents. Changes take effect with the next job."""

from typing import Annotated, Any

import msgspec
from litestar import Response, Router, delete, get, patch, post, put
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from api.agents.schemas import (
    AgentChangeIn,
    AgentIn,
    AgentOut,
    AgentsOut,
    AgentToolsIn,
    ReloadOut,
    check_agent,
    check_models,
    check_new,
)
from api.audit.log import record
from api.auth.principals import MayManageAgents, Principal
from api.grants.tenant_rows import changing_own_tenant, list_patterns, require_name
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import EnabledFilter, Search
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources
from api.tools.tool_catalog import check_tools
from schema.errors import Conflict, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.agents import agents
from schema.queries.agents.agent_versions import name_actor

AGENT_PATH = "/{name:str}"
AgentName = Annotated[str, PathParameter(description="The agent's name.")]
NO_AGENT = "Your tenant has no such agent. GET /api/admin/agents lists its agents."
NOTHING_TO_RELOAD = (
    "Changes take effect with the next job, so there is nothing to reload. config_version is what it will use."
)

NEW_AGENT_EXAMPLE: dict[str, Any] = {
    "name": "AgentInventory",
    "description": "Answers how many units of an article are in which warehouse.",
    "examples": ["How many CF-ROB-01 are left in HN01?", "Tồn kho của mã CF-ROB-01 là bao nhiêu?"],
    "prompt": "You are {agent}. Today is {date}. Look up stock levels with your tools; never guess a number.",
    "graph": "react",
    "tools": ["get_inventory"],
    "output_format": "markdown_table",
    "renderer": {"type": "table", "sortable": True},
}
AGENT_EXAMPLE: dict[str, Any] = NEW_AGENT_EXAMPLE | {
    "models": [],
    "output_schema": None,
    "max_steps": 5,
    "cache_s": 0,
    "enabled": True,
    "created_at": "2026-03-02T08:15:30Z",
    "updated_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_AGENT_EXAMPLE, response=AGENT_EXAMPLE),
    responses=problems("conflict"),
    summary="Create an agent",
)
async def create_agent(
    data: JSONBody[AgentIn], principal: MayManageAgents, resources: AppResources
) -> Response[AgentOut]:
    """Your tenant can call the agent right away: as `agent` of a chat, or as the model `agent/NAME` in the OpenAI API.

    An agent that a platform admin creates is shared: a tenant can call it once it has been granted to it.
    """
    values = check_new(data)
    async with changing_own_tenant(resources, principal) as db:
        await _check_references(db, principal, values)
        await name_actor(db, principal.actor)
        row = await agents.ROWS.add(db, principal.tenant_id, new_id(), data.name, values, created_by=principal.actor)
        if row is None:
            raise Conflict(f"An agent named {data.name!r} already exists. Update it, or choose another name.")
        await record(db, principal, principal.tenant_id, "agent.created", data.name, {"graph": data.graph})
    return Response(from_row(AgentOut, row), headers={"Location": f"/api/admin/agents/{data.name}"})


@get(
    "/",
    opt=described(response={"items": [AGENT_EXAMPLE], "next_cursor": None}),
    summary="List your tenant's agents",
)
async def list_managed_agents(
    principal: MayManageAgents,
    resources: AppResources,
    enabled: EnabledFilter = None,
    search: Search = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> AgentsOut:
    """Lists your tenant's own agents with their configuration. GET /api/agents lists every agent that you can call."""
    after = read_cursor("agents", cursor, str) or ""
    async with principal.tx(resources.core.pool) as db:
        rows = await agents.list_agents(
            db, principal.tenant_id, limit=limit + 1, after=after, search=search, enabled=enabled
        )
    items = [from_row(AgentOut, row) for row in rows[:limit]]
    return AgentsOut(items, write_cursor("agents", items[-1].name) if len(rows) > limit else None)


@post(
    "/reload",
    status_code=200,
    opt=described(response={"config_version": "42", "message": NOTHING_TO_RELOAD}),
    summary="Reload agents",
)
async def reload_agents(principal: MayManageAgents, resources: AppResources) -> ReloadOut:
    """Does nothing but return the version of the configuration: changes of agents, tools, grants and settings take effect
    with the next job. It exists for clients that expect such a call."""
    async with principal.tx(resources.core.pool) as db:
        version = await agents.get_config_version(db, principal.tenant_id)
        await record(db, principal, principal.tenant_id, "agents.reloaded", version)
    return ReloadOut(config_version=version, message=NOTHING_TO_RELOAD)


@get(AGENT_PATH, opt=described(response=AGENT_EXAMPLE), responses=problems("not_found"), summary="Get an agent")
async def get_agent(name: AgentName, principal: MayManageAgents, resources: AppResources) -> AgentOut:
    """Returns one of your tenant's own agents with its full configuration."""
    async with principal.tx(resources.core.pool) as db:
        return from_row(AgentOut, await require_agent(db, principal, name))


@patch(
    AGENT_PATH,
    opt=described(
        example={"max_steps": 8, "enabled": False}, response=AGENT_EXAMPLE | {"max_steps": 8, "enabled": False}
    ),
    responses=problems("not_found"),
    summary="Update an agent",
)
async def update_agent(
    name: AgentName, data: JSONBody[AgentChangeIn], principal: MayManageAgents, resources: AppResources
) -> AgentOut:
    """Changes the fields you send; the others keep their value."""
    values = {field: value for field in data.__struct_fields__ if (value := getattr(data, field)) is not UNSET}
    async with changing_own_tenant(resources, principal) as db:
        row = await require_agent(db, principal, name)
        return await change_agent(db, principal, row, values) if values else from_row(AgentOut, row)


@put(
    f"{AGENT_PATH}/tools",
    opt=described(example={"tools": ["get_inventory"]}, response=AGENT_EXAMPLE),
    responses=problems("not_found"),
    summary="Set an agent's tools",
)
async def set_agent_tools(
    name: AgentName, data: JSONBody[AgentToolsIn], principal: MayManageAgents, resources: AppResources
) -> AgentOut:
    """Replaces all tools of the agent."""
    async with changing_own_tenant(resources, principal) as db:
        row = await require_agent(db, principal, name)
        return await change_agent(db, principal, row, {"tools": data.tools})


@delete(AGENT_PATH, responses=problems("not_found"), summary="Delete an agent")
async def delete_agent(name: AgentName, principal: MayManageAgents, resources: AppResources) -> None:
    """Jobs that are waiting for the agent fail. Sessions keep the answers it gave."""
    require_name(name, NO_AGENT)
    async with changing_own_tenant(resources, principal) as db:
        if not await agents.ROWS.delete(db, principal.tenant_id, name):
            raise NotFound(NO_AGENT)
        await record(db, principal, principal.tenant_id, "agent.deleted", name)


async def _check_references(db: Db, principal: Principal, values: dict[str, object]) -> None:
    """Raise InputError for a tool or a model in `values` that the tenant may not use."""
    if isinstance(models := values.get("models"), list):
        check_models(models, await list_patterns(db, principal, "model"))
    if isinstance(tools := values.get("tools"), list):
        await check_tools(db, principal, tools, "tools")


async def change_agent(
    db: Db, principal: Principal, row: agents.Agent, values: dict[str, object], *, restored: int | None = None
) -> AgentOut:
    """Set fields of an agent, perhaps those of a version that is `restored`. Raises InputError."""
    check_agent(msgspec.structs.asdict(row) | values)
    await _check_references(db, principal, values)
    await name_actor(db, principal.actor)
    changed = await agents.ROWS.change(db, principal.tenant_id, row.name, values)
    detail = {"fields": sorted(values)} | ({"tools": values["tools"]} if "tools" in values else {})
    detail |= {} if restored is None else {"version": restored}
    await record(db, principal, principal.tenant_id, "agent.changed", row.name, detail)
    return from_row(AgentOut, changed or row)


async def require_agent(db: Db, principal: Principal, name: str) -> agents.Agent:
    """Return one of the tenant's own agents. Raises NotFound."""
    require_name(name, NO_AGENT)
    row = await agents.find_agent(db, principal.tenant_id, name)
    if row is None:
        raise NotFound(NO_AGENT)
    return row


routes = Router(
    "/admin/agents",
    route_handlers=[
        create_agent,
        list_managed_agents,
        reload_agents,
        get_agent,
        update_agent,
        set_agent_tools,
        delete_agent,
    ],
    tags=["agents"],
)
