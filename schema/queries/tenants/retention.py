"""What goes when its time is over: content after the tenant's retention, the audit log after its own, sign-ins and idempotency
keys that have expired, and tenants that were deleted. Always in batches, so that no transaction holds much for long.

What was said is deleted as `headrace_app`, a tenant at a time; the rest as `headrace_system`, which can't read it. Schedulers
take turns at a transaction (`TAKE_LOCK`), so that two never lock each other out of the same rows.

A row that is to be deleted is looked at twice: when it is chosen, and when it is deleted. In between somebody may have gone
on with the session, or driven the job again, and then it stays.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.identity.tenancy import TenantState
from schema.ids import first_id
from schema.postgres.connections import ALLOW_LONG_STATEMENTS, Db, fetch_all
from schema.states import LIVE_SQL

BATCH = 1000
DAYS = 10  # days of a tenant whose usage is joined in one transaction
LOOSE = 20_000  # rows among which these days are looked for
CHUNKS = 10_000  # of the documents that are deleted in one transaction
IDEMPOTENCY_HOURS = 24
RUN_DAYS = 90  # for which is known what became of the due times of schedules

TENANTS = """
SELECT id, state, retention_days, archive_days FROM tenants WHERE state = ANY(%(states)s) OR retention_days IS NOT NULL
"""

TAKE_LOCK = "SELECT pg_advisory_xact_lock(1213354580)"  # "HRRT"

# Of a limit that it doesn't know the planner expects a tenth of all rows. Then it would rather read all that is due and join
# that with the batch: with each batch once more, of what is left of years.
FIND_BY_KEY = "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"

EXPIRED_LOGINS = """
DELETE FROM logins WHERE expires_at < now() - interval '1 day' AND (tenant_id, id) IN (
  SELECT tenant_id, id FROM logins WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT %(limit)s)
RETURNING tenant_id
"""

EXPIRED_BROWSERS = """
DELETE FROM browser_sessions WHERE expires_at < now() AND (tenant_id, id) IN (
  SELECT tenant_id, id FROM browser_sessions WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s)
RETURNING tenant_id
"""

EXPIRED_CODES = """
DELETE FROM sign_in_codes WHERE expires_at < now() AND (tenant_id, key_id) IN (
  SELECT tenant_id, key_id FROM sign_in_codes WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s)
RETURNING tenant_id
"""

EXPIRED_KEYS = """
DELETE FROM idempotency_keys WHERE (tenant_id, route, key) IN (
  SELECT tenant_id, route, key FROM idempotency_keys
  WHERE created_at < now() - make_interval(hours => %(hours)s) ORDER BY created_at LIMIT %(limit)s)
RETURNING tenant_id
"""

EXPIRED_ANSWERS = """
DELETE FROM cached_answers WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM cached_answers WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s)
RETURNING tenant_id
"""

OLD_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE ended_at < now() - make_interval(days => %(delivery_days)s) AND (tenant_id, id) IN (
  SELECT tenant_id, id FROM webhook_deliveries WHERE ended_at < now() - make_interval(days => %(delivery_days)s)
  ORDER BY ended_at LIMIT %(limit)s)
RETURNING tenant_id
"""

EXPIRED_FILES = """
DELETE FROM files WHERE expires_at < now() AND (tenant_id, id) IN (
  SELECT tenant_id, id FROM files WHERE expires_at < now() ORDER BY expires_at LIMIT %(limit)s)
RETURNING tenant_id
"""

OLD_RUNS = """
DELETE FROM schedule_runs WHERE (tenant_id, schedule_id, due_at) IN (
  SELECT tenant_id, schedule_id, due_at FROM schedule_runs
  WHERE due_at < now() - make_interval(days => %(run_days)s) ORDER BY due_at LIMIT %(limit)s)
RETURNING tenant_id
"""

OLD_AUDIT = """
DELETE FROM audit_log a WHERE (a.tenant_id, a.id) IN (
  SELECT o.tenant_id, o.id FROM tenants t CROSS JOIN LATERAL (
    SELECT l.tenant_id, l.id FROM audit_log l
    WHERE l.tenant_id = t.id AND l.at < now() - make_interval(days => t.audit_days)
    ORDER BY l.tenant_id, l.at LIMIT %(limit)s) AS o
  LIMIT %(limit)s)
RETURNING a.tenant_id
"""

