"""Agents of one's own tenant: make, list, look, change, give tools, delete (A9, G6). Every change is live with the next job."""

from litestar import Response, Router, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET
from psycopg.rows import DictRow

from api.admin.agent_shapes import (
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
from api.admin.deeds import note
from api.admin.known_tools import check_tools
from api.admin.own_rows import changing_own, list_patterns, require_name
from api.admin.words import Word
from api.describing import described
from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayManageAgents, Principal
from api.resources import Opened
from schema.db import Db
from schema.errors import Conflict, NotFound
from schema.ids import new_id
from schema.queries import agents

HERE = "/{name:str}"
NO_AGENT = "There is no such agent of your tenant. GET /api/admin/agents lists them."
LIVE = "Every change is live with the next job, so nothing has to be reloaded. This is the version that it will use."

EXAMPLE = {
    "name": "AgentInventory",
    "description": "Answers how much of an article is in which warehouse.",
    "examples": ["How many CF-ROB-01 are left in HN01?", "Tồn kho của mã CF-ROB-01 là bao nhiêu?"],
    "prompt": "You are {agent}. Today is {date}. Look stock up with your tools; never guess a number.",
    "graph": "react",
    "tools": ["world_time"],
    "output_format": "markdown_table",
    "renderer": {"type": "table", "sortable": True},
}


@post(
    "/",
    status_code=201,
    opt=described(example=EXAMPLE),
    responses=problems("conflict"),
    summary="Make an agent",
)
async def create_agent(data: JSONBody[AgentIn], principal: MayManageAgents, resources: Opened) -> Response[AgentOut]:
    """Your tenant may call it at once, as `agent` of a chat or as the model `agent/NAME`. One that a platform admin makes is
    shared: tenants may call it when it is granted to them."""
    values = check_new(data)
    async with changing_own(resources, principal) as db:
        await _check_named(db, principal, values)
        row = await agents.ROWS.add(db, principal.tenant_id, new_id(), data.name, values, created_by=principal.actor)
        if row is None:
            raise Conflict(f"There is an agent {data.name!r} already. Change it, or choose another name.")
        await note(db, principal, principal.tenant_id, "agent.created", data.name, {"graph": data.graph})
    return Response(AgentOut(**row), headers={"Location": f"/api/admin/agents/{data.name}"})


@get("/", summary="List agents")
async def list_managed_agents(
    principal: MayManageAgents,
    resources: Opened,
    enabled: FromQuery[bool | None] = None,
    search: Word = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> AgentsOut:
    """Your tenant's own; `search` finds parts of names and descriptions. GET /api/agents has all that you may call."""
    after = read_cursor(cursor, str) or ""
    async with principal.tx(resources.ports.pool) as db:
        rows = await agents.list_agents(
            db, principal.tenant_id, limit=limit + 1, after=after, search=search, enabled=enabled
        )
    items = [AgentOut(**row) for row in rows[:limit]]
    return AgentsOut(items, write_cursor(items[-1].name) if len(rows) > limit else None)


@post("/reload", status_code=200, summary="Tell the configuration in force")
async def reload_agents(principal: MayManageAgents, resources: Opened) -> ReloadOut:
    """Nothing has to be reloaded: every change of agents, tools, grants and settings is live with the next job."""
    async with principal.tx(resources.ports.pool) as db:
        version = await agents.get_config_version(db, principal.tenant_id)
        await note(db, principal, principal.tenant_id, "agents.reloaded", version)
    return ReloadOut(config_version=version, message=LIVE)


@get(HERE, responses=problems("not_found"), summary="Look at an agent")
async def get_agent(name: FromPath[str], principal: MayManageAgents, resources: Opened) -> AgentOut:
    async with principal.tx(resources.ports.pool) as db:
        return AgentOut(**await _require(db, principal, name))


@patch(HERE, responses=problems("not_found"), summary="Change an agent")
async def update_agent(
    name: FromPath[str], data: JSONBody[AgentChangeIn], principal: MayManageAgents, resources: Opened
) -> AgentOut:
    """Change what is named and leave the rest."""
    values = {field: value for field in data.__struct_fields__ if (value := getattr(data, field)) is not UNSET}
    async with changing_own(resources, principal) as db:
        row = await _require(db, principal, name)
        check_agent({**row, **values})
        await _check_named(db, principal, values)
        return await _change(db, principal, row, values) if values else AgentOut(**row)


@put(f"{HERE}/tools", responses=problems("not_found"), summary="Give an agent its tools")
async def set_agent_tools(
    name: FromPath[str], data: JSONBody[AgentToolsIn], principal: MayManageAgents, resources: Opened
) -> AgentOut:
    """These and no others, whatever it had before."""
    async with changing_own(resources, principal) as db:
        row = await _require(db, principal, name)
        await _check_named(db, principal, {"tools": data.tools})
        return await _change(db, principal, row, {"tools": data.tools})


@delete(HERE, responses=problems("not_found"), summary="Delete an agent")
async def delete_agent(name: FromPath[str], principal: MayManageAgents, resources: Opened) -> None:
    """Jobs of it that wait will fail; what it said is kept."""
    require_name(name, NO_AGENT)
    async with changing_own(resources, principal) as db:
        if not await agents.ROWS.delete(db, principal.tenant_id, name):
            raise NotFound(NO_AGENT)
        await note(db, principal, principal.tenant_id, "agent.deleted", name)


async def _check_named(db: Db, principal: Principal, values: dict[str, object]) -> None:
    """Look up the tools and models that are set. Raises InputError that names the one that the tenant may not use."""
    if isinstance(models := values.get("models"), list):
        check_models(models, await list_patterns(db, principal, "model"))
    if isinstance(tools := values.get("tools"), list):
        await check_tools(db, principal, tools, "tools")


async def _change(db: Db, principal: Principal, row: DictRow, values: dict[str, object]) -> AgentOut:
    changed = await agents.ROWS.change(db, principal.tenant_id, row["name"], values)
    detail = {"fields": sorted(values)} | ({"tools": values["tools"]} if "tools" in values else {})
    await note(db, principal, principal.tenant_id, "agent.changed", row["name"], detail)
    return AgentOut(**(changed or row))


async def _require(db: Db, principal: Principal, name: str) -> DictRow:
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
