"""Routes of grants, for admins: which models, agents and tools a tenant may use, with overrides for that tenant."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, put
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from api.audit.log import record
from api.auth.principals import MayManageTenants
from api.auth.tenant_scope import TenantName, changing_tenant, reading_tenant
from api.grants.existing_names import GrantNotice, notice_for_grant
from api.grants.output_schemas import OutputFormat, check_output, check_output_schema, check_renderer
from api.grants.patterns import check_model, check_pattern
from api.http.errors import problems
from api.http.fields import CreatedAt, CreatedBy, NoNextCursor
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import InputError, NotFound
from schema.identity.tenancy import GrantKind, matches
from schema.postgres.connections import Db
from schema.queries.tenants import tenants

TAGS = ["tenants"]
AGENT_ONLY = ("output_schema", "models")
"""Overrides that only agents have."""


KIND = "What is granted: `model`, `agent` or `tool`."
KindPath = Annotated[GrantKind, PathParameter(description=KIND)]
KindFilter = Annotated[GrantKind | None, QueryParameter(description="Only grants of this kind.")]
NamePath = Annotated[
    str,
    PathParameter(
        description="A name, or a prefix of names that ends in `*`. Models are `provider/name`, such as `ollama/llama3.2:3b`."
    ),
]

NEW_GRANT_EXAMPLE = {"overrides": {"output_format": "markdown_table", "models": ["ollama/llama3.2:3b"]}}
GRANT_EXAMPLE = NEW_GRANT_EXAMPLE | {
    "kind": "agent",
    "name": "AgentInventory",
    "created_at": "2026-03-02T08:15:30Z",
    "created_by": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
}


class OverridesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What differs for this tenant from the agent, tool or model itself."""

    output_format: Annotated[OutputFormat, Meta(description="Format of the answers.")] | UnsetType = UNSET
    output_schema: (
        Annotated[dict[str, Any], Meta(description="JSON Schema for `structured_json`. Agents only.")] | UnsetType
    ) = UNSET
    renderer: (
        Annotated[dict[str, Any], Meta(description="Display hint for the tenant's clients; at most 4 KB.")] | UnsetType
    ) = UNSET
    models: (
        Annotated[
            list[Annotated[str, Meta(max_length=300)]],
            Meta(min_length=1, max_length=10, description="Models to try in order. Agents only."),
        ]
        | UnsetType
    ) = UNSET


class GrantIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a grant."""

    overrides: Annotated[
        OverridesIn,
        Meta(description="What differs for this tenant; nothing by default.", extra={"max_bytes": 288 * 1024}),
    ] = OverridesIn()


class GrantOut(msgspec.Struct, frozen=True, kw_only=True):
    """Permission for a tenant to use a model, an agent or a tool."""

    kind: Annotated[GrantKind, Meta(description=KIND)]
    name: Annotated[str, Meta(description="A name, or a prefix of names that ends in `*`.")]
    overrides: Annotated[dict[str, Any], Meta(description="What differs for this tenant, as it was set.")]
    created_at: CreatedAt
    created_by: CreatedBy


class GrantSetOut(GrantOut, frozen=True, kw_only=True):
    """A grant that was just set."""

    notice: Annotated[
        GrantNotice | UnsetType, Meta(description="That the grant has no effect yet, and why; left out if it has.")
    ] = UNSET


class GrantsOut(msgspec.Struct, frozen=True):
    """All grants of a tenant."""

    items: Annotated[list[GrantOut], Meta(description="The grants, ordered by kind and name.")]
    next_cursor: NoNextCursor = None


@get(
    "/",
    opt=described(response={"items": [GRANT_EXAMPLE]}),
    responses=problems("not_found"),
    summary="List a tenant's grants",
    tags=TAGS,
)
async def list_grants(
    tenant: TenantName, principal: MayManageTenants, resources: AppResources, kind: KindFilter = None
) -> GrantsOut:
    """Lists what a tenant may use: models, agents and tools, by name or by prefix."""
    async with reading_tenant(resources.core.pool, tenant) as (db, found):
        grants = await tenants.list_grants(db, found.id, kind)
    return GrantsOut([from_row(GrantOut, grant) for grant in grants])


@put(
    "/{kind:str}/{name:path}",
    opt=described(example=NEW_GRANT_EXAMPLE, response=GRANT_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Set a grant",
    tags=TAGS,
)
async def set_grant(
    tenant: TenantName,
    kind: KindPath,
    name: NamePath,
    principal: MayManageTenants,
    resources: AppResources,
    data: JSONBody[GrantIn | None] = None,
) -> GrantSetOut:
    """Grants a tenant a model, an agent or a tool. If the grant exists, its overrides are replaced. `notice` says so if
    there is no such agent or tool yet."""
    pattern = check_pattern(kind, name.removeprefix("/"), "name")
    overrides = _overrides(kind, (data or GrantIn()).overrides)
    async with changing_tenant(resources.core.pool, tenant) as (db, found):
        await _check_models_granted(db, found.id, overrides.get("models", []))
        grant = await tenants.put_grant(db, found.id, kind, pattern, overrides=overrides, created_by=principal.actor)
        detail = {"overrides": sorted(overrides), "output_format": overrides.get("output_format")}
        await record(db, principal, found.id, "grant.stored", f"{kind}/{pattern}", detail)
    notice = await notice_for_grant(resources.core.pool, kind, pattern)
    return from_row(GrantSetOut, grant, notice=notice or UNSET)


@delete("/{kind:str}/{name:path}", responses=problems("not_found", "conflict"), summary="Revoke a grant", tags=TAGS)
async def revoke_grant(
    tenant: TenantName,
    kind: KindPath,
    name: NamePath,
    principal: MayManageTenants,
    resources: AppResources,
) -> None:
    """Revokes exactly this grant. Others that cover the same name stay in force."""
    pattern = check_pattern(kind, name.removeprefix("/"), "name")
    async with changing_tenant(resources.core.pool, tenant) as (db, found):
        if not await tenants.delete_grant(db, found.id, kind, pattern):
            raise NotFound("The tenant has no such grant. GET /api/admin/tenants/{tenant}/grants lists its grants.")
        await record(db, principal, found.id, "grant.deleted", f"{kind}/{pattern}")


def _overrides(kind: GrantKind, data: OverridesIn) -> dict[str, Any]:
    """Return the overrides to store. Raises InputError for an invalid one."""
    for name in AGENT_ONLY:
        if kind != "agent" and getattr(data, name) is not UNSET:
            raise InputError(f"overrides.{name} applies to agents only. Leave it out.", field=f"overrides.{name}")
    if data.renderer is not UNSET:
        check_renderer(data.renderer, "overrides.renderer")
    if data.output_schema is not UNSET:
        if data.output_format is UNSET:  # the agent's own format may be the right one
            check_output_schema(data.output_schema, "overrides.output_schema")
        else:
            check_output(data.output_format, data.output_schema, "overrides.output_schema")
    for index, model in enumerate(() if data.models is UNSET else data.models):
        check_model(model, f"overrides.models[{index}]")
    return msgspec.to_builtins(data)


async def _check_models_granted(db: Db, tenant_id: UUID, models: list[str]) -> None:
    """Raise InputError for a model that the tenant may not use: it would be skipped."""
    granted = [grant.name for grant in await tenants.list_grants(db, tenant_id, "model")] if models else []
    for index, model in enumerate(models):
        if not any(matches(pattern, model) for pattern in granted):
            field = f"overrides.models[{index}]"
            raise InputError(f"{field}: model {model!r} is not granted to this tenant. Grant it first.", field=field)


routes = Router("/admin/tenants/{tenant:str}/grants", route_handlers=[list_grants, set_grant, revoke_grant])
