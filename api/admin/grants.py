"""Grants: which models, agents and tools a tenant may use, and how their output looks there (X3)."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, put
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from api.admin.concerned import TenantName, changing, reading
from api.admin.deeds import note
from api.admin.output_shapes import OutputFormat, check_output, check_output_schema, check_renderer
from api.admin.patterns import check_model, check_pattern
from api.errors import problems
from api.principals import MayManageTenants
from api.resources import Opened
from schema.db import Db
from schema.errors import InputError, NotFound
from schema.queries import tenants
from schema.tenancy import GrantKind, matches

TAGS = ["tenants"]
OF_AGENTS = ("output_schema", "models")
"""Overrides that only an agent has."""


class OverridesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is otherwise for this tenant than the agent, tool or model says. `renderer` is for the tenant's client, up to
    4 KB; `output_schema` is a JSON Schema for `structured_json`, `models` are tried one after another: both are for agents."""

    output_format: OutputFormat | UnsetType = UNSET
    output_schema: dict[str, Any] | UnsetType = UNSET
    renderer: dict[str, Any] | UnsetType = UNSET
    models: Annotated[list[Annotated[str, Meta(max_length=300)]], Meta(min_length=1, max_length=10)] | UnsetType = UNSET


class GrantIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes with a grant; overrides that are left out are none."""

    overrides: OverridesIn = OverridesIn()


class GrantOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a tenant may use: `name`, or all whose names begin with what stands before its `*`."""

    kind: GrantKind
    name: str
    overrides: Annotated[dict[str, Any], Meta(description="As they were set.")]
    created_at: datetime
    created_by: str | None


class GrantsOut(msgspec.Struct, frozen=True):
    """All grants of a tenant, by kind and name."""

    items: list[GrantOut]


@get("/", responses=problems("not_found"), summary="List a tenant's grants", tags=TAGS)
async def list_grants(
    tenant: TenantName, principal: MayManageTenants, resources: Opened, kind: FromQuery[GrantKind | None] = None
) -> GrantsOut:
    async with reading(resources.ports.pool, tenant) as (db, found):
        rows = await tenants.list_grants(db, found["id"], kind)
    return GrantsOut([_grant(row) for row in rows])


@put("/{kind:str}/{name:path}", responses=problems("not_found", "conflict"), summary="Grant something", tags=TAGS)
async def set_grant(
    tenant: TenantName,
    kind: FromPath[GrantKind],
    name: FromPath[str],
    principal: MayManageTenants,
    resources: Opened,
    data: JSONBody[GrantIn | None] = None,
) -> GrantOut:
    """Grant a model, an agent or a tool, by its name or as a beginning of names with one `*` at its end, or set the
    overrides of that grant anew."""
    pattern = check_pattern(kind, name.removeprefix("/"), "name")
    overrides = _overrides(kind, (data or GrantIn()).overrides)
    async with changing(resources.ports.pool, tenant) as (db, found):
        await _check_models_granted(db, found["id"], overrides.get("models", []))
        row = await tenants.put_grant(db, found["id"], kind, pattern, overrides=overrides, created_by=principal.actor)
        detail = {"overrides": sorted(overrides), "output_format": overrides.get("output_format")}
        await note(db, principal, found["id"], "grant.stored", f"{kind}/{pattern}", detail)
    return _grant(row)


@delete("/{kind:str}/{name:path}", responses=problems("not_found", "conflict"), summary="Take a grant back", tags=TAGS)
async def revoke_grant(
    tenant: TenantName,
    kind: FromPath[GrantKind],
    name: FromPath[str],
    principal: MayManageTenants,
    resources: Opened,
) -> None:
    """Take back exactly this grant; others that cover the same name stay."""
    pattern = check_pattern(kind, name.removeprefix("/"), "name")
    async with changing(resources.ports.pool, tenant) as (db, found):
        if not await tenants.delete_grant(db, found["id"], kind, pattern):
            raise NotFound("There is no such grant.")
        await note(db, principal, found["id"], "grant.deleted", f"{kind}/{pattern}")


def _overrides(kind: GrantKind, data: OverridesIn) -> dict[str, Any]:
    """Return the overrides as they are stored. Raises InputError that names the one that can't be used."""
    for name in OF_AGENTS:
        if kind != "agent" and getattr(data, name) is not UNSET:
            raise InputError(f"overrides.{name} is for agents only; leave it out.", field=f"overrides.{name}")
    if data.renderer is not UNSET:
        check_renderer(data.renderer, "overrides.renderer")
    if data.output_schema is not UNSET:
        if data.output_format is UNSET:  # the agent's own format may be the right one
            check_output_schema(data.output_schema, "overrides.output_schema")
        else:
            check_output(data.output_format, data.output_schema, "overrides.output_schema")
    for place, model in enumerate(() if data.models is UNSET else data.models):
        check_model(model, f"overrides.models[{place}]")
    return msgspec.to_builtins(data)


async def _check_models_granted(db: Db, tenant_id: UUID, models: list[str]) -> None:
    """Raise InputError for a model that the tenant may not use: it would be passed over."""
    granted = [row["name"] for row in await tenants.list_grants(db, tenant_id, "model")] if models else []
    for place, model in enumerate(models):
        if not any(matches(pattern, model) for pattern in granted):
            field = f"overrides.models[{place}]"
            raise InputError(f"{field} is {model!r}, which is not granted to this tenant; grant it first.", field=field)


def _grant(row: DictRow) -> GrantOut:
    return GrantOut(**row)


routes = Router("/admin/tenants/{tenant:str}/grants", route_handlers=[list_grants, set_grant, revoke_grant])
