"""Creates a tenant with its grants, first user and first API key, all in one transaction."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from api.audit.log import record
from api.auth.principals import Principal
from api.auth.role_checks import read_email, require_may_manage
from api.auth.slugs import check_slug
from api.grants.patterns import check_model, check_pattern
from api.http.rows import from_row
from api.resources import Resources
from api.tenants.schemas import GrantCountsOut, OwnerIn, TenantCreatedOut, TenantIn, limits_out, settings_columns
from schema.errors import Conflict, InputError
from schema.identity.api_keys import new_api_key, read_api_key
from schema.identity.tenancy import GrantKind, matches
from schema.ids import new_id
from schema.postgres.connections import Db, tenant_tx
from schema.queries.identity.api_keys import add_api_key
from schema.queries.identity.users import add_user
from schema.queries.tenants.tenants import add_grants, add_tenant, count_grants, find_tenant

KEY_NAME = "first client"


async def onboard_tenant(resources: Resources, principal: Principal, data: TenantIn) -> TenantCreatedOut:
    """Create a tenant and return it with its key in plain text. Raises Forbidden, InputError, or Conflict for a taken slug."""
    if data.owner or data.key:
        require_may_manage(principal, "owner")
    values, grants, key = _checked_columns(data), _grants(data), new_api_key() if data.key else None
    owner = await _owner(resources, data.owner) if data.owner else None
    tenant_id = new_id()
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        if not await add_tenant(db, tenant_id, data.slug, values):
            raise Conflict(f"A tenant with the slug {data.slug!r} already exists. Choose another slug.")
        for kind, names in grants.items():
            await add_grants(db, tenant_id, kind, names, created_by=principal.actor)
        if owner:
            await add_user(db, tenant_id, **owner)
        if key:
            await _add_key(db, tenant_id, key, principal)
        await record(db, principal, tenant_id, "tenant.created", data.slug, _audit_detail(data, tenant_id))
        row, counts = await find_tenant(db, tenant_id), await count_grants(db, tenant_id)
    assert row is not None
    secrets = {"api_key": key or UNSET, "owner_id": owner["user_id"] if owner else UNSET}
    return from_row(TenantCreatedOut, row, limits=limits_out(row), grants=GrantCountsOut(**counts), **secrets)


def _checked_columns(data: TenantIn) -> dict[str, Any]:
    """Return the columns of the new tenant. Raises InputError for what the struct can't check."""
    check_slug(data.slug)
    check_name(data.name)
    if data.default_model:
        check_default(data.default_model, data.models)
    return settings_columns(data)


def check_name(name: str) -> None:
    """Raise InputError for a blank name."""
    if not name.strip():
        raise InputError("name must not be blank.", field="name")


def check_default(model: str, granted: list[str]) -> None:
    """Raise InputError unless the default model is granted."""
    check_model(model, "default_model")
    if not any(matches(pattern, model) for pattern in granted):
        raise InputError(
            f"default_model: model {model!r} is not granted to this tenant. Grant it first.", field="default_model"
        )


def _grants(data: TenantIn) -> dict[GrantKind, list[str]]:
    wanted: dict[GrantKind, list[str]] = {"model": data.models, "agent": data.agents, "tool": data.tools}
    return {
        kind: [check_pattern(kind, name, f"{kind}s[{index}]") for index, name in enumerate(names)]
        for kind, names in wanted.items()
    }


async def _owner(resources: Resources, data: OwnerIn) -> dict[str, Any]:
    """Return the first user as a row to add. Raises InputError for an invalid email or password."""
    email, hashed = read_email(data.email, "owner.email"), None
    if data.password is not None:
        await resources.passwords.check(data.password, email=email, field="owner.password")
        hashed = await resources.passwords.hash(data.password)
    return {"user_id": new_id(), "email": email, "name": data.name, "role": "owner", "password_hash": hashed}


async def _add_key(db: Db, tenant_id: UUID, key: str, principal: Principal) -> None:
    parts = read_api_key(key)
    assert parts is not None
    key_fields: dict[str, Any] = {"scopes": None, "expires_at": None, "user_id": None, "created_by": principal.actor}
    await add_api_key(db, tenant_id, new_id(), parts, name=KEY_NAME, role="owner", **key_fields)


def _audit_detail(data: TenantIn, tenant_id: UUID) -> dict[str, Any]:
    """Return the request for the audit log, without the password."""
    detail = msgspec.to_builtins(msgspec.structs.replace(data, owner=None))
    return detail | {"id": str(tenant_id), "owner": data.owner.email if data.owner else None}
