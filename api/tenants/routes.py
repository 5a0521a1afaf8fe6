"""Tenants, for platform admins: create, list, get, update, suspend, resume, delete."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET

from api.audit.log import record
from api.auth.principals import MayManageTenants, Principal
from api.auth.tenant_scope import TenantName, changing_tenant, reading_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import Search
from api.http.rows import from_row
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.tenants.onboarding import check_default, check_name, onboard_tenant
from api.tenants.schemas import (
    DETAIL_EXAMPLE,
    LIMITS_EXAMPLE,
    TENANT_EXAMPLE,
    GrantCountsOut,
    TenantChangeIn,
    TenantCreatedOut,
    TenantDetailOut,
    TenantIn,
    TenantOut,
    TenantsOut,
    limits_out,
    settings_columns,
    tenant_out,
)
from schema.errors import InputError
from schema.identity.tenancy import TenantState
from schema.postgres.connections import Db
from schema.queries.documents.document_stats import get_stored_bytes
from schema.queries.tenants import tenants

TAGS = ["tenants"]
TENANT_PATH = "/{tenant:str}"

NEW_TENANT_EXAMPLE = {
    "slug": "acme",
    "name": "Acme",
    "models": ["ollama/*"],
    "limits": {"requests_per_minute": 60, "budget_day_usd": 5},
    "owner": {"email": "ada@acme.example", "password": "seven mill wheels"},
}
CREATED_EXAMPLE = DETAIL_EXAMPLE | {
    "stored_bytes": 0,
    "api_key": "hr_…",
    "owner_id": "019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}
UPDATED_EXAMPLE = TENANT_EXAMPLE | {"limits": LIMITS_EXAMPLE | {"budget_month_usd": 250}, "max_running": 40}


@post(
    "/",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=NEW_TENANT_EXAMPLE, response=CREATED_EXAMPLE),
    responses=problems("conflict"),
    summary="Create a tenant",
    tags=TAGS,
)
async def create_tenant(
    data: JSONBody[TenantIn], principal: MayManageTenants, resources: AppResources
) -> Response[TenantCreatedOut]:
    """Creates a tenant with its grants, and optionally its first user. Its clients can chat right away with the `api_key` of
    the response, which is returned only once. A tenant without granted models can't use any."""
    created = await onboard_tenant(resources, principal, data)
    return Response(created, headers={"Location": f"/api/admin/tenants/{created.slug}", "Cache-Control": "no-store"})


@get(
    "/",
    opt=described(response={"items": [TENANT_EXAMPLE], "next_cursor": None}),
    summary="List tenants",
    tags=TAGS,
)
async def list_tenants(
    principal: MayManageTenants,
    resources: AppResources,
    tenant_state: Annotated[
        TenantState | None, QueryParameter(name="state", description="Only tenants in this state.")
    ] = None,
    search: Search = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> TenantsOut:
    """Lists all tenants of the installation; `search` looks in slugs and names."""
    after = read_cursor("tenants", cursor, str) or ""
    rows = await tenants.list_tenants(
        resources.core.pool, limit=limit + 1, after=after, state=tenant_state, search=search
    )
    items = [tenant_out(row) for row in rows[:limit]]
    return TenantsOut(items, write_cursor("tenants", items[-1].slug) if len(rows) > limit else None)


@get(
    TENANT_PATH,
    opt=described(response=DETAIL_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a tenant",
    tags=TAGS,
)
async def get_tenant(tenant: TenantName, principal: MayManageTenants, resources: AppResources) -> TenantDetailOut:
    """Returns a tenant with its settings, its number of grants and the storage it takes."""
    async with reading_tenant(resources.core.pool, tenant) as scope:
        counts = await tenants.count_grants(scope.db, scope.id)
        stored = await get_stored_bytes(scope.db, scope.id)
    tenant_row = scope.tenant
    extra = {"limits": limits_out(tenant_row), "grants": GrantCountsOut(**counts), "stored_bytes": stored}
    return from_row(TenantDetailOut, tenant_row, **extra)


@patch(
    TENANT_PATH,
    opt=described(example={"limits": {"budget_month_usd": 250}, "max_running": 40}, response=UPDATED_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Update a tenant",
    tags=TAGS,
)
async def update_tenant(
    tenant: TenantName, data: JSONBody[TenantChangeIn], principal: MayManageTenants, resources: AppResources
) -> TenantOut:
    """Changes the fields you send; the others keep their value, and null removes a limit. Takes effect within a second."""
    if data.name is not UNSET:
        check_name(data.name)
    values = settings_columns(data)
    async with changing_tenant(resources.core.pool, tenant) as (db, found):
        if values.get("default_model"):
            await _check_default(db, found.id, values["default_model"])
        row = found
        if values:
            row = await tenants.change_tenant(db, found.id, values) or found
            await record(db, principal, found.id, "tenant.changed", found.slug, msgspec.to_builtins(data))
    return tenant_out(row)


@post(
    f"{TENANT_PATH}/suspend",
    status_code=200,
    opt=described(response=TENANT_EXAMPLE | {"state": "suspended"}),
    responses=problems("not_found", "conflict"),
    summary="Suspend a tenant",
    tags=TAGS,
)
async def suspend_tenant(tenant: TenantName, principal: MayManageTenants, resources: AppResources) -> TenantOut:
    """Within a second, every request with the tenant's keys and tokens is refused. Its data is kept."""
    return await _set_state(resources, principal, tenant, "suspended", "tenant.suspended")


@post(
    f"{TENANT_PATH}/resume",
    status_code=200,
    opt=described(response=TENANT_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Resume a tenant",
    tags=TAGS,
)
async def resume_tenant(tenant: TenantName, principal: MayManageTenants, resources: AppResources) -> TenantOut:
    """Ends a tenant's suspension; its keys and tokens work again within a second."""
    return await _set_state(resources, principal, tenant, "active", "tenant.resumed")


@delete(
    TENANT_PATH,
    status_code=202,
    opt=described(response=TENANT_EXAMPLE | {"state": "deleting"}),
    responses=problems("not_found", "conflict"),
    summary="Delete a tenant",
    tags=TAGS,
)
async def delete_tenant(
    tenant: TenantName,
    principal: MayManageTenants,
    resources: AppResources,
    confirm: Annotated[str | None, QueryParameter(description="The tenant's slug, to confirm the deletion.")] = None,
) -> TenantOut:
    """Refuses the tenant's requests right away, then permanently deletes all of its data in the background. To keep the data,
    suspend the tenant instead."""
    async with changing_tenant(resources.core.pool, tenant, deleting=True) as (db, found):
        if confirm != found.slug:
            raise InputError(
                f"This permanently deletes all data of the tenant. Confirm it with ?confirm={found.slug}.",
                field="confirm",
            )
        row = found
        if found.state != "deleting":
            row = await tenants.change_tenant(db, found.id, {"state": "deleting"}) or found
            await record(db, principal, found.id, "tenant.deleted", found.slug, {"id": str(found.id)})
    return tenant_out(row)


async def _set_state(
    resources: Resources, principal: Principal, name: str, state: TenantState, action: str
) -> TenantOut:
    async with changing_tenant(resources.core.pool, name) as (db, found):
        row = await tenants.change_tenant(db, found.id, {"state": state}) or found
        await record(db, principal, found.id, action, found.slug, {"before": found.state})
    return tenant_out(row)


async def _check_default(db: Db, tenant_id: UUID, model: str) -> None:
    check_default(model, [grant.name for grant in await tenants.list_grants(db, tenant_id, "model")])


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