# The rows of a day become one for each user, key, agent and model. Only the index of those not merged says where to look.
MERGE_USAGE = """
WITH days AS MATERIALIZED (
  SELECT DISTINCT tenant_id, day FROM (
    SELECT tenant_id, day FROM usage_records WHERE NOT merged ORDER BY tenant_id, day LIMIT %(loose)s) AS loose
  ORDER BY day, tenant_id LIMIT %(days)s),
kinds AS MATERIALIZED (
  SELECT DISTINCT u.tenant_id, u.day, u.user_id, u.key_id, u.agent, u.model FROM days JOIN usage_records u
    ON u.tenant_id = days.tenant_id AND u.day = days.day AND NOT u.merged),
gone AS (
  DELETE FROM usage_records u USING kinds k WHERE u.tenant_id = k.tenant_id AND u.day = k.day
    AND u.user_id IS NOT DISTINCT FROM k.user_id AND u.key_id IS NOT DISTINCT FROM k.key_id
    AND u.agent = k.agent AND u.model = k.model RETURNING u.*),
joined AS (
  INSERT INTO usage_records (tenant_id, id, day, user_id, key_id, agent, model, jobs, input_tokens, output_tokens, cost_nanos,
    own_key_input_tokens, own_key_output_tokens, merged)
  SELECT tenant_id, gen_random_uuid(), day, user_id, key_id, agent, model, sum(jobs), greatest(sum(input_tokens), 0),
    greatest(sum(output_tokens), 0), greatest(sum(cost_nanos), 0), sum(own_key_input_tokens), sum(own_key_output_tokens), true
  FROM gone GROUP BY tenant_id, day, user_id, key_id, agent, model),
totals AS (
  INSERT INTO usage_days AS d (tenant_id, day, jobs, input_tokens, output_tokens, cost_nanos, own_key_input_tokens,
    own_key_output_tokens)
  SELECT tenant_id, day, sum(jobs), sum(input_tokens), sum(output_tokens), sum(cost_nanos), sum(own_key_input_tokens),
    sum(own_key_output_tokens)
  FROM gone WHERE NOT merged GROUP BY tenant_id, day
  ON CONFLICT (tenant_id, day) DO UPDATE SET jobs = d.jobs + excluded.jobs,
    input_tokens = d.input_tokens + excluded.input_tokens,
    output_tokens = d.output_tokens + excluded.output_tokens, cost_nanos = d.cost_nanos + excluded.cost_nanos,
    own_key_input_tokens = d.own_key_input_tokens + excluded.own_key_input_tokens,
    own_key_output_tokens = d.own_key_output_tokens + excluded.own_key_output_tokens)
SELECT day FROM days
"""

# Ids begin with their time, so the primary key finds what is old.
OLD_JOBS = """
DELETE FROM jobs WHERE tenant_id = %(tenant_id)s AND finished_at < %(before)s AND id IN (
  SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND id < %(first_id)s AND finished_at < %(before)s
  ORDER BY id LIMIT %(limit)s)
RETURNING id
"""

OLD_SESSIONS = f"""
DELETE FROM sessions WHERE tenant_id = %(tenant_id)s AND updated_at < %(before)s AND id IN (
  SELECT s.id FROM sessions s WHERE s.tenant_id = %(tenant_id)s AND s.updated_at < %(before)s
    AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.tenant_id = s.tenant_id AND j.session_id = s.id
      AND j.state IN {LIVE_SQL})
  ORDER BY s.updated_at, s.id LIMIT %(limit)s)
RETURNING id
"""

OLD_CONVERSATIONS = f"""
DELETE FROM conversations WHERE tenant_id = %(tenant_id)s AND updated_at < %(before)s AND id IN (
  SELECT c.id FROM conversations c WHERE c.tenant_id = %(tenant_id)s AND c.updated_at < %(before)s AND NOT EXISTS (
    SELECT 1 FROM conversation_items i JOIN jobs j ON j.tenant_id = i.tenant_id AND j.id = i.job_id
    WHERE i.tenant_id = c.tenant_id AND i.conversation_id = c.id AND i.pending AND j.state IN {LIVE_SQL})
  ORDER BY c.updated_at, c.id LIMIT %(limit)s)
RETURNING id
"""

# What was never sent goes too: its endpoint has been off for longer than anything is kept.
OLD_CONTENT_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT id FROM webhook_deliveries WHERE tenant_id = %(tenant_id)s AND id < %(first_id)s AND occurred_at < %(before)s
    AND state IN ('paused', 'delivered', 'exhausted') ORDER BY id LIMIT %(limit)s)
RETURNING id
"""

ALL_DELIVERIES = """
DELETE FROM webhook_deliveries WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT id FROM webhook_deliveries WHERE tenant_id = %(tenant_id)s ORDER BY id LIMIT %(limit)s)
RETURNING id
"""

# A job that runs is stopped first (`stop_running`): its attempt would go on, and write its stream to Redis anew.
ALL_JOBS = """
DELETE FROM jobs WHERE tenant_id = %(tenant_id)s AND state <> %(running)s AND id IN (
  SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND state <> %(running)s ORDER BY id LIMIT %(limit)s)
RETURNING id
"""

# What a few documents have in chunks is deleted with them, so there are fewer of them in a batch.
ALL_DOCUMENTS = """
DELETE FROM documents WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT id FROM (
    SELECT id, sum(chunks) OVER (ORDER BY id) - chunks AS before FROM (
      SELECT id, chunks FROM documents WHERE tenant_id = %(tenant_id)s ORDER BY id LIMIT %(limit)s) AS first) AS weighed
  WHERE before < %(chunks)s)
RETURNING id
"""

ALL_SESSIONS = """
DELETE FROM sessions WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT s.id FROM sessions s WHERE s.tenant_id = %(tenant_id)s AND NOT EXISTS (
    SELECT 1 FROM jobs j WHERE j.tenant_id = s.tenant_id AND j.session_id = s.id)
  ORDER BY s.id LIMIT %(limit)s)
