"""Routes of the audit log: of your own tenant, and for admins of any tenant and of the platform."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter
from msgspec import Meta

from api.auth.principals import MayManageTenants, MayReadAudit
from api.auth.tenant_scope import TenantName, reading_tenant
from api.http.errors import problems
from api.http.fields import NextCursor
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import Since, Until, default_to_utc, parse_time
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.postgres.connections import Db, tenant_tx
from schema.queries.tenants.audit import list_audit
from schema.vault import PLATFORM

TAGS = ["audit"]

ENTRY_EXAMPLE = {
    "id": "019514f2-8d3b-7c15-a4e6-7b9d2f1c5e80",
    "at": "2026-03-02T08:15:30Z",
    "actor": "user:019514f2-6c1e-7a34-9d2b-3f5a8c7e1b20",
    "action": "agent.created",
    "target": "AgentInventory",
    "result": "ok",
    "address": "203.0.113.7",
    "request_id": "3f9c2a7be1d84c06",
    "detail": {"graph": "react"},
}
PLATFORM_ENTRY_EXAMPLE = ENTRY_EXAMPLE | {"action": "tenant.created", "target": "acme", "detail": {"name": "Acme"}}

Actor = Annotated[
    str | None,
    QueryParameter(max_length=300, description="Only actions of this caller: `user:ID`, `key:ID` or `system`."),
]
Action = Annotated[
    str | None,
    QueryParameter(
        max_length=300,
        description="Only this action, such as `user.created`; a noun alone, such as `user`, matches all its actions.",
    ),
]
Target = Annotated[str | None, QueryParameter(max_length=300, description="Only actions on this target.")]
Result = Annotated[
    str | None,
    QueryParameter(
        max_length=300, description="Only this result: `ok`, `denied`, `failed`, or the state a job ended in."
    ),
]


class AuditEntryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded action."""

    id: Annotated[UUID, Meta(description="Id of the entry.")]
    at: Annotated[datetime, Meta(description="When it happened.")]
    actor: Annotated[
        str, Meta(description="Who did it: `user:ID`, `key:ID`, `identity_provider:ID`, `anonymous` or `system`.")
    ]
    action: Annotated[str, Meta(description="What was done, as `noun.verb`, such as `user.created`.")]
    target: Annotated[str, Meta(description="What it was done to: a name, or `noun:ID`; may be empty.")]
    result: Annotated[str, Meta(description="`ok`, `denied`, `failed`, or the state a job ended in.")]
    address: Annotated[str | None, Meta(description="IP address of the caller; null if there was no request.")]
    request_id: Annotated[str | None, Meta(description="`X-Request-ID` of the request; null if there was none.")]
    detail: Annotated[
        dict[str, Any] | None, Meta(description="More about the action, never a secret; varies by action.")
    ]


class AuditEntriesOut(msgspec.Struct, frozen=True):
    """A page of the audit log, newest first."""

    items: Annotated[list[AuditEntryOut], Meta(description="The entries on this page.")]
    next_cursor: NextCursor


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list, and which page."""

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
    actor: Actor = None,
    action: Action = None,
    target: Target = None,
    result: Result = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> AuditFilter:
    """Dependency `audit_filter`. Raises InputError for a malformed cursor or time."""
    position = read_cursor("audit", cursor, tuple[datetime, UUID])
    filters = {"actor": actor, "action": action, "target": target, "result": result}
    return AuditFilter(
        limit=limit,
        before=position and (default_to_utc(position[0]), position[1]),
        since=parse_time(since, "since"),
        until=parse_time(until, "until"),
        **filters,
    )


AuditQuery = NamedDependency[AuditFilter]


@get(
    "/admin/tenants/{tenant:str}/audit",
    opt=described(response={"items": [ENTRY_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a tenant's audit log",
    tags=TAGS,
)
async def list_tenant_audit_entries(
    tenant: TenantName, principal: MayManageTenants, resources: AppResources, audit_filter: AuditQuery
) -> AuditEntriesOut:
    """Lists what was done in or to a tenant, newest first."""
    async with reading_tenant(resources.core.pool, tenant) as (db, found):
        return await _page(db, found.id, audit_filter)


@get(
    "/admin/audit",
    opt=described(response={"items": [PLATFORM_ENTRY_EXAMPLE], "next_cursor": None}),
    summary="List the platform's audit log",
    tags=TAGS,
)
async def list_platform_audit_entries(
    principal: MayManageTenants, resources: AppResources, audit_filter: AuditQuery
) -> AuditEntriesOut:
    """Lists what admins did to the installation as a whole, such as creating tenants and setting prices, newest first."""
    async with tenant_tx(resources.core.pool, PLATFORM) as db:
        return await _page(db, PLATFORM, audit_filter)


@get(
    "/audit",
    opt=described(response={"items": [ENTRY_EXAMPLE], "next_cursor": None}),
    summary="List your tenant's audit log",
    tags=TAGS,
)
async def list_audit_entries(
    principal: MayReadAudit, resources: AppResources, audit_filter: AuditQuery
) -> AuditEntriesOut:
    """Lists what was done in your tenant, newest first."""
    async with principal.tx(resources.core.pool) as db:
        return await _page(db, principal.tenant_id, audit_filter)


async def _page(db: Db, tenant_id: UUID, audit_filter: AuditFilter) -> AuditEntriesOut:
    filters: dict[str, Any] = msgspec.structs.asdict(audit_filter) | {"limit": audit_filter.limit + 1}
    rows = await list_audit(db, tenant_id, **filters)
    items = [from_row(AuditEntryOut, row) for row in rows[: audit_filter.limit]]
    more = len(rows) > audit_filter.limit
    return AuditEntriesOut(items, write_cursor("audit", (items[-1].at, items[-1].id)) if more else None)


routes = Router(
    "/",
    route_handlers=[list_tenant_audit_entries, list_platform_audit_entries, list_audit_entries],
    dependencies={"audit_filter": Provide(read_filter)},
)
