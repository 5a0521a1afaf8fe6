"""Routes to manage a tenant's tools. Configured tools can be created, updated and deleted; built-in ones only listed."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET, to_builtins

from api.audit.log import record
from api.auth.principals import MayManageTools, Principal
from api.grants.tenant_rows import changing_own_tenant, require_name
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import EnabledFilter, Search
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources
from api.tools.schemas import (
    NEW_TOOL_EXAMPLE,
    TOOL_EXAMPLE,
    NewToolIn,
    ToolChangeIn,
    ToolOut,
    ToolsOut,
    builtin_tool_out,
    changed_definition,
    tool_definition,
    tool_out,
)
from api.tools.tool_catalog import NO_TOOL, ToolName, granted_builtin_tools, load_builtin_tools
from api.tools.tool_secrets import (
    check_headers_hold_no_secret,
    read_stored_secrets,
    resolve_secrets,
    seal_secrets,
)
from schema.errors import Conflict, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.agents import agents, tools
from schema.queries.tenants import tenant_settings
from schema.vault import Vault
from tools.configured import ToolDefinition, check_definition
from tools.egress import EgressPolicy

TOOL_PATH = "/{name:str}"

Force = Annotated[bool, QueryParameter(description="Whether to remove the tool from the agents that use it.")]


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_TOOL_EXAMPLE, response=TOOL_EXAMPLE),
    responses=problems("conflict", "egress_refused"),
    summary="Create a tool",
)
async def create_tool(
    data: JSONBody[NewToolIn], principal: MayManageTools, resources: AppResources
) -> Response[ToolOut]:
    """Your tenant's agents can be given the tool right away. Creating it doesn't call it; test the tool to do that.

    A tool that a platform admin creates is shared: a tenant can use it once it has been granted to it.
    """
    policy = await resources.egress.policy(principal.tenant_id, "tools")
    definition = await _validated(tool_definition(data), policy)
    secrets = resolve_secrets(definition, data.secrets, {})
    if data.name in await load_builtin_tools():
        raise Conflict(f"{data.name!r} is the name of a built-in tool. Choose another name.")
    tool_id = new_id()
    sealed = seal_secrets(resources.vault, secrets, tenant_id=principal.tenant_id, tool_id=tool_id)
    values = _columns(definition) | {"enabled": data.enabled} | sealed
    async with changing_own_tenant(resources, principal) as db:
        row = await tools.ROWS.add(db, principal.tenant_id, tool_id, data.name, values, created_by=principal.actor)
        if row is None:
            raise Conflict(f"A tool named {data.name!r} already exists. Update it, or choose another name.")
        detail = {"kind": data.kind, "secrets": sorted(secrets)}
        await record(db, principal, principal.tenant_id, "tool.created", data.name, detail)
    return Response(tool_out(row), headers={"Location": f"/api/admin/tools/{data.name}"})


@get("/", opt=described(response={"items": [TOOL_EXAMPLE], "next_cursor": None}), summary="List tools")
async def list_tools(
    principal: MayManageTools,
    resources: AppResources,
    enabled: EnabledFilter = None,
    search: Search = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> ToolsOut:
    """Lists every tool that your tenant's agents can be given: its own, and the shared and built-in tools granted to it."""
    after = read_cursor("tools", cursor, str) or ""
    async with principal.tx(resources.core.pool) as db:
        rows = await tools.list_tools(
            db, principal.tenant_id, limit=limit + 1, after=after, search=search, enabled=enabled
        )
        builtin_tools = await _list_builtin_tools(db, principal)
    found = {tool.name: tool for tool in builtin_tools if tool.name > after and _matches_filter(tool, search, enabled)}
    found |= {row.name: tool_out(row) for row in rows}
    items = [found[name] for name in sorted(found)[: limit + 1]]
    return ToolsOut(items[:limit], write_cursor("tools", items[limit - 1].name) if len(items) > limit else None)


@get(TOOL_PATH, opt=described(response=TOOL_EXAMPLE), responses=problems("not_found"), summary="Get a tool")
async def get_tool(name: ToolName, principal: MayManageTools, resources: AppResources) -> ToolOut:
    """Returns one of your tenant's own tools, or a shared or built-in tool that is granted to it."""
    require_name(name, NO_TOOL)
    async with principal.tx(resources.core.pool) as db:
        row = await tools.find_tool(db, principal.tenant_id, name)
        if row is not None:
            return tool_out(row)
        for tool in await _list_builtin_tools(db, principal):
            if tool.name == name:
                return tool
    raise NotFound(NO_TOOL)


