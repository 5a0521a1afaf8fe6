"""Parts of the installation that go down and come back, and the deliveries that tell of it; as the system."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import Db, fetch_all

PartStatus = Literal["up", "down"]

# Whoever watches a part keeps it; another takes it over when it has not been looked at for so long.
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
  UPDATE service_parts SET status = %(status)s, since = %(since)s::timestamptz, error = coalesce(%(error)s, error)
  WHERE part = %(part)s AND watcher = %(watcher)s AND status <> %(status)s RETURNING part)
INSERT INTO webhook_deliveries (tenant_id, id, event_id, endpoint_id, lane, type, occurred_at, sequence, data)
SELECT e.tenant_id, uuidv7(), %(event_id)s::uuid, e.id, e.id::text, %(type)s, now(),
  (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %(data)s::jsonb
FROM changed, webhook_endpoints e JOIN tenants t ON t.id = e.tenant_id
WHERE e.enabled AND e.events ?| %(wanted)s::text[] AND t.state = %(tenant_state)s
RETURNING id
"""


class WatchedPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that this process watches, as it was told last."""

    part: str
    status: PartStatus
    since: datetime


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part as webhooks were told, and why it was down last."""

    part: str
    status: PartStatus
    since: datetime
    error: str | None


async def list_parts(db: Db) -> list[StoredPart]:
    """Return all parts that were ever watched."""
    return await fetch_all(db, "SELECT part, status, since, error FROM service_parts", {}, into=StoredPart)


async def watch_parts(db: Db, parts: list[str], *, watcher: str, lease_s: float) -> list[WatchedPart]:
    """Return those of the parts that this process watches from now on."""
    values = {"parts": parts, "watcher": watcher, "lease_s": lease_s}
    return await fetch_all(db, WATCH, values, into=WatchedPart)


async def change_part(
    db: Db, part: str, status: PartStatus, *, watcher: str, since: datetime, data: dict[str, Any], error: str | None
) -> int:
    """Store that a part is up or down now, and write what tells of it; return how many deliveries."""
    type_ = "service.down" if status == "down" else "service.recovered"
    values: dict[str, Any] = {"part": part, "status": status, "watcher": watcher, "since": since, "error": error}
    values |= {"event_id": new_id(), "type": type_, "data": Jsonb(data), "tenant_state": "active"}
    values["wanted"] = [type_, "service.*", "*"]
    return len(await fetch_all(db, CHANGE, values))
