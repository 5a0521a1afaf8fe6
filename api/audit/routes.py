"""Routes of the audit log: of your own tenant, and for admins of any tenant and of the platform."""

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Meta

from api.auth.principals import MayManageTenants, MayReadAudit
from api.auth.tenant_scope import TenantName, reading_tenant
from api.http.csv import CSV, CSV_HEADERS, MAX_ROWS, columns_of, csv_response, wants_csv
from api.http.errors import problems
from api.http.fields import NextCursor
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.query_params import Since, Until, default_to_utc, parse_time
from api.http.rows import from_row
from api.openapi.operations import TEXT, described
from api.resources import AppResources
from schema.errors import InputError
from schema.postgres.connections import Db, tenant_tx
from schema.queries.tenants.audit import list_audit
from schema.states import TERMINAL
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

_ID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ACTOR = re.compile(rf"(?:user|key|identity_provider):{_ID}|anonymous|system")
ACTORS = "user:ID, key:ID or identity_provider:ID with the id in full, anonymous, or system"
ACTION = re.compile(r"[a-z]+(?:_[a-z]+)*(?:\.[a-z]+(?:_[a-z]+)*)?")
RESULTS = ("ok", "denied", "failed", *sorted(TERMINAL - {"failed"}))
TOOL_RESULT = re.compile("tool_[a-z_]+")

Actor = Annotated[
    str | None,
    QueryParameter(
        max_length=300,
        description="Only actions of this caller: `user:ID`, `key:ID`, `identity_provider:ID`, `anonymous`, `system`.",
    ),
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
        max_length=300,
        description=(
            "Only this result: `ok`, `denied`, `failed`, the state a job ended in (`succeeded`, `cancelled`), or a tool's "
            "error code."
        ),
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
    result: Annotated[
        str, Meta(description="`ok`, `denied`, `failed`, the state a job ended in, or the error code of a tool.")
    ]
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
    cursor: str | None
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
    """Dependency `audit_filter`. Raises InputError for a filter that nothing could ever match."""
    if actor is not None and not ACTOR.fullmatch(actor):
        raise InputError(f"actor must be {ACTORS}.", field="actor")
    if action is not None and not ACTION.fullmatch(action):
        raise InputError("action must be a noun, such as user, or noun.verb, such as user.created.", field="action")
    if result is not None and result not in RESULTS and not TOOL_RESULT.fullmatch(result):
        raise InputError(
            f"result must be {_listed(RESULTS)}, or a tool's error code such as tool_timeout.", field="result"
        )
    filters = {"actor": actor and actor.lower(), "action": action, "target": target, "result": result}
    return AuditFilter(
        limit=limit, cursor=cursor, since=parse_time(since, "since"), until=parse_time(until, "until"), **filters
    )


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(words)


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
    """Lists what admins did to the installation and to its tenants, such as setting prices and granting models, newest first;
    and who tried to without being an admin. `detail.tenant_id` says which tenant it was."""
    async with tenant_tx(resources.core.pool, PLATFORM) as db:
        return await _page(db, PLATFORM, audit_filter)


@get(
    "/audit",
    opt=described(
        response={"items": [ENTRY_EXAMPLE], "next_cursor": None},
        other_media_types={CSV: TEXT},
        response_headers=CSV_HEADERS,
    ),
    responses={200: ResponseSpec(AuditEntriesOut, description="The entries, newest first.", generate_examples=False)},
    summary="List your tenant's audit log",
    tags=TAGS,
)
async def list_audit_entries(
    principal: MayReadAudit, request: Request[Any, Any, Any], resources: AppResources, audit_filter: AuditQuery
) -> Response[Any]:
    """Lists what was done in your tenant, newest first. With `Accept: text/csv` you get up to 5,000 entries as a file."""
    as_csv = wants_csv(request.headers)
    wanted = msgspec.structs.replace(audit_filter, limit=MAX_ROWS) if as_csv else audit_filter
    async with principal.tx(resources.core.pool) as db:
        page = await _page(db, principal.tenant_id, wanted)
    if as_csv:
        return csv_response("audit", columns_of(AuditEntryOut), page.items, next_cursor=page.next_cursor)
    return Response(page)


async def _page(db: Db, tenant_id: UUID, audit_filter: AuditFilter) -> AuditEntriesOut:
    list_name, limit = f"audit/{tenant_id}", audit_filter.limit
    filters: dict[str, Any] = msgspec.structs.asdict(audit_filter) | {"limit": limit + 1}
    position = read_cursor(list_name, filters.pop("cursor"), tuple[datetime, UUID])
    before = position and (default_to_utc(position[0]), position[1])
    rows = await list_audit(db, tenant_id, before=before, **filters)
    items = [from_row(AuditEntryOut, row) for row in rows[:limit]]
    return AuditEntriesOut(items, write_cursor(list_name, (items[-1].at, items[-1].id)) if len(rows) > limit else None)


routes = Router(
    "/",
    route_handlers=[list_tenant_audit_entries, list_platform_audit_entries, list_audit_entries],
    dependencies={"audit_filter": Provide(read_filter)},
)
