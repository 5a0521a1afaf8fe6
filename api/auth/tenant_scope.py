"""Resolves the tenant named in an admin route, by slug or id."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple
from uuid import UUID

from litestar.params import PathParameter

from schema.errors import Conflict, NotFound
from schema.postgres.connections import Db, Pool, tenant_tx
from schema.queries.identity.callers import find_tenant_id
from schema.queries.tenants.tenants import Tenant, find_tenant, lock_tenant
from schema.vault import PLATFORM

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
NO_TENANT = "No such tenant. GET /api/admin/tenants lists all tenants."

TenantName = Annotated[str, PathParameter(description="The tenant's slug or id.")]


class TenantScope(NamedTuple):
    """A tenant, and an open transaction of it."""

    db: Db
    tenant: Tenant

    @property
    def id(self) -> UUID:
        return self.tenant.id


@asynccontextmanager
async def reading_tenant(pool: Pool, name: str) -> AsyncIterator[TenantScope]:
    """Open a transaction of the named tenant. Raises NotFound."""
    tenant_id = await _find_id(pool, name)
    async with tenant_tx(pool, tenant_id) as db:
        yield TenantScope(db, _require(await find_tenant(db, tenant_id)))


@asynccontextmanager
async def changing_tenant(
    pool: Pool, name: str, *, platform: bool = False, deleting: bool = False
) -> AsyncIterator[TenantScope]:
    """Open a transaction of the named tenant with its row locked, so that changes of it don't overlap.

    Raises NotFound, and Conflict for the platform's own tenant or one that is being deleted, unless the flags allow them.
    """
    tenant_id = await _find_id(pool, name)
    if tenant_id == PLATFORM and not platform:
        raise Conflict("The platform's own tenant can't be changed here.")
    async with tenant_tx(pool, tenant_id) as db:
        tenant = _require(await lock_tenant(db, tenant_id))
        if tenant.state == "deleting" and not deleting:
            raise Conflict("This tenant is being deleted and can't be changed.")
        yield TenantScope(db, tenant)


def read_id(name: str) -> UUID | None:
    """Return a name parsed as an id; None if it isn't one."""
    try:
        return UUID(name) if len(name) == 36 else None
    except ValueError:
        return None


async def _find_id(pool: Pool, name: str) -> UUID:
    found = read_id(name)
    if found is None and SLUG.fullmatch(name):
        found = await find_tenant_id(pool, name)
    if found is None:
        raise NotFound(NO_TENANT)
    return found


def _require(row: Tenant | None) -> Tenant:
    if row is None:
        raise NotFound(NO_TENANT)
    return row