RETURNING id
"""

ALL_CONVERSATIONS = """
DELETE FROM conversations WHERE tenant_id = %(tenant_id)s AND id IN (
  SELECT id FROM conversations WHERE tenant_id = %(tenant_id)s ORDER BY id LIMIT %(limit)s)
RETURNING id
"""

STOP_RUNNING = """
UPDATE jobs SET cancel_requested = 'forget' WHERE tenant_id = %(tenant_id)s AND state = 'running' RETURNING id, attempt
"""


class SweptTenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant whose content may be due."""

    id: UUID
    state: TenantState
    retention_days: int | None
    archive_days: int | None


class StoppedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A running job that was told to stop."""

    id: UUID
    attempt: int


async def list_tenants_to_sweep(db: Db) -> list[SweptTenant]:
    """Return the tenants whose content may be due: those with a retention, and those that are being deleted."""
    return await fetch_all(db, TENANTS, {"states": ["deleting"]}, into=SweptTenant)


async def delete_expired(db: Db, *, delivery_days: int) -> int:
    """Delete expired sign-ins, idempotency keys, cached answers and files, old due times, audit rows past their days, and
    webhook deliveries that ended `delivery_days` ago; as the system.

    Returns how many rows went; BATCH or more means that there may be others.
    """
    values = {"limit": BATCH, "hours": IDEMPOTENCY_HOURS, "delivery_days": delivery_days, "run_days": RUN_DAYS}
    await db.execute(TAKE_LOCK)
    await db.execute(FIND_BY_KEY)
    signed_in = (EXPIRED_LOGINS, EXPIRED_BROWSERS, EXPIRED_CODES)
    expired = (*signed_in, EXPIRED_KEYS, EXPIRED_ANSWERS, EXPIRED_FILES, OLD_DELIVERIES, OLD_RUNS, OLD_AUDIT)
    return sum([len(await fetch_all(db, sql, values)) for sql in expired])


async def merge_usage(db: Db) -> int:
    """Make one row of what a user, agent and model used on a day; as the system.

    Returns of how many days of tenants; after 0 there are no others.
    """
    await db.execute(TAKE_LOCK)
    return len(await fetch_all(db, MERGE_USAGE, {"days": DAYS, "loose": LOOSE}))


async def delete_old_content(db: Db, tenant_id: UUID, before: datetime, *, sessions: bool = True) -> int:
    """Delete sessions and conversations that nobody used since `before`, with all that was said, and jobs that ended before it;
    as the tenant. Without `sessions`, those are somebody else's to move (`workers/archive.py`)."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "before": before, "first_id": first_id(before), "limit": BATCH}
    await db.execute(TAKE_LOCK)
    old = (*((OLD_SESSIONS,) if sessions else ()), OLD_CONVERSATIONS, OLD_JOBS, OLD_CONTENT_DELIVERIES)
    return sum([len(await fetch_all(db, sql, values)) for sql in old])


async def stop_running(db: Db, tenant_id: UUID) -> list[StoppedJob]:
    """Ask all running jobs of a tenant that is being deleted to stop and return their ids and attempts; as the tenant."""
    return await fetch_all(db, STOP_RUNNING, {"tenant_id": tenant_id}, into=StoppedJob)


async def delete_all_content(db: Db, tenant_id: UUID) -> int:
    """Delete a batch of everything that was said and done in a tenant that is being deleted, but for what runs; as the
    tenant. Returns how many rows went."""
    values = {"tenant_id": tenant_id, "running": "running", "limit": BATCH, "chunks": CHUNKS}
    await db.execute(ALLOW_LONG_STATEMENTS)
    await db.execute(TAKE_LOCK)
    content = (ALL_DOCUMENTS, ALL_JOBS, ALL_SESSIONS, ALL_CONVERSATIONS, ALL_DELIVERIES)
    return sum([len(await fetch_all(db, sql, values)) for sql in content])


COUNTED = {"tallies": "id", "job_samples": "id", "performance_counts": "at"}


async def delete_records(db: Db, tenant_id: UUID) -> int:
    """Delete a batch of the usage, the audit log and what is counted of a tenant that is being deleted; as the system. Returns
    how many rows went."""
    gone = 0
    await db.execute(TAKE_LOCK)
    for table, key in {"audit_log": "id", "usage_records": "id", "usage_days": "day", **COUNTED}.items():
        sql = f"""DELETE FROM {table} WHERE tenant_id = %(tenant_id)s AND {key} IN (
          SELECT {key} FROM {table} WHERE tenant_id = %(tenant_id)s ORDER BY {key} LIMIT %(limit)s) RETURNING {key}"""
        gone += len(await fetch_all(db, sql, {"tenant_id": tenant_id, "limit": BATCH}))
    return gone


async def delete_tenant(db: Db, tenant_id: UUID) -> None:
    """Delete a tenant whose content and records are gone, with its users, keys, grants and credentials; as the system."""
    await db.execute("DELETE FROM tenants WHERE id = %s", (tenant_id,))
