"""How a tenant is doing, in figures: its jobs, what it keeps, what it used. For people to look at, not on the way of a job:
each call reads all jobs of the tenant once.
"""

from typing import TypeVar
from uuid import UUID

import msgspec

from schema.postgres.connections import Db, fetch_one
from schema.states import WAITING_SQL

Row = TypeVar("Row")


class JobStats(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs by state and of the last 24 h; `waits` and `runs` are [p50, p95] in seconds, None when there were none."""

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


# `started_at` is the first claim, so a wait ends there, and a run is all tries together.
JOB_STATS = f"""
SELECT count(*) AS all,
  count(*) FILTER (WHERE state IN {WAITING_SQL}) AS queued,
  count(*) FILTER (WHERE state = 'running') AS running,
  count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
  count(*) FILTER (WHERE state = 'failed') AS failed,
  count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE created_at > now() - interval '1 day') AS submitted_24h,
  count(*) FILTER (WHERE state = 'failed' AND finished_at > now() - interval '1 day') AS failed_24h,
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - created_at)::float8)
    FILTER (WHERE started_at > now() - interval '1 day') AS waits,
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)::float8)
    FILTER (WHERE finished_at > now() - interval '1 day' AND started_at IS NOT NULL) AS runs
FROM jobs WHERE tenant_id = %(tenant_id)s
"""

STORED_COUNTS = """
SELECT (SELECT count(*) FROM sessions WHERE tenant_id = %(tenant_id)s) AS sessions,
  (SELECT count(*) FROM messages WHERE tenant_id = %(tenant_id)s) AS messages,
  (SELECT count(*) FROM users WHERE tenant_id = %(tenant_id)s) AS users,
  (SELECT count(*) FROM api_keys WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now())) AS keys,
  coalesce((SELECT documents FROM knowledge WHERE tenant_id = %(tenant_id)s), 0) AS documents,
  coalesce((SELECT stored_bytes FROM knowledge WHERE tenant_id = %(tenant_id)s), 0) AS stored_bytes
"""

USAGE = """
SELECT coalesce(sum(input_tokens), 0)::bigint AS input_tokens, coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
  coalesce(sum(cost_nanos), 0)::bigint AS cost_nanos
FROM usage_records WHERE tenant_id = %(tenant_id)s AND day >= {since}
"""

USAGE_TODAY = USAGE.format(since="(now() AT TIME ZONE 'UTC')::date")
USAGE_THIS_MONTH = USAGE.format(since="date_trunc('month', now() AT TIME ZONE 'UTC')::date")


async def get_job_stats(db: Db, tenant_id: UUID) -> JobStats:
    """Return how the tenant's jobs are doing."""
    return await _get(db, JOB_STATS, tenant_id, JobStats)


async def get_stored_counts(db: Db, tenant_id: UUID) -> StoredCounts:
    """Return how many sessions, messages, users, living keys, documents and stored bytes the tenant has."""
    return await _get(db, STORED_COUNTS, tenant_id, StoredCounts)


async def get_usage_today(db: Db, tenant_id: UUID) -> UsageTotals:
    """Return tokens and cost of this UTC day."""
    return await _get(db, USAGE_TODAY, tenant_id, UsageTotals)


async def get_usage_this_month(db: Db, tenant_id: UUID) -> UsageTotals:
    """Return tokens and cost of this UTC month."""
    return await _get(db, USAGE_THIS_MONTH, tenant_id, UsageTotals)


async def _get(db: Db, sql: str, tenant_id: UUID, into: type[Row]) -> Row:
    found = await fetch_one(db, sql, {"tenant_id": tenant_id}, into=into)
    assert found is not None
    return found
