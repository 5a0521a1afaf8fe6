"""How fast jobs were and what they used, in windows of time: from counts by minute and hour, not from jobs.

    a job's end ─► job_samples ─► the scheduler, every few seconds ─► performance_counts, twice: for its tenant, and for all
                                                                      tenants together under the platform's id

So a summary reads as many rows however many jobs there were, and jobs that are deleted were counted all the same. Times are
counted in buckets, each a tenth wider than the one before: a percentile is right to five percent.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.metrics.figures import WIDTH, Figure
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.vault import PLATFORM

Window = Literal["5m", "hour", "day", "week"]
WINDOWS: dict[Window, tuple[str, int]] = {
    "5m": ("minute", 300),
    "hour": ("minute", 3600),
    "day": ("hour", 86_400),
    "week": ("hour", 604_800),
}
"""The windows of a summary: the counts that each is made of, and its length in seconds."""

KEPT_S = {"minute": 3 * 3600, "hour": 15 * 86_400}
"""How long counts are kept: twice the longest window that is made of them, and a bit."""

SAMPLES = 5000
"""How many samples are counted in one transaction."""

OLD = 5000


def bucket(seconds: str) -> str:
    """Return the SQL of the bucket that a column's seconds fall into; NULL for NULL."""
    return (
        f"CASE WHEN {seconds} IS NOT NULL THEN ceil(ln(greatest({seconds}, 0.0001)) / ln({WIDTH}::float8))::integer END"
    )


# Samples that another scheduler is counting are left to it. Rows are changed in one order, so that two can't wait for each
# other.
COUNT = f"""
WITH gone AS (
  DELETE FROM job_samples WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM job_samples LIMIT %(samples)s FOR UPDATE SKIP LOCKED) RETURNING *),
of_whom AS (
  SELECT * FROM gone
  UNION ALL
  SELECT %(platform)s::uuid, id, at, kind, state, wait_s, run_s, first_token_s, input_tokens, output_tokens, cost_nanos
  FROM gone WHERE tenant_id <> %(platform)s::uuid),
measured AS (
  SELECT s.tenant_id, s.kind, s.at, m.measure, m.bucket, m.n FROM of_whom s, LATERAL (VALUES
    (s.state, 0, 1::bigint), ('input_tokens', 0, s.input_tokens), ('output_tokens', 0, s.output_tokens),
    ('cost_nanos', 0, s.cost_nanos), ('wait', {bucket("s.wait_s")}, 1), ('run', {bucket("s.run_s")}, 1),
    ('first_token', {bucket("s.first_token_s")}, 1)) AS m (measure, bucket, n)
  WHERE m.bucket IS NOT NULL AND m.n <> 0),
counted AS (
  INSERT INTO performance_counts AS p (tenant_id, grain, at, kind, measure, bucket, n)
  SELECT tenant_id, grain, date_trunc(grain, at, 'UTC'), kind, measure, bucket, sum(n)
  FROM measured, unnest(%(grains)s::text[]) AS grain GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
  ON CONFLICT (tenant_id, grain, at, kind, measure, bucket) DO UPDATE SET n = p.n + excluded.n)
SELECT count(*) AS samples FROM gone
"""
FORGET = """
DELETE FROM performance_counts WHERE (tenant_id, grain, at, kind, measure, bucket) IN (
  SELECT tenant_id, grain, at, kind, measure, bucket FROM performance_counts
  WHERE grain = %(grain)s AND at < now() - make_interval(secs => %(kept_s)s) LIMIT %(limit)s)
RETURNING n
"""

# A window is its length and the minute, or hour, that has begun; before it lies one of its length.
SUMMARY = """
SELECT w.name AS window, p.kind, p.at >= w.since AS is_now, p.measure, p.bucket, sum(p.n)::bigint AS n
FROM (SELECT name, grain, make_interval(secs => length_s) AS length,
    date_trunc(grain, now(), 'UTC') - make_interval(secs => length_s) AS since
  FROM unnest(%(names)s::text[], %(grains)s::text[], %(lengths)s::integer[]) AS u (name, grain, length_s)) AS w,
LATERAL (
  SELECT * FROM performance_counts c
  WHERE c.tenant_id = %(tenant_id)s AND c.grain = w.grain AND c.at >= w.since - w.length) AS p
GROUP BY 1, 2, 3, 4, 5
"""


