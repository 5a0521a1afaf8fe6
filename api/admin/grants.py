"""Grants: which models, agents and tools a tenant may use, and how their output looks there (X3)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Router, delete, get, put
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from api.admin.concerned import TenantName, changing, reading
from api.admin.deeds import note
from api.admin.patterns import check_pattern
from api.errors import problems
from api.principals import MayManageTenants
from api.resources import Opened
from schema.errors import InputError, NotFound
from schema.queries.tenants import delete_grant, list_grants, put_grant
from schema.tenancy import GrantKind

TAGS = ["tenants"]
LARGEST_RENDERER = 4096
DEEPEST_RENDERER = 16

OutputFormat = Literal["structured_json", "markdown_table", "chart_data", "summary_text"]


class OverridesIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the output of what is granted looks for this tenant. `renderer` is for the tenant's client, up to 4 KB."""

    output_format: OutputFormat | UnsetType = UNSET
    renderer: dict[str, Any] | UnsetType = UNSET


class GrantIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes with a grant; overrides that are left out are none."""

    overrides: OverridesIn = OverridesIn()


class GrantOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a tenant may use: `name`, or all whose names begin with what stands before its `*`."""

    kind: GrantKind
    name: str
    overrides: Annotated[dict[str, Any], Meta(description="`output_format` and `renderer`, where they are set.")]
    created_at: datetime
    created_by: str | None


class GrantsOut(msgspec.Struct, frozen=True):
    """All grants of a tenant, by kind and name."""

    items: list[GrantOut]


@get("/", responses=problems(400, 403, 404), summary="List a tenant's grants", tags=TAGS)
async def list_(
    tenant: TenantName, principal: MayManageTenants, resources: Opened, kind: FromQuery[GrantKind | None] = None
) -> GrantsOut:
    async with reading(resources.ports.pool, tenant) as (db, found):
        rows = await list_grants(db, found["id"], kind)
    return GrantsOut([_grant(row) for row in rows])


@put("/{kind:str}/{name:path}", responses=problems(400, 403, 404, 409), summary="Grant something", tags=TAGS)
async def put_(
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
    overrides = _overrides((data or GrantIn()).overrides)
    async with changing(resources.ports.pool, tenant) as (db, found):
        row = await put_grant(db, found["id"], kind, pattern, overrides=overrides, created_by=principal.actor)
        detail = {"overrides": sorted(overrides), "output_format": overrides.get("output_format")}
        await note(db, principal, found["id"], "grant.stored", f"{kind}/{pattern}", detail)
    return _grant(row)


@delete("/{kind:str}/{name:path}", responses=problems(400, 403, 404, 409), summary="Take a grant back", tags=TAGS)
async def delete_(
    tenant: TenantName,
    kind: FromPath[GrantKind],
    name: FromPath[str],
    principal: MayManageTenants,
    resources: Opened,
) -> None:
    """Take back exactly this grant; others that cover the same name stay."""
    pattern = check_pattern(kind, name.removeprefix("/"), "name")
    async with changing(resources.ports.pool, tenant) as (db, found):
        if not await delete_grant(db, found["id"], kind, pattern):
            raise NotFound("There is no such grant.")
        await note(db, principal, found["id"], "grant.deleted", f"{kind}/{pattern}")


def _overrides(data: OverridesIn) -> dict[str, Any]:
    """Return the overrides as they are stored. Raises InputError for a renderer that is too large."""
    if data.renderer is not UNSET:
        if _depth(data.renderer) > DEEPEST_RENDERER:
            raise InputError(
                f"overrides.renderer is nested deeper than {DEEPEST_RENDERER}.", field="overrides.renderer"
            )
        if len(msgspec.json.encode(data.renderer)) > LARGEST_RENDERER:
            raise InputError("overrides.renderer must have at most 4 KB as JSON.", field="overrides.renderer")
    return msgspec.to_builtins(data)


def _depth(value: Any, deepest: int = DEEPEST_RENDERER) -> int:
    """Return how deeply a value is nested, or one more than `deepest`."""
    if not isinstance(value, dict | list) or deepest < 0:
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(part, deepest - 1) for part in inner), default=0)


def _grant(row: DictRow) -> GrantOut:
    return GrantOut(**row)


routes = Router("/admin/tenants/{tenant:str}/grants", route_handlers=[list_, put_, delete_])
