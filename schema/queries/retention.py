"""What goes when its time is over: content after the tenant's retention, the audit log after its own, sign-ins and idempotency
keys that have expired, and tenants that were deleted. Always in batches, so that no transaction holds much for long.

What was said is deleted as `headrace_app`, a tenant at a time; the rest as `headrace_system`, which can't read it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from schema.db import Db, fetch_all
from schema.ids import first_id

BATCH = 1000
IDEMPOTENCY_HOURS = 24

TENANTS = """
SELECT id, state, retention_days, audit_days FROM tenants WHERE state = ANY(%(states)s) OR retention_days IS NOT NULL
"""

EXPIRED_LOGINS = """
DELETE FROM logins WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM logins WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT %(limit)s)
"""

EXPIRED_KEYS = """
DELETE FROM idempotency_keys WHERE (tenant_id, route, key) IN (
  SELECT tenant_id, route, key FROM idempotency_keys
  WHERE created_at < now() - make_interval(hours => %(hours)s) ORDER BY created_at LIMIT %(limit)s)
"""

OLD_AUDIT = """
DELETE FROM audit_log a WHERE (a.tenant_id, a.id) IN (
  SELECT o.tenant_id, o.id FROM tenants t CROSS JOIN LATERAL (
    SELECT l.tenant_id, l.id FROM audit_log l
    WHERE l.tenant_id = t.id AND l.at < now() - make_interval(days => t.audit_days)
    ORDER BY l.tenant_id, l.at LIMIT %(limit)s) AS o
  LIMIT %(limit)s)
"""

# The rows of a day that is over become one for each user, agent and model.
JOIN_USAGE = """
WITH days AS MATERIALIZED (
  SELECT tenant_id, day FROM usage_records WHERE day < (now() AT TIME ZONE 'UTC')::date - 1
  GROUP BY tenant_id, day, user_id, agent, model HAVING count(*) > 1 LIMIT 10),
gone AS (
  DELETE FROM usage_records u USING days WHERE u.tenant_id = days.tenant_id AND u.day = days.day RETURNING u.*)
INSERT INTO usage_records (tenant_id, id, day, user_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos)
SELECT tenant_id, gen_random_uuid(), day, user_id, agent, model, sum(jobs), sum(input_tokens), sum(output_tokens),
  sum(cost_nanos)
FROM gone GROUP BY tenant_id, day, user_id, agent, model
"""

# Ids begin with their time, so the primary key finds what is old.
OLD_JOBS = """
DELETE FROM jobs WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND id < %(first_id)s AND finished_at < %(before)s
  ORDER BY id LIMIT %(limit)s)
RETURNING id
"""

OLD_SESSIONS = """
DELETE FROM sessions WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT s.id FROM sessions s WHERE s.tenant_id = %(tenant_id)s AND s.updated_at < %(before)s
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = s.tenant_id AND j.session_id = s.id
      AND j.state IN ('queued', 'dispatched', 'running'))
  ORDER BY s.updated_at, s.id LIMIT %(limit)s)
RETURNING id
"""


async def list_tenants_to_sweep(db: Db) -> list[DictRow]:
    """Return the tenants whose content may be due: those with a retention, and those that are being deleted."""
    return await fetch_all(db, TENANTS, {"states": ["deleting"]})


async def delete_expired(db: Db) -> int:
    """Delete expired sign-ins and idempotency keys, and audit rows past their days; as the system.

    Returns how many rows went; BATCH or more means that there may be others.
    """
    values = {"limit": BATCH, "hours": IDEMPOTENCY_HOURS}
    gone = 0
    for sql in (EXPIRED_LOGINS, EXPIRED_KEYS, OLD_AUDIT):
        gone += (await db.execute(sql, values)).rowcount
    return gone


async def join_usage(db: Db) -> None:
    """Make one row of what a user, agent and model used on a day that is over; as the system."""
    await db.execute(JOIN_USAGE)


async def delete_old_content(db: Db, tenant_id: UUID, before: datetime) -> int:
    """Delete sessions that nobody used since `before`, with all that was said, and jobs that ended before it; as the tenant."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "before": before, "first_id": first_id(before), "limit": BATCH}
    return sum([len(await fetch_all(db, sql, values)) for sql in (OLD_SESSIONS, OLD_JOBS)])


async def delete_all_content(db: Db, tenant_id: UUID) -> int:
    """Delete a batch of everything that was said and done in a tenant that is being deleted, running jobs included: their
    attempts find no row any more and stop. As the tenant."""
    gone = 0
    for table in ("jobs", "sessions"):
        sql = f"""DELETE FROM {table} WHERE tenant_id = %(tenant_id)s AND id IN (
          SELECT id FROM {table} WHERE tenant_id = %(tenant_id)s ORDER BY id LIMIT %(limit)s) RETURNING id"""
        gone += len(await fetch_all(db, sql, {"tenant_id": tenant_id, "limit": BATCH}))
    return gone


async def delete_tenant(db: Db, tenant_id: UUID) -> None:
    """Delete a tenant whose content is gone, with its users, keys, credentials, usage and audit log; as the system."""
    for table in ("audit_log", "usage_records", "tenants"):
        column = "id" if table == "tenants" else "tenant_id"
        await db.execute(f"DELETE FROM {table} WHERE {column} = %s", (tenant_id,))  # type: ignore[arg-type]
