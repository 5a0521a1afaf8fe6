"""Reading the audit log (X7): of a tenant and of the platform for admins, of one's own tenant."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency, Provide

from api.admin.concerned import TenantName, reading
from api.admin.words import Since, Until, Word, in_utc, read_moment
from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayManageTenants, MayReadAudit
from api.resources import Opened
from schema.db import Db, tenant_tx
from schema.queries.audit import list_audit
from schema.vault import PLATFORM

TAGS = ["audit"]


class AuditEntryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One deed. `actor` is `user:ID`, `key:ID` or `system`; `result` is `ok`, `denied`, `failed`, or how a job ended."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    result: str
    address: str | None
    request_id: str | None
    detail: dict[str, Any] | None


class AuditOut(msgspec.Struct, frozen=True):
    """A page of the audit log, the newest first."""

    items: list[AuditEntryOut]
    next_cursor: str | None


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deeds are asked for, and which page of them."""

    limit: int
    before: tuple[datetime, UUID] | None
    since: datetime | None
    until: datetime | None
    actor: str | None
    action: str | None
    target: str | None
    result: str | None


async def read_filter(
    since: Since = None,
    until: Until = None,
    actor: Word = None,
    action: Word = None,
    target: Word = None,
    result: Word = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> AuditFilter:
    """Dependency `asked`. Raises InputError for a cursor that or a time that isn't one."""
    place = read_cursor(cursor, tuple[datetime, UUID])
    words = {"actor": actor, "action": action, "target": target, "result": result}
    return AuditFilter(
        limit=limit,
        before=place and (in_utc(place[0]), place[1]),
        since=read_moment(since, "since"),
        until=read_moment(until, "until"),
        **words,
    )


Asked = NamedDependency[AuditFilter]


@get("/admin/tenants/{tenant:str}/audit", responses=problems("not_found"), summary="A tenant's audit log", tags=TAGS)
async def list_tenant_audit_entries(
    tenant: TenantName, principal: MayManageTenants, resources: Opened, asked: Asked
) -> AuditOut:
    """`action` may be a noun alone, such as `tenant` for `tenant.changed` and all others."""
    async with reading(resources.ports.pool, tenant) as (db, found):
        return await _page(db, found["id"], asked)


@get("/admin/audit", summary="The platform's audit log", tags=TAGS)
async def list_platform_audit_entries(principal: MayManageTenants, resources: Opened, asked: Asked) -> AuditOut:
    """What admins did that concerns the installation: tenants made and deleted, prices."""
    async with tenant_tx(resources.ports.pool, PLATFORM) as db:
        return await _page(db, PLATFORM, asked)


@get("/audit", summary="Your tenant's audit log", tags=TAGS)
async def list_audit_entries(principal: MayReadAudit, resources: Opened, asked: Asked) -> AuditOut:
    """`action` may be a noun alone, such as `user` for `user.created` and all others."""
    async with principal.tx(resources.ports.pool) as db:
        return await _page(db, principal.tenant_id, asked)


async def _page(db: Db, tenant_id: UUID, asked: AuditFilter) -> AuditOut:
    filters: dict[str, Any] = msgspec.structs.asdict(asked) | {"limit": asked.limit + 1}
    rows = await list_audit(db, tenant_id, **filters)
    items = [AuditEntryOut(**row) for row in rows[: asked.limit]]
    more = len(rows) > asked.limit
    return AuditOut(items, write_cursor((items[-1].at, items[-1].id)) if more else None)


routes = Router(
    "/",
    route_handlers=[list_tenant_audit_entries, list_platform_audit_entries, list_audit_entries],
    dependencies={"asked": Provide(read_filter)},
)
