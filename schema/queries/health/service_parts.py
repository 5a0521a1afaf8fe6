"""Parts of the installation that go down and come back, the deliveries that tell of it, and what was found when; as the
system."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import Db, fetch_all
from schema.vault import PLATFORM

PartStatus = Literal["up", "degraded", "down"]
BADNESS: dict[PartStatus, int] = {"up": 0, "degraded": 1, "down": 2}
FORGOTTEN = 5000

# Whoever watches a part keeps it; another takes it over when it has not been looked at for so long. A part that nobody watched
# before begins as `up`.
WATCH = """
INSERT INTO service_parts AS p (part, status, watcher, watched_until)
SELECT part, 'up', %(watcher)s, now() + make_interval(secs => %(lease_s)s) FROM unnest(%(parts)s::text[]) AS part ORDER BY part
ON CONFLICT (part) DO UPDATE SET watcher = excluded.watcher, watched_until = excluded.watched_until
WHERE p.watcher = excluded.watcher OR p.watched_until < now()
RETURNING part, status, since
"""

# The change and its deliveries are one statement: each change is told once, and none that is not stored.
CHANGE = """
WITH changed AS (
  UPDATE service_parts SET status = %(status)s, since = %(since)s::timestamptz
  WHERE part = %(part)s AND watcher = %(watcher)s AND status <> %(status)s RETURNING part)
