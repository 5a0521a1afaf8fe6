"""Routes of egress grants, for admins: which private hosts a tenant may reach, and for what. The operator's setting
HEADRACE_EGRESS_ALLOW is the outer bound: what it does not list stays closed."""

from typing import Annotated

import msgspec
from litestar import Router, delete, get, put
from litestar.params import PathParameter
from msgspec import Meta

from api.audit.log import record
from api.auth.principals import MayManageTenants
from api.auth.tenant_scope import TenantName, changing_tenant, reading_tenant
from api.http.errors import problems
from api.http.fields import CreatedAt, CreatedBy, NoNextCursor
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.egress_uses import EgressUse
from schema.errors import Conflict, InputError, NotFound
from schema.queries.tenants import egress_grants
from tools.egress.policy import parse_entry

TAGS = ["tenants"]
MAX_GRANTS = 200
MAX_LENGTH = 300
NOT_OPEN = (
    "HEADRACE_EGRESS_ALLOW of this installation opens nothing of {host}, so the grant has no effect. The operator has to add "
    "it there and restart."
)
HOST = "A host, a host with its port, or a network: `erp.internal`, `10.1.2.3:8080`, `10.1.0.0/16`."
USE = (
    "What for: `tools` (configured tools, data sources, what tools fetch), `documents` (uploads by address), `providers` "
    "(`base_url` of the tenant's own provider keys), `sign_in` (its identity providers) or `webhooks` (its webhook endpoints "
    "and the callbacks of its jobs)."
)

UsePath = Annotated[EgressUse, PathParameter(description=USE)]
HostPath = Annotated[str, PathParameter(description=HOST)]

GRANT = {
    "use": "tools",
    "host": "erp.internal:8080",
    "in_effect": True,
    "note": None,
    "created_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}


class EgressGrantOut(msgspec.Struct, frozen=True, kw_only=True):
    """Permission for a tenant to reach a private host for a use."""

    use: Annotated[EgressUse, Meta(description=USE)]
    host: Annotated[str, Meta(description=HOST)]
    in_effect: Annotated[
        bool, Meta(description="False if HEADRACE_EGRESS_ALLOW of this installation opens nothing of it.")
    ]
    note: Annotated[
        str | None, Meta(description="Why the grant has no effect, and what would give it one; null if it has.")
    ]
    created_at: CreatedAt
    created_by: CreatedBy


class EgressGrantsOut(msgspec.Struct, frozen=True):
    """All egress grants of a tenant."""

    items: Annotated[list[EgressGrantOut], Meta(description="The grants, ordered by use and host.")]
    next_cursor: NoNextCursor = None


@get(
    "/",
    opt=described(response={"items": [GRANT]}),
    responses=problems("not_found"),
    summary="List a tenant's egress grants",
    tags=TAGS,
)
async def list_egress_grants(
    tenant: TenantName, principal: MayManageTenants, resources: AppResources
) -> EgressGrantsOut:
    """Lists the private hosts that a tenant may reach, and for what. Of these, only those that HEADRACE_EGRESS_ALLOW lists are
    open."""
    async with reading_tenant(resources.core.pool, tenant) as (db, found):
        rows = await egress_grants.list_egress_grants(db, found.id)
    return EgressGrantsOut([_grant_out(resources, row) for row in rows])


@put(
    "/{use:str}/{host:path}",
    opt=described(response=GRANT),
    responses=problems("not_found", "conflict"),
    summary="Set an egress grant",
    tags=TAGS,
)
async def set_egress_grant(
    tenant: TenantName, use: UsePath, host: HostPath, principal: MayManageTenants, resources: AppResources
) -> EgressGrantOut:
    """Lets a tenant reach a private host, at any port unless one is named, and over plain http. HEADRACE_EGRESS_ALLOW must list
    it, too: if it doesn't, the grant is stored, has no effect, and `in_effect` and `note` say so. Else it takes effect within a
    second."""
    entry = _entry(host)
    async with changing_tenant(resources.core.pool, tenant) as (db, found):
        if len(await egress_grants.list_egress_grants(db, found.id)) >= MAX_GRANTS:
            raise Conflict(f"A tenant can have at most {MAX_GRANTS} egress grants. Delete one, or grant a network.")
        row = await egress_grants.put_egress_grant(db, found.id, use, entry, created_by=principal.actor)
        await record(db, principal, found.id, "egress_grant.stored", f"{use}/{entry}")
    return _grant_out(resources, row)


@delete(
    "/{use:str}/{host:path}", responses=problems("not_found", "conflict"), summary="Revoke an egress grant", tags=TAGS
)
async def revoke_egress_grant(
    tenant: TenantName, use: UsePath, host: HostPath, principal: MayManageTenants, resources: AppResources
) -> None:
    """Revokes exactly this grant, within a second. Others that cover the same host stay in force."""
    entry = _entry(host)
    async with changing_tenant(resources.core.pool, tenant) as (db, found):
        if not await egress_grants.delete_egress_grant(db, found.id, use, entry):
            raise NotFound(
                "The tenant has no such egress grant. GET /api/admin/tenants/{tenant}/egress lists its grants."
            )
        await record(db, principal, found.id, "egress_grant.deleted", f"{use}/{entry}")


def _grant_out(resources: Resources, row: egress_grants.EgressGrant) -> EgressGrantOut:
    is_open = resources.settings.egress.may_open(parse_entry(row.host))
    note = None if is_open else NOT_OPEN.format(host=row.host)
    return from_row(EgressGrantOut, row, in_effect=is_open, note=note)


def _entry(host: str) -> str:
    """Return a host, host:port or network as it is stored. Raises InputError."""
    text = host.removeprefix("/")
    if len(text) > MAX_LENGTH:
        raise InputError(f"host must have at most {MAX_LENGTH} characters.", field="host")
    try:
        return str(parse_entry(text))
    except ValueError:
        raise InputError(
            "host must be a host, host:port or network, such as erp.internal, 10.1.2.3:8080 or 10.1.0.0/16.",
            field="host",
        ) from None


routes = Router(
    "/admin/tenants/{tenant:str}/egress", route_handlers=[list_egress_grants, set_egress_grant, revoke_egress_grant]
)