# Reads alone: what waits for an answer takes as long as the model does.
RESPONSE_TIMES = """
SELECT bucket, sum(n)::bigint AS n FROM performance_counts
WHERE tenant_id = %(platform)s AND grain = 'minute' AND at >= now() - make_interval(mins => %(minutes)s)
  AND kind LIKE %(reads)s AND measure = 'time'
GROUP BY bucket
"""


@dataclass
class Performance:
    """What was counted of one kind of job in one window: `counts` by measure, times by measure and bucket."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    times: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict[str, dict[int, int]](dict))

    def percentile(self, measure: str, share: float) -> float | None:
        """Return the seconds that this share of the times did not exceed; None if there were none."""
        times = self.times.get(measure, {})
        wanted, reached = share * sum(times.values()), 0
        for bucket, n in sorted(times.items()):
            reached += n
            if reached >= wanted:
                return float(f"{WIDTH ** (bucket - 0.5):.3g}")
        return None


class _Row(msgspec.Struct, frozen=True):
    window: Window
    kind: str
    is_now: bool
    measure: str
    bucket: int
    n: int


TIMES = ("wait", "run", "first_token", "time")
Summary = dict[tuple[Window, str, bool], Performance]
"""By window; kind of job, `tools`, `cache` or `route METHOD PATH`; and whether it is the window (True) or the time before."""


async def get_summary(db: Db, tenant_id: UUID) -> tuple[datetime, Summary]:
    """Return what was counted of a tenant's jobs, or with PLATFORM of all jobs, and the time of Postgres."""
    names = list(WINDOWS)
    values: dict[str, Any] = {"tenant_id": tenant_id, "names": names, "grains": [WINDOWS[name][0] for name in names]}
    values["lengths"] = [WINDOWS[name][1] for name in names]
    summary: Summary = defaultdict(Performance)
    for row in await fetch_all(db, SUMMARY, values, into=_Row):
        one = summary[row.window, row.kind, row.is_now]
        if row.measure in TIMES:
            one.times[row.measure][row.bucket] = row.n
        else:
            one.counts[row.measure] += row.n
    now = await fetch_one(db, "SELECT now() AS at", {})
    assert now is not None
    return now["at"], dict(summary)


async def add_figures(db: Db, counts: dict[Figure, int]) -> None:
    """Add what a process has counted, of all tenants."""
    names = ("tenant_id", "kind", "measure", "bucket")
    rows = [dict(zip(names, figure, strict=True)) | {"n": n} for figure, n in counts.items()]
    await db.execute("SELECT add_figures(%s)", (Jsonb(rows),))


async def read_response_times(db: Db, *, minutes: int = 2) -> Performance:
    """Return how long the reads of the last minutes took, over all routes; as the system."""
    values = {"platform": PLATFORM, "reads": "route GET %", "minutes": minutes}
    found = Performance()
    for row in await fetch_all(db, RESPONSE_TIMES, values):
        found.times["time"][row["bucket"]] = row["n"]
    return found


async def count_samples(db: Db) -> int:
    """Count jobs that have ended; as the system. Returns how many; SAMPLES means that there may be others."""
    values = {"samples": SAMPLES, "platform": PLATFORM, "grains": list(KEPT_S)}
    row = await fetch_one(db, COUNT, values)
    assert row is not None
    return row["samples"]


async def forget_old_counts(db: Db) -> int:
    """Delete counts that no window reaches; as the system. Returns how many, of each grain at most OLD."""
    values = [{"grain": grain, "kept_s": kept_s, "limit": OLD} for grain, kept_s in KEPT_S.items()]
    return sum([len(await fetch_all(db, FORGET, one)) for one in values])
