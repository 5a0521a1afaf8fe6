"""Users and API keys of any tenant, for admins, through the handlers that the tenant's owner uses (`api/users/routes.py`,
`api/identity/api_keys.py`). The tenant's audit log records the admin as the actor.
"""

from dataclasses import replace
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody

from api.auth.principals import MayManageTenants, Principal
from api.auth.tenant_scope import TenantName, changing_tenant, reading_tenant
from api.http.errors import problems
from api.http.paging import Cursor, Limit
from api.http.query_params import Search
from api.identity import api_keys
from api.identity.api_keys import ApiKeyCreatedOut, ApiKeyIn, ApiKeysOut, KeyId
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.usage.caller_budgets import BUDGET_EXAMPLE, SPENT_EXAMPLE
from api.users import routes as users
from api.users.routes import RoleFilter, StateFilter, UserChangeIn, UserDetailOut, UserId, UserIn, UserOut, UsersOut
from schema.errors import Forbidden
from schema.identity.tenancy import TenantSnapshot
from schema.vault import PLATFORM

TAGS = ["tenants"]
USER_PATH = "/users/{user_id:uuid}"


@get(
    "/users",
    opt=described(response={"items": [users.USER_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a tenant's users",
    tags=TAGS,
)
async def list_tenant_users(
    tenant: TenantName,
    principal: MayManageTenants,
    resources: AppResources,
    state_filter: StateFilter = None,
    role: RoleFilter = None,
    search: Search = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> UsersOut:
    """Lists the users of a tenant; `search` looks in emails and names."""
    acting = await _principal_for_reading(resources, principal, tenant)
    filters = {"state_filter": state_filter, "role": role, "search": search, "cursor": cursor, "limit": limit}
    return await users.list_users.fn(principal=acting, resources=resources, **filters)


@post(
    "/users",
    status_code=201,
    opt=described(response_headers=LOCATION_HEADER, example=users.NEW_USER_EXAMPLE, response=users.USER_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Create a tenant's user",
    tags=TAGS,
)
async def create_tenant_user(
    tenant: TenantName, data: JSONBody[UserIn], principal: MayManageTenants, resources: AppResources
) -> Response[UserOut]:
    """Creates a user in a tenant. Without a password, they sign in through the tenant's identity provider."""
    acting = await _principal_for_changes(resources, principal, tenant)
    created = await users.create_user.fn(data=data, principal=acting, resources=resources)
    location = f"/api/admin/tenants/{acting.tenant.slug}/users/{created.content.id}"
    return Response(created.content, headers={"Location": location})


@get(
    USER_PATH,
    opt=described(response=users.USER_EXAMPLE | BUDGET_EXAMPLE | {"spent": SPENT_EXAMPLE}),
    responses=problems("not_found"),
    summary="Get a tenant's user",
    tags=TAGS,
)
async def get_tenant_user(
    tenant: TenantName, user_id: UserId, principal: MayManageTenants, resources: AppResources
) -> UserDetailOut:
    """Returns a user of a tenant, with their budgets and what was spent."""
    acting = await _principal_for_reading(resources, principal, tenant)
    return await users.get_user.fn(user_id=user_id, principal=acting, resources=resources)


@patch(
    USER_PATH,
    opt=described(example={"role": "owner"}, response=users.USER_EXAMPLE | {"role": "owner"}),
    responses=problems("not_found", "conflict"),
    summary="Update a tenant's user",
    tags=TAGS,
)
async def update_tenant_user(
    tenant: TenantName,
    user_id: UserId,
    data: JSONBody[UserChangeIn],
    principal: MayManageTenants,
    resources: AppResources,
) -> UserOut:
    """Changes the fields you send; the others keep their value. Setting a password ends the user's sign-ins and revokes their
    API keys; disabling the user ends their sign-ins. Returns 409 if the tenant would lose its last active owner."""
    acting = await _principal_for_changes(resources, principal, tenant)
    return await users.update_user.fn(user_id=user_id, data=data, principal=acting, resources=resources)


@delete(USER_PATH, responses=problems("not_found", "conflict"), summary="Delete a tenant's user", tags=TAGS)
async def delete_tenant_user(
    tenant: TenantName, user_id: UserId, principal: MayManageTenants, resources: AppResources
) -> None:
    """Deletes a user with their sign-ins and API keys; their sessions and jobs remain with the tenant. Returns 409 for the
    last active owner."""
    acting = await _principal_for_changes(resources, principal, tenant)
    await users.delete_user.fn(user_id=user_id, principal=acting, resources=resources)


@get(
    "/keys",
    opt=described(response={"items": [api_keys.KEY_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a tenant's API keys",
    tags=TAGS,
)
async def list_tenant_api_keys(
    tenant: TenantName, principal: MayManageTenants, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> ApiKeysOut:
    """Lists all API keys of a tenant, without their secrets."""
    acting = await _principal_for_reading(resources, principal, tenant)
    return await api_keys.list_api_keys.fn(principal=acting, resources=resources, cursor=cursor, limit=limit)


@post(
    "/keys",
    status_code=201,
    opt=described(example=api_keys.NEW_KEY_EXAMPLE, response=api_keys.CREATED_KEY_EXAMPLE | {"user_id": None}),
    responses=problems("not_found", "conflict", "model_unknown"),
    summary="Create a tenant's API key",
    tags=TAGS,
)
async def create_tenant_api_key(
    tenant: TenantName, data: JSONBody[ApiKeyIn], principal: MayManageTenants, resources: AppResources
) -> Response[ApiKeyCreatedOut]:
    """The key acts for the tenant, whatever `for_tenant` says. It is returned only once."""
    acting = await _principal_for_changes(resources, principal, tenant)
    if data.role == "admin" and acting.tenant_id != PLATFORM:
        raise Forbidden("role must not be admin: admins belong to the platform's own tenant.", field="role")
    asked = msgspec.structs.replace(data, for_tenant=True)
    return await api_keys.create_api_key.fn(data=asked, principal=acting, resources=resources)


@delete(
    "/keys/{key_id:uuid}", responses=problems("not_found", "conflict"), summary="Revoke a tenant's API key", tags=TAGS
)
async def revoke_tenant_api_key(
    tenant: TenantName, key_id: KeyId, principal: MayManageTenants, resources: AppResources
) -> None:
    """Within a second, the key is refused everywhere. Revoking it again changes nothing."""
    acting = await _principal_for_changes(resources, principal, tenant)
    await api_keys.revoke_api_key.fn(key_id=key_id, principal=acting, resources=resources)


async def _principal_for_reading(resources: Resources, principal: Principal, name: str) -> Principal:
    """Return the admin's principal in the named tenant. Raises NotFound."""
    async with reading_tenant(resources.core.pool, name) as scope:
        return _in_tenant(principal, scope.tenant.id, scope.tenant.slug)


async def _principal_for_changes(resources: Resources, principal: Principal, name: str) -> Principal:
    """Like `_principal_for_reading`, for changes. Raises NotFound, and Conflict for a tenant that is being deleted."""
    async with changing_tenant(resources.core.pool, name, platform=True) as scope:
        return _in_tenant(principal, scope.tenant.id, scope.tenant.slug)


def _in_tenant(principal: Principal, tenant_id: UUID, slug: str) -> Principal:
    # The admin is not a user of that tenant.
    return replace(principal, tenant=TenantSnapshot(id=tenant_id, slug=slug), user_id=None, visible_user_id=None)


routes = Router(
    "/admin/tenants/{tenant:str}",
    route_handlers=[
        *(list_tenant_users, create_tenant_user, get_tenant_user, update_tenant_user, delete_tenant_user),
        *(list_tenant_api_keys, create_tenant_api_key, revoke_tenant_api_key),
    ],
)