INSERT INTO webhook_deliveries (tenant_id, id, event_id, endpoint_id, lane, type, occurred_at, sequence, data)
SELECT e.tenant_id, uuidv7(), %(event_id)s::uuid, e.id, e.id::text, %(type)s, now(),
  (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %(data)s::jsonb
FROM changed, webhook_endpoints e JOIN tenants t ON t.id = e.tenant_id
WHERE e.enabled AND e.events ?| %(wanted)s::text[] AND t.state = %(tenant_state)s
  AND (%(to_tenant)s::uuid IS NULL OR e.tenant_id = %(to_tenant)s::uuid)
RETURNING id
"""

FIND = """
UPDATE service_parts p SET latency_ms = f.latency_ms, detail = f.detail, error = coalesce(f.error, p.error),
  error_at = coalesce(f.error_at, p.error_at), works_since = f.works_since
FROM unnest(%(parts)s::text[], %(latencies)s::float8[], %(details)s::jsonb[], %(errors)s::text[],
  %(errors_at)s::timestamptz[], %(works_since)s::timestamptz[]) AS f (part, latency_ms, detail, error, error_at, works_since)
WHERE p.part = f.part AND p.watcher = %(watcher)s
"""

RECORD = """
INSERT INTO service_checks (part, status, checks, failed, latency_ms, error)
SELECT * FROM unnest(%(parts)s::text[], %(statuses)s::text[], %(checks)s::int[], %(failed)s::int[], %(latencies)s::float8[],
  %(errors)s::text[])
ON CONFLICT DO NOTHING
"""

FORGET = """
DELETE FROM service_checks WHERE (part, at) IN (
  SELECT part, at FROM service_checks WHERE at < now() - make_interval(days => %(days)s) ORDER BY at LIMIT %(limit)s)
RETURNING part
"""

STORED = """
SELECT part, status, since, error, error_at, works_since, latency_ms, detail,
  watched_until > now() - make_interval(secs => %(unwatched_s)s) AS watched
FROM service_parts
"""

LIST_CHECKS = """
SELECT part, at, status, checks, failed, latency_ms, error FROM service_checks
WHERE (%(part)s::text IS NULL OR part = %(part)s) AND (at, part) < (%(before)s, %(before_part)s)
ORDER BY at DESC, part DESC LIMIT %(limit)s
"""


class WatchedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that this process watches, as it was told last."""

    part: str
    status: PartStatus
    since: datetime


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part as webhooks were told, what was wrong last and when that was seen last, and what its latest check found; `watched`
    if there was one of late. One that is not up may work again since a while, which is not told yet."""

    part: str
    status: PartStatus
    since: datetime
    error: str | None
    error_at: datetime | None
    works_since: datetime | None
    latency_ms: float | None
    detail: dict[str, float] | None
    watched: bool


class PartFound(msgspec.Struct, frozen=True, kw_only=True):
    """What the latest check of a part found: its latency in milliseconds, and figures; what was wrong last, when that was seen
    last, and since when a part that was told not to be up works, all None where nothing is known."""

    part: str
    latency_ms: float
    detail: dict[str, float]
    error: str | None
    error_at: datetime | None
    works_since: datetime | None


class PartChecks(msgspec.Struct, frozen=True, kw_only=True):
    """Checks of a part since its last record: how many, how many didn't find it up, the worst latency, the last error."""

    part: str
    status: PartStatus
    checks: int
    failed: int
    latency_ms: float
    error: str | None


class RecordedChecks(PartChecks, frozen=True, kw_only=True):
    """The same, with when they were recorded."""

    at: datetime


async def list_parts(db: Db, *, unwatched_s: float = 0.0) -> list[StoredPart]:
    """Return all parts that were ever watched. One is `watched` until its watcher's lease is over for so long."""
    return await fetch_all(db, STORED, {"unwatched_s": unwatched_s}, into=StoredPart)


async def watch_parts(db: Db, parts: list[str], *, watcher: str, lease_s: float) -> list[WatchedPart]:
    """Return those of the parts that this process watches from now on."""
    values = {"parts": parts, "watcher": watcher, "lease_s": lease_s}
    return await fetch_all(db, WATCH, values, into=WatchedPart)


async def release_parts(db: Db, *, watcher: str) -> None:
    """Let another process watch what this one did."""
    await db.execute("UPDATE service_parts SET watched_until = now() WHERE watcher = %(watcher)s", {"watcher": watcher})


async def change_part(
    db: Db,
    part: str,
    status: PartStatus,
    *,
    was: PartStatus,
    watcher: str,
    since: datetime,
    data: dict[str, Any],
) -> int:
    """Store that a part is up, degraded or down now, and write what tells of it; return how many deliveries. That a part goes
    down, or is down no longer, is told to all who chose it; what it does short of that, to the platform's own endpoints."""
    type_ = "service.down" if BADNESS[status] > BADNESS[was] else "service.recovered"
    values: dict[str, Any] = {"part": part, "status": status, "watcher": watcher, "since": since}
    values |= {"event_id": new_id(), "type": type_, "data": Jsonb(data), "tenant_state": "active"}
    values["to_tenant"] = None if "down" in (status, was) else PLATFORM
    values["wanted"] = [type_, "service.*", "*"]
    return len(await fetch_all(db, CHANGE, values))


async def store_findings(db: Db, findings: list[PartFound], *, watcher: str) -> None:
    """Store what the latest check of each part found. An error stays until there is another."""
    values: dict[str, Any] = {"parts": [one.part for one in findings], "watcher": watcher}
    values["latencies"] = [one.latency_ms for one in findings]
    values["details"] = [Jsonb(one.detail) for one in findings]
    values["errors"] = [one.error for one in findings]
    values["errors_at"] = [one.error_at for one in findings]
    values["works_since"] = [one.works_since for one in findings]
    await db.execute(FIND, values)


async def record_checks(db: Db, checks: list[PartChecks]) -> None:
    """Add to the history."""
    values = {
        "parts": [one.part for one in checks],
        "statuses": [one.status for one in checks],
        "checks": [one.checks for one in checks],
        "failed": [one.failed for one in checks],
        "latencies": [one.latency_ms for one in checks],
        "errors": [one.error for one in checks],
    }
    await db.execute(RECORD, values)


async def forget_old_checks(db: Db, *, days: int) -> int:
    """Delete history that is older; return how many rows, at most FORGOTTEN."""
    return len(await fetch_all(db, FORGET, {"days": days, "limit": FORGOTTEN}))


async def list_checks(db: Db, *, part: str | None, before: tuple[datetime, str], limit: int) -> list[RecordedChecks]:
    """Return the history of a part, or of all, newest first; `before` is (at, part) of the last row of the page before."""
    values = {"part": part, "before": before[0], "before_part": before[1], "limit": limit}
    return await fetch_all(db, LIST_CHECKS, values, into=RecordedChecks)
