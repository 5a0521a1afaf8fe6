"""How a tenant is doing, in figures: its jobs, what it keeps, what it used. What has ended or was said is counted once
(`schema/queries/tenants/tallies.py`), so a call reads what came since, whatever there was before.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from schema.ids import first_id
from schema.job_kinds import KINDS
from schema.postgres.connections import Db, fetch_one
from schema.queries.tenants.usage import USED_IN_ALL
from schema.states import IN_FLIGHT_SQL, TERMINAL

Row = TypeVar("Row")


class JobStats(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by state, and those submitted in the last 24 h, to the minute; `waits` and `runs` are [p50, p95] in seconds, None
    when there were none."""

    all: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    submitted_24h: int
    failed_24h: int
    waits: list[float] | None
    runs: list[float] | None


class StoredCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant has; `keys` are those that are good."""

    sessions: int
    messages: int
    users: int
    keys: int
    documents: int
    stored_bytes: int


class UsageTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of ended jobs and what they cost."""

    input_tokens: int
    output_tokens: int
    cost_nanos: int


MAX_TIMED = 1000
"""Of how many jobs of the last day percentiles are told: the newest that have ended."""

# In a subquery of its own: under row security, a comparison with a `coalesce` is no condition of an index.
COUNTED_BEFORE = """(SELECT coalesce((SELECT counted_before FROM tally_marks WHERE tenant_id = %(tenant_id)s),
  '00000000-0000-0000-0000-000000000000'))"""

# `started_at` is the first claim, so a wait ends there, and a run is all tries together.
JOB_STATS = f"""
WITH since AS MATERIALIZED (SELECT date_trunc('minute', now() - interval '1 day') AS at),
counted (state, jobs, is_recent) AS (
  SELECT what, n, minute >= (SELECT at FROM since) FROM tallies WHERE tenant_id = %(tenant_id)s
  UNION ALL
  SELECT state, 1, created_at >= (SELECT at FROM since) FROM jobs
  WHERE tenant_id = %(tenant_id)s AND id >= {COUNTED_BEFORE} AND state = ANY(%(ended)s)
  UNION ALL
  SELECT state, 1, created_at >= (SELECT at FROM since) FROM jobs WHERE tenant_id = %(tenant_id)s AND state IN {IN_FLIGHT_SQL}
  UNION ALL
  SELECT state, 1, created_at >= (SELECT at FROM since) FROM jobs WHERE tenant_id = %(tenant_id)s AND state = 'queued'),
summed AS (
  SELECT sum(jobs) AS all, sum(jobs) FILTER (WHERE state IN ('queued', 'dispatched')) AS queued,
    sum(jobs) FILTER (WHERE state = 'running') AS running, sum(jobs) FILTER (WHERE state = 'succeeded') AS succeeded,
    sum(jobs) FILTER (WHERE state = 'failed') AS failed, sum(jobs) FILTER (WHERE state = 'cancelled') AS cancelled,
    sum(jobs) FILTER (WHERE is_recent) AS submitted_24h, sum(jobs) FILTER (WHERE is_recent AND state = 'failed') AS failed_24h
  FROM counted WHERE state NOT IN ('sessions', 'messages')),
timed AS (
  SELECT newest.* FROM unnest(%(kinds)s::text[]) AS k (kind), unnest(%(ended)s::text[]) AS s (state), LATERAL (
    SELECT id, created_at, started_at, finished_at FROM jobs j
    WHERE j.tenant_id = %(tenant_id)s AND j.kind = k.kind AND j.state = s.state AND j.id >= %(first_id)s
    ORDER BY j.id DESC LIMIT %(most)s) AS newest
  WHERE created_at >= (SELECT at FROM since) ORDER BY id DESC LIMIT %(most)s),
percentiles AS (
  SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - created_at)::float8)
      FILTER (WHERE started_at IS NOT NULL) AS waits,
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)::float8)
      FILTER (WHERE started_at IS NOT NULL) AS runs
  FROM timed)
SELECT {", ".join(f'coalesce("{name}", 0)::bigint AS "{name}"' for name in JobStats.__struct_fields__[:-2])}, waits, runs
FROM summed, percentiles
"""


def count_kept(table: str) -> str:
    """Return the SQL that counts a tenant's rows of `table`, which is tallied."""
    return f"""(SELECT coalesce(sum(n), 0)::bigint FROM tallies WHERE tenant_id = %(tenant_id)s AND what = '{table}')
    + (SELECT count(*) FROM {table} WHERE tenant_id = %(tenant_id)s AND id >= {COUNTED_BEFORE})"""


STORED_COUNTS = f"""
SELECT {count_kept("sessions")} AS sessions, {count_kept("messages")} AS messages,
  (SELECT count(*) FROM users WHERE tenant_id = %(tenant_id)s) AS users,
  (SELECT count(*) FROM api_keys WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now())) AS keys,
  coalesce((SELECT documents FROM knowledge WHERE tenant_id = %(tenant_id)s), 0) AS documents,
  coalesce((SELECT stored_bytes FROM knowledge WHERE tenant_id = %(tenant_id)s), 0) AS stored_bytes
"""

USAGE = """
SELECT coalesce(sum(input_tokens), 0)::bigint AS input_tokens, coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
  coalesce(sum(cost_nanos), 0)::bigint AS cost_nanos
FROM {used} WHERE tenant_id = %(tenant_id)s AND day >= {since}
"""

USAGE_TODAY = USAGE.format(used=USED_IN_ALL, since="(now() AT TIME ZONE 'UTC')::date")
USAGE_THIS_MONTH = USAGE.format(used=USED_IN_ALL, since="date_trunc('month', now() AT TIME ZONE 'UTC')::date")


async def get_job_stats(db: Db, tenant_id: UUID) -> JobStats:
    """Return how the tenant's jobs are doing."""
    day_ago = datetime.now(UTC) - timedelta(hours=25)  # by this clock; the statement compares by Postgres'
    values = {"ended": sorted(TERMINAL), "kinds": list(KINDS), "first_id": first_id(day_ago), "most": MAX_TIMED}
    return await _get(db, JOB_STATS, tenant_id, JobStats, **values)


async def get_stored_counts(db: Db, tenant_id: UUID) -> StoredCounts:
    """Return how many sessions, messages, users, living keys, documents and stored bytes the tenant has."""
    return await _get(db, STORED_COUNTS, tenant_id, StoredCounts)


async def get_usage_today(db: Db, tenant_id: UUID) -> UsageTotals:
    """Return tokens and cost of this UTC day."""
    return await _get(db, USAGE_TODAY, tenant_id, UsageTotals)


async def get_usage_this_month(db: Db, tenant_id: UUID) -> UsageTotals:
    """Return tokens and cost of this UTC month."""
    return await _get(db, USAGE_THIS_MONTH, tenant_id, UsageTotals)


async def _get(db: Db, sql: str, tenant_id: UUID, into: type[Row], **values: Any) -> Row:
    found = await fetch_one(db, sql, {"tenant_id": tenant_id, **values}, into=into)
    assert found is not None
    return found
