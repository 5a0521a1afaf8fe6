"""The audit log: who did what, when, from where, and how it ended. Rows are added and read; only the sweeper takes away
what is older than the tenant keeps. What jobs did is added with their end (`schema/queries/jobs/attempts.py`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import Db, fetch_all
from schema.queries.pages import BEGINNING, END, LAST_ID
from schema.vault import PLATFORM


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An audit entry. `actor` is `user:ID`, `key:ID` or `system`; `result` is `ok`, `denied`, `failed`, or how a job ended."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    result: str
    address: str | None
    request_id: str | None
    detail: dict[str, Any] | None


ADD = """
INSERT INTO audit_log (tenant_id, id, actor, action, target, result, address, request_id, detail)
VALUES (%(tenant_id)s, %(id)s, %(actor)s, %(action)s, %(target)s, %(result)s, %(address)s, %(request_id)s, %(detail)s)
"""

SET_TENANT = "SELECT set_config('headrace.tenant_id', %s, true)"

COLUMNS = "id, at, actor, action, target, result, address, request_id, detail"

# Times are always given, if need be as infinity, and other filters only if they were asked for: each has its index.
NEWEST = f"""
SELECT {COLUMNS} FROM audit_log a
WHERE tenant_id = %(tenant_id)s {{filters}} AND at >= %(since)s AND at < %(until)s AND (at, id) < (%(before)s, %(before_id)s)
ORDER BY at DESC, id DESC LIMIT %(limit)s
"""

# An action may be a noun, which stands for all its verbs. The actions that occur are read one by one from their index, as they
# are dozens where the rows are millions.
NEWEST_OF_ACTIONS = """
WITH RECURSIVE occurring (action) AS (
  (SELECT action FROM audit_log WHERE tenant_id = %(tenant_id)s ORDER BY action LIMIT 1)
  UNION ALL
  SELECT (SELECT l.action FROM audit_log l WHERE l.tenant_id = %(tenant_id)s AND l.action > o.action ORDER BY l.action LIMIT 1)
  FROM occurring o WHERE o.action IS NOT NULL)
SELECT newest.* FROM occurring o, LATERAL ({newest}) AS newest
WHERE o.action = %(action)s OR starts_with(o.action, %(action)s || '.')
ORDER BY newest.at DESC, newest.id DESC LIMIT %(limit)s
"""


def audit_values(
    tenant_id: UUID,
    *,
    actor: str,
    action: str,
    target: str = "",
    result: str = "ok",
    address: str | None = None,
    request_id: str | None = None,
    detail: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the values of ADD for one entry. `action` is `noun.verb`, `result` is `ok`, `denied`, `failed` or how a job ended;
    `detail` holds names and numbers, never what was said and never a secret."""
    values = {"tenant_id": tenant_id, "id": new_id(), "actor": actor, "action": action, "target": target}
    values |= {"result": result, "address": address, "request_id": request_id}
    return {**values, "detail": None if detail is None else Jsonb(detail)}


async def add_audit(db: Db, tenant_id: UUID, **entry: Any) -> None:
    """Add one entry, as `audit_values` takes it."""
    await db.execute(ADD, audit_values(tenant_id, **entry))


async def add_platform_audit(db: Db, tenant_id: UUID, **entry: Any) -> None:
    """Add an entry of the installation itself, in the same transaction, which is then `tenant_id`'s again."""
    await db.execute(SET_TENANT, (str(PLATFORM),))
    await add_audit(db, PLATFORM, **entry)
    await db.execute(SET_TENANT, (str(tenant_id),))


async def list_audit(
    db: Db,
    tenant_id: UUID,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    result: str | None = None,
) -> list[AuditEntry]:
    """Return entries, newest first; `before` is (at, id) of the last row of the page before; `action` may be a noun alone."""
    asked = {"actor": actor, "target": target, "result": result}
    filters = " ".join(f"AND {column} = %({column})s" for column, value in asked.items() if value is not None)
    sql = NEWEST.format(filters=filters)
    if action is not None:
        sql = NEWEST_OF_ACTIONS.format(newest=NEWEST.format(filters=f"{filters} AND a.action = o.action"))
    moment, last_id = before or (END, LAST_ID)
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": limit, "before": moment, "before_id": last_id}
    values |= {"since": since or BEGINNING, "until": until or END, "action": action, **asked}
    return await fetch_all(db, sql, values, into=AuditEntry)
