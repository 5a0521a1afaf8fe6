"""How fast jobs were over time: the counts of `performance.py`, minute by minute or hour by hour. What is read grows with the
length of a window, not with the number of jobs."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from schema.job_kinds import KINDS, Kind
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.tenants.performance import TIMES, WINDOWS, Performance, Window

SERIES = """
SELECT c.at, c.measure, c.bucket, sum(c.n)::bigint AS n FROM performance_counts c
WHERE c.tenant_id = %(tenant_id)s AND c.grain = %(grain)s AND c.kind = ANY(%(kinds)s::text[])
  AND c.at >= date_trunc(%(grain)s, now(), 'UTC') - make_interval(secs => %(length_s)s)
GROUP BY 1, 2, 3
"""


class _Row(msgspec.Struct, frozen=True):
    at: datetime
    measure: str
    bucket: int
    n: int


async def get_series(
    db: Db, tenant_id: UUID, window: Window, kind: Kind | None
) -> tuple[datetime, dict[datetime, Performance]]:
    """Return the time of Postgres, and what was counted of a tenant's jobs (with PLATFORM of all) in each minute or hour of a
    window in which any ended, of all kinds of job or of one."""
    grain, length_s = WINDOWS[window]
    values: dict[str, Any] = {"tenant_id": tenant_id, "grain": grain, "length_s": length_s}
    values["kinds"] = [kind] if kind else list(KINDS)
    series: dict[datetime, Performance] = {}
    for row in await fetch_all(db, SERIES, values, into=_Row):
        one = series.setdefault(row.at, Performance())
        if row.measure in TIMES:
            one.times[row.measure][row.bucket] = row.n
        else:
            one.counts[row.measure] += row.n
    now = await fetch_one(db, "SELECT now() AS at", {})
    assert now is not None
    return now["at"], series
