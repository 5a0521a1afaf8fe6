"""Routes of widgets for those who manage a tenant's keys: create, list, get, change, remove."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from api.audit.log import record
from api.auth.principals import MayManageKeys, Principal
from api.grants.model_access import reread_tenant
from api.grants.tenant_rows import changing_own_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.usage.caller_budgets import SPENT_EXAMPLE, budget_columns, read_spent_out
from api.widgets.schemas import (
    MAX_WIDGETS,
    WIDGET_EXAMPLE,
    WIDGET_IN_EXAMPLE,
    WidgetChangeIn,
    WidgetDetailOut,
    WidgetIn,
    WidgetOut,
    WidgetsOut,
    check_origins,
    widget_fields,
    widget_out,
)
from schema.errors import Conflict, InputError, NotFound, UnknownAgent
from schema.identity.public_keys import new_public_find
from schema.ids import new_id
from schema.queries.identity import widgets
from schema.queries.identity.widgets import WidgetSettings

WIDGET_PATH = "/{widget_id:uuid}"
WidgetId = Annotated[UUID, PathParameter(description="Id of the widget.")]
NO_WIDGET = "Your tenant has no such widget. GET /api/widgets lists its widgets."


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=WIDGET_IN_EXAMPLE, response=WIDGET_EXAMPLE),
    responses=problems("conflict", "agent_unknown"),
    summary="Create a widget",
)
async def create_widget(
    data: JSONBody[WidgetIn], principal: MayManageKeys, resources: AppResources
) -> Response[WidgetOut]:
    """Makes a public key with which pages of these origins show a chat with this agent:
    `<script src="…/console/widget.js" data-key="hrw_…" async></script>`. The key can do nothing else."""
    await _require_agent(resources, principal, data.agent)
    settings = {"agent": data.agent, "origins": check_origins(data.origins), "title": data.title.strip()}
    settings |= {"greeting": data.greeting.strip(), "messages_per_minute": data.messages_per_minute}
    values: dict[str, Any] = {"id": new_id(), "find": new_public_find(), "name": data.name, "widget": settings}
    values |= {"created_by": principal.actor, **budget_columns(data)}
    async with changing_own_tenant(resources, principal) as db:
        row = await widgets.add_widget(db, principal.tenant_id, values, most=MAX_WIDGETS)
        if row is None:
            raise Conflict(f"Your tenant has {MAX_WIDGETS} widgets, the maximum. Remove one first.")
        detail = {"agent": row.agent, "origins": row.origins}
        await record(db, principal, principal.tenant_id, "widget.created", f"key:{row.id}", detail)
    return Response(widget_out(row), headers={"Location": f"/api/widgets/{row.id}"})


@get("/", opt=described(response={"items": [WIDGET_EXAMPLE], "next_cursor": None}), summary="List widgets")
async def list_widgets(
    principal: MayManageKeys, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> WidgetsOut:
    """Lists the widgets of your tenant, newest first."""
    before = read_cursor("widgets", cursor, UUID)
    async with principal.tx(resources.core.pool) as db:
        rows = await widgets.list_widgets(db, principal.tenant_id, limit=limit + 1, before=before)
    items = [widget_out(row) for row in rows[:limit]]
    return WidgetsOut(items, write_cursor("widgets", items[-1].id) if len(rows) > limit else None)


@get(
    WIDGET_PATH,
    opt=described(response=WIDGET_EXAMPLE | {"spent": SPENT_EXAMPLE}),
    responses=problems("not_found"),
    summary="Get a widget",
)
async def get_widget(widget_id: WidgetId, principal: MayManageKeys, resources: AppResources) -> WidgetDetailOut:
    """Returns a widget with what its visitors spent. `GET /api/sessions?widget=` lists their conversations."""
    async with principal.tx(resources.core.pool) as db:
        row = await widgets.find_widget(db, principal.tenant_id, widget_id)
        if row is None:
            raise NotFound(NO_WIDGET)
        spent = await read_spent_out(db, principal.tenant_id, "key", widget_id)
    return from_row(WidgetDetailOut, row, spent=spent, **widget_fields(row))


@patch(
    WIDGET_PATH,
    opt=described(example={"origins": ["https://shop.example.com"]}, response=WIDGET_EXAMPLE),
    responses=problems("not_found", "agent_unknown"),
    summary="Change a widget",
)
async def change_widget(
    widget_id: WidgetId, data: JSONBody[WidgetChangeIn], principal: MayManageKeys, resources: AppResources
) -> WidgetOut:
    """Changes the fields you send, within a second for pages that are open. The key stays."""
    sent = {name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not UNSET}
    if not sent:
        raise InputError(f"Send at least one of {', '.join(data.__struct_fields__)}.")
    if "agent" in sent:
        await _require_agent(resources, principal, sent["agent"])
    if "origins" in sent:
        sent["origins"] = check_origins(sent["origins"])
    settings = {name: value for name, value in sent.items() if name in WidgetSettings.__struct_fields__}
    columns = {**budget_columns(data), **({"name": sent["name"]} if "name" in sent else {})}
    async with principal.tx(resources.core.pool) as db:
        row = await widgets.change_widget(db, principal.tenant_id, widget_id, columns=columns, settings=settings)
        if row is None:
            raise NotFound(NO_WIDGET)
        detail = msgspec.to_builtins(sent)
        await record(db, principal, principal.tenant_id, "widget.changed", f"key:{widget_id}", detail)
    return widget_out(row)


@delete(WIDGET_PATH, responses=problems("not_found"), summary="Remove a widget")
async def delete_widget(widget_id: WidgetId, principal: MayManageKeys, resources: AppResources) -> None:
    """Within a second, its key is refused everywhere. Conversations of its visitors stay yours."""
    async with principal.tx(resources.core.pool) as db:
        name = await widgets.revoke_widget(db, principal.tenant_id, widget_id)
        if name is None:
            raise NotFound(NO_WIDGET)
        await record(db, principal, principal.tenant_id, "widget.deleted", f"key:{widget_id}", {"name": name})


async def _require_agent(resources: Resources, principal: Principal, agent: str) -> None:
    """Raise UnknownAgent for an agent that the tenant can't call."""
    if agent not in principal.tenant.agents and agent not in (await reread_tenant(resources, principal)).tenant.agents:
        known = ", ".join(sorted(principal.tenant.agents)[:20]) or "none"
        raise UnknownAgent(f"No such agent: {agent[:80]!r}. Agents you can use: {known}.", field="agent")


routes = Router(
    "/widgets", route_handlers=[create_widget, list_widgets, get_widget, change_widget, delete_widget], tags=["widgets"]
)