@patch(
    TOOL_PATH,
    opt=described(example={"timeout_s": 30, "secrets": {"ERP_KEY": "…"}}, response=TOOL_EXAMPLE | {"timeout_s": 30.0}),
    responses=problems("not_found", "conflict", "secrets_required", "egress_refused"),
    summary="Update a tool",
)
async def update_tool(
    name: ToolName, data: JSONBody[ToolChangeIn], principal: MayManageTools, resources: AppResources
) -> ToolOut:
    """Changes the fields you send; the others keep their value. If `endpoint` moves to another scheme, host or port, send the
    secrets in use again: stored ones go only where they were stored for."""
    sent_fields = sorted(field for field in data.__struct_fields__ if getattr(data, field) is not UNSET)
    policy = await resources.egress.policy(principal.tenant_id, "tools")
    async with changing_own_tenant(resources, principal) as db:
        row = await _require_own(db, principal, name)
        if not sent_fields:
            return tool_out(row)
        definition = await _validated(changed_definition(row, data), policy)
        values = _columns(definition) | ({} if data.enabled is UNSET else {"enabled": data.enabled})
        if {"secrets", "headers", "endpoint", "kind"} & set(sent_fields):
            values |= _reseal_secrets(resources.vault, row, definition, {} if data.secrets is UNSET else data.secrets)
        changed = await tools.ROWS.change(db, principal.tenant_id, name, values)
        await record(db, principal, principal.tenant_id, "tool.changed", name, {"fields": sent_fields})
    return tool_out(changed or row)


@delete(TOOL_PATH, responses=problems("not_found", "conflict"), summary="Delete a tool")
async def delete_tool(name: ToolName, principal: MayManageTools, resources: AppResources, force: Force = False) -> None:
    """Returns 409 if agents use the tool, unless `force` is set."""
    async with changing_own_tenant(resources, principal) as db:
        await _require_own(db, principal, name)
        used_by = await agents.list_agents_using(db, principal.tenant_id, name)
        if used_by and not force:
            more = f" and {len(used_by) - 10} more" if len(used_by) > 10 else ""
            agents_ = f"{', '.join(used_by[:10])}{more}"
            message = f"{name!r} is used by {agents_}. Remove it from these agents, or send ?force=true to do so."
            raise Conflict(message)
        await agents.remove_tool_from_agents(db, principal.tenant_id, name)
        await tools.ROWS.delete(db, principal.tenant_id, name)
        await record(db, principal, principal.tenant_id, "tool.deleted", name, {"taken_from": used_by})


async def _list_builtin_tools(db: Db, principal: Principal) -> list[ToolOut]:
    row = await tenant_settings.find_configuration(db, principal.tenant_id)
    disabled = (row.settings.get("disabled_tools") or ()) if row else ()
    found = await granted_builtin_tools(db, principal)
    return [builtin_tool_out(tool, enabled=name not in disabled) for name, tool in found.items()]


def _matches_filter(tool: ToolOut, search: str | None, enabled: bool | None) -> bool:
    text = f"{tool.name} {tool.description}".lower()
    return (search is None or search.lower() in text) and (enabled is None or tool.enabled == enabled)


async def _validated(definition: ToolDefinition, policy: EgressPolicy) -> ToolDefinition:
    """Return the definition. Raises InputError if it is invalid. Checked in a thread, because SQL is parsed."""
    await asyncio.to_thread(check_definition, definition, policy)
    check_headers_hold_no_secret(definition.headers)
    return definition


def _columns(definition: ToolDefinition) -> dict[str, Any]:
    return {"kind": definition.kind, "definition": to_builtins(definition), "priority": definition.priority}


def _reseal_secrets(
    vault: Vault, row: tools.ToolWithSecrets, definition: ToolDefinition, sent_fields: Mapping[str, str | None]
) -> dict[str, Any]:
    """Return the columns of a tool's secrets after an update: only those that its headers still use."""
    secrets = resolve_secrets(definition, sent_fields, read_stored_secrets(vault, row, definition, sent_fields))
    return seal_secrets(vault, secrets, tenant_id=row.tenant_id, tool_id=row.id)


async def _require_own(db: Db, principal: Principal, name: str) -> tools.ToolWithSecrets:
    """Return one of the tenant's own tools. Raises NotFound, and Conflict for one it may use but not change."""
    require_name(name, NO_TOOL)
    row = await tools.find_tool(db, principal.tenant_id, name)
    if row is not None and row.own:
        return row
    if row is not None or name in await granted_builtin_tools(db, principal):
        message = (
            f"{name!r} doesn't belong to your tenant, so it can't be changed. To disable it, add it to disabled_tools of the "
            "configuration."
        )
        raise Conflict(message)
    raise NotFound(NO_TOOL)


routes = Router(
    "/admin/tools", route_handlers=[create_tool, list_tools, get_tool, update_tool, delete_tool], tags=["tools"]
)
