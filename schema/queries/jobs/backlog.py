"""How many jobs wait and run, over all tenants, and which are dead letters; as the system. What a call reads is bounded."""

from datetime import UTC, datetime, timedelta

import msgspec

from schema.ids import first_id
from schema.job_kinds import KINDS
from schema.postgres.connections import Db, fetch_all
from schema.states import LIVE_SQL

MOST = 100_000
"""Waiting and running jobs that are counted."""
MAX_DEAD = 1_000
"""Dead letters that are counted of a tenant and kind."""

# Jobs that are parked wait for their session, and those with a later run_at for their retry: nobody is late for them.
BACKLOG = f"""
WITH live AS MATERIALIZED (
  SELECT kind, state, run_at, parked FROM jobs WHERE state IN {LIVE_SQL} LIMIT {MOST}),
dead AS (
  SELECT k.kind, f.n FROM tenants t, unnest(%(kinds)s::text[]) AS k (kind), LATERAL (
    SELECT count(*) AS n FROM (
      SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.kind = k.kind AND j.state = 'failed' AND j.id >= %(since)s
      LIMIT {MAX_DEAD}) AS failed) AS f)
SELECT kind, state, count(*)::int AS jobs, max(extract(epoch FROM now() - run_at)) FILTER (
  WHERE state <> 'running' AND NOT parked AND run_at <= now())::float8 AS oldest_s FROM live GROUP BY kind, state
UNION ALL SELECT kind, 'dead', sum(n)::int, NULL FROM dead GROUP BY kind
"""


class Backlog(msgspec.Struct, frozen=True):
    """`counts` by kind and state, of which `dead` are those that failed within a day; `oldest_s` by kind: how long the oldest
    job that is due has been waiting."""

    counts: dict[tuple[str, str], int]
    oldest_s: dict[str, float]


class _Row(msgspec.Struct, frozen=True):
    kind: str
    state: str
    jobs: int
    oldest_s: float | None


async def read_backlog(db: Db) -> Backlog:
    """Return what waits now."""
    since = first_id(datetime.now(UTC) - timedelta(days=1))
    rows = await fetch_all(db, BACKLOG, {"kinds": list(KINDS), "since": since}, into=_Row)
    oldest_s: dict[str, float] = {}
    for row in rows:
        oldest_s[row.kind] = max(oldest_s.get(row.kind, 0.0), row.oldest_s or 0.0)
    return Backlog({(row.kind, row.state): row.jobs for row in rows}, oldest_s)
