"""Shared by the routes of what a tenant configures for itself: agents, tools, data sources, settings. The platform is a tenant
too; its rows are shared with other tenants by grants.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.auth.principals import Principal
from api.resources import Resources
from schema.errors import InputError, NotFound
from schema.identity.tenancy import GrantKind
from schema.postgres.connections import Db
from schema.queries.tenants.tenants import list_grants, lock_tenant
from schema.vault import PLATFORM

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
NAME_RULE = "must start with a letter, followed by up to 63 letters (a to z), digits, _ or -."


@asynccontextmanager
async def changing_own_tenant(resources: Resources, principal: Principal) -> AsyncIterator[Db]:
    """Open a transaction of the caller's tenant that excludes other configuration changes, so what was checked still holds
    when it is written. Jobs are not blocked."""
    async with principal.tx(resources.core.pool) as db:
        await lock_tenant(db, principal.tenant_id)
        yield db


def check_name(name: str) -> None:
    """Raise InputError unless a new row may have this name."""
    if not NAME.fullmatch(name):
        raise InputError(f"name {NAME_RULE}", field="name")


def require_name(name: str, missing: str) -> None:
    """Raise NotFound for a name in a path that no row can have."""
    if not NAME.fullmatch(name):
        raise NotFound(missing)


async def list_patterns(db: Db, principal: Principal, kind: GrantKind) -> list[str]:
    """Return the patterns granted to the caller's tenant; the platform may use everything."""
    if principal.tenant_id == PLATFORM:
        return ["*"]
    return [grant.name for grant in await list_grants(db, principal.tenant_id, kind)]
