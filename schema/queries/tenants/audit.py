"""The audit log: who did what, when, from where, and how it ended. Rows are added and read; only the sweeper takes away
what is older than the tenant keeps. What jobs did is added with their end (`schema/queries/jobs/attempts.py`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.db import Db, fetch_all
from schema.ids import new_id
from schema.vault import PLATFORM


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
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


ADD = """
INSERT INTO audit_log (tenant_id, id, actor, action, target, result, address, request_id, detail)
VALUES (%(tenant_id)s, %(id)s, %(actor)s, %(action)s, %(target)s, %(result)s, %(address)s, %(request_id)s, %(detail)s)
"""

SET_TENANT = "SELECT set_config('headrace.tenant_id', %s, true)"

LIST = """
SELECT id, at, actor, action, target, result, address, request_id, detail FROM audit_log
WHERE tenant_id = %(tenant_id)s
  AND (%(before)s::timestamptz IS NULL OR (at, id) < (%(before)s, %(before_id)s::uuid))
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(action)s::text IS NULL OR action = %(action)s OR starts_with(action, %(action)s || '.'))
  AND (%(target)s::text IS NULL OR target = %(target)s)
  AND (%(result)s::text IS NULL OR result = %(result)s)
ORDER BY at DESC, id DESC LIMIT %(limit)s
"""


async def add_audit(
    db: Db,
    tenant_id: UUID,
    *,
    actor: str,
    action: str,
    target: str = "",
    result: str = "ok",
    address: str | None = None,
    request_id: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write down one deed. `action` is `noun.verb`, `result` is `ok`, `denied`, `failed` or how a job ended; `detail` holds
    names and numbers, never what was said and never a secret."""
    values = {"tenant_id": tenant_id, "id": new_id(), "actor": actor, "action": action, "target": target}
    values |= {"result": result, "address": address, "request_id": request_id}
    await db.execute(ADD, {**values, "detail": None if detail is None else Jsonb(detail)})


async def add_platform_audit(db: Db, tenant_id: UUID, **deed: Any) -> None:
    """Write a deed down for the installation itself, in the same transaction, which is then `tenant_id`'s again."""
    await db.execute(SET_TENANT, (str(PLATFORM),))
    await add_audit(db, PLATFORM, **deed)
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
    """Return deeds, newest first; `before` is (at, id) of the last row of the page before; `action` may be a noun alone."""
    moment, last_id = before or (None, None)
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": limit, "before": moment, "before_id": last_id}
    values |= {"since": since, "until": until, "actor": actor, "action": action, "target": target, "result": result}
    return await fetch_all(db, LIST, values, into=AuditEntry)
