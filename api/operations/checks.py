"""`/admin/health/checks`: what the watchdog found of each part, minute by minute."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Meta

from api.auth.principals import MayReadOperations
from api.http.fields import NextCursor
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.openapi.operations import described
from api.resources import AppResources
from schema.postgres.connections import connection
from schema.queries.health.service_parts import PartStatus, list_checks

LIST = "service_checks"
LAST = datetime(9999, 1, 1, tzinfo=UTC)

PartName = Annotated[
    str | None,
    QueryParameter(max_length=100, description="Only checks of this part of `/health`, such as `redis`."),
]


class ChecksOut(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of one part since the entry before: a minute's, or fewer where its status changed."""

    part: Annotated[str, Meta(description="The part of `/health`.")]
    at: Annotated[datetime, Meta(description="When they were recorded: they came before.")]
    status: Annotated[PartStatus, Meta(description="What the last of them found.")]
    checks: Annotated[int, Meta(description="How many there were.")]
    failed: Annotated[int, Meta(description="How many of them did not find it up.")]
    latency_ms: Annotated[float, Meta(description="The longest, in milliseconds.")]
    error: Annotated[str | None, Meta(description="What was wrong last; null if nothing was.")]


class CheckListOut(msgspec.Struct, frozen=True):
    """A page of the watchdog's history, newest first."""

    items: Annotated[list[ChecksOut], Meta(description="The entries on this page.")]
    next_cursor: NextCursor


EXAMPLE = {
    "items": [
        {
            "part": "redis",
            "at": "2026-11-05T22:01:09Z",
            "status": "down",
            "checks": 4,
            "failed": 3,
            "latency_ms": 2003.1,
            "error": "It can't be reached.",
        }
    ],
    "next_cursor": None,
}


@get(
    "/checks",
    opt=described(response=EXAMPLE),
    summary="List what the watchdog found",
    tags=["health"],
)
async def list_service_checks(
    principal: MayReadOperations,
    resources: AppResources,
    part: PartName = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> CheckListOut:
    """Lists the checks of the installation's parts, newest first: an entry for each part and minute, and one for each change.
    Kept for a week, unless `HEADRACE_CHECKS_DAYS` says otherwise."""
    before = read_cursor(LIST, cursor, tuple[datetime, str]) or (LAST, "")
    async with connection(resources.core.pool) as db:
        rows = await list_checks(db, part=part, before=before, limit=limit)
    last = rows[-1] if len(rows) == limit else None
    return CheckListOut(
        [msgspec.convert(row, ChecksOut, from_attributes=True) for row in rows],
        write_cursor(LIST, (last.at, last.part)) if last else None,
    )


routes = Router("/admin/health", route_handlers=[list_service_checks])
