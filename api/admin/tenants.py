"""Tenants: make, list, look, change, suspend, delete (A9)."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET

from api.admin.concerned import TenantName, changing, reading
from api.admin.deeds import note, note_twice
from api.admin.onboarding import check_default, check_name, make_tenant
from api.admin.shapes import (
    GrantCountsOut,
    TenantChangeIn,
    TenantDetailOut,
    TenantIn,
    TenantMadeOut,
    TenantOut,
    TenantsOut,
    columns_of,
    fields_of,
)
from api.admin.words import Word
from api.describing import described
from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayManageTenants, Principal
from api.resources import Opened, Resources
from schema.db import Db
from schema.errors import InputError
from schema.queries import tenants
from schema.queries.knowledge import get_stored_bytes
from schema.tenancy import TenantState

TAGS = ["tenants"]
HERE = "/{tenant:str}"


@post(
    "/",
    status_code=201,
    opt=described(example={"slug": "acme", "name": "Acme", "models": ["ollama/*"]}),
    responses=problems("conflict"),
    summary="Make a tenant",
    tags=TAGS,
)
async def create_tenant(
    data: JSONBody[TenantIn], principal: MayManageTenants, resources: Opened
) -> Response[TenantMadeOut]:
    """Make a tenant with what it is granted. With the `api_key` of the answer it can chat at once; the key is shown this
    once. A tenant without models can't ask any."""
    made = await make_tenant(resources, principal, data)
    return Response(made, headers={"Location": f"/api/admin/tenants/{made.slug}", "Cache-Control": "no-store"})


@get("/", summary="List tenants", tags=TAGS)
async def list_tenants(
    principal: MayManageTenants,
    resources: Opened,
    wanted: Annotated[TenantState | None, QueryParameter(name="state")] = None,
    search: Word = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> TenantsOut:
    """`search` finds parts of slugs and names."""
    after = read_cursor(cursor, str) or ""
    rows = await tenants.list_tenants(resources.ports.pool, limit=limit + 1, after=after, state=wanted, search=search)
    items = [TenantOut(**fields_of(row)) for row in rows[:limit]]
    return TenantsOut(items, write_cursor(items[-1].slug) if len(rows) > limit else None)


@get(HERE, responses=problems("not_found"), summary="Look at a tenant", tags=TAGS)
async def get_tenant(tenant: TenantName, principal: MayManageTenants, resources: Opened) -> TenantDetailOut:
    async with reading(resources.ports.pool, tenant) as concerned:
        counts = await tenants.count_grants(concerned.db, concerned.id)
        stored = await get_stored_bytes(concerned.db, concerned.id)
    return TenantDetailOut(**fields_of(concerned.tenant), grants=GrantCountsOut(**counts), stored_bytes=stored)


@patch(HERE, responses=problems("not_found", "conflict"), summary="Change a tenant", tags=TAGS)
async def update_tenant(
    tenant: TenantName, data: JSONBody[TenantChangeIn], principal: MayManageTenants, resources: Opened
) -> TenantOut:
    """Change what is named and leave the rest; null takes a limit away. It holds within a second."""
    if data.name is not UNSET:
        check_name(data.name)
    values = columns_of(data)
    async with changing(resources.ports.pool, tenant) as (db, found):
        if values.get("default_model"):
            await _check_default(db, found["id"], values["default_model"])
        row = found
        if values:
            row = await tenants.change_tenant(db, found["id"], values) or found
            await note(db, principal, found["id"], "tenant.changed", found["slug"], msgspec.to_builtins(data))
    return TenantOut(**fields_of(row))


@post(
    f"{HERE}/suspend",
    status_code=200,
    responses=problems("not_found", "conflict"),
    summary="Suspend a tenant",
    tags=TAGS,
)
async def suspend_tenant(tenant: TenantName, principal: MayManageTenants, resources: Opened) -> TenantOut:
    """Refuse everything that comes with the tenant's keys and tokens, within a second. Its data is kept."""
    return await _move(resources, principal, tenant, "suspended", "tenant.suspended")


@post(
    f"{HERE}/resume", status_code=200, responses=problems("not_found", "conflict"), summary="Resume a tenant", tags=TAGS
)
async def resume_tenant(tenant: TenantName, principal: MayManageTenants, resources: Opened) -> TenantOut:
    """End a tenant's suspension."""
    return await _move(resources, principal, tenant, "active", "tenant.resumed")


@delete(HERE, status_code=202, responses=problems("not_found", "conflict"), summary="Delete a tenant", tags=TAGS)
async def delete_tenant(
    tenant: TenantName,
    principal: MayManageTenants,
    resources: Opened,
    confirm: Annotated[str | None, QueryParameter(description="The tenant's slug, to say that you mean it.")] = None,
) -> TenantOut:
    """Refuse everything at once, and then remove all that the tenant has, for ever. Suspend it instead to keep its data."""
    async with changing(resources.ports.pool, tenant, deleting=True) as (db, found):
        if confirm != found["slug"]:
            raise InputError(
                f"This deletes all that the tenant has, for ever. Say so with ?confirm={found['slug']}.",
                field="confirm",
            )
        row = found
        if found["state"] != "deleting":
            row = await tenants.change_tenant(db, found["id"], {"state": "deleting"}) or found
            await note_twice(db, principal, found["id"], "tenant.deleted", found["slug"], {"id": str(found["id"])})
    return TenantOut(**fields_of(row))


async def _move(resources: Resources, principal: Principal, name: str, state: TenantState, action: str) -> TenantOut:
    async with changing(resources.ports.pool, name) as (db, found):
        row = await tenants.change_tenant(db, found["id"], {"state": state}) or found
        await note(db, principal, found["id"], action, found["slug"], {"before": found["state"]})
    return TenantOut(**fields_of(row))


async def _check_default(db: Db, tenant_id: UUID, model: str) -> None:
    check_default(model, [row["name"] for row in await tenants.list_grants(db, tenant_id, "model")])


routes = Router(
    "/admin/tenants",
    route_handlers=[
        create_tenant,
        list_tenants,
        get_tenant,
        update_tenant,
        suspend_tenant,
        resume_tenant,
        delete_tenant,
    ],
)
