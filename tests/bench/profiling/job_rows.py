"""What the jobs' rows say of their way: how long they waited to be dispatched, and then to be claimed."""

from datetime import datetime
from typing import Any

import psycopg

from tests.bench.reporting.percentiles import spread

WAITS = """
SELECT extract(epoch FROM j.dispatched_at - j.created_at) * 1e3, extract(epoch FROM a.started_at - j.dispatched_at) * 1e3
FROM jobs j JOIN attempts a ON a.tenant_id = j.tenant_id AND a.job_id = j.id AND a.attempt = 1
WHERE j.created_at >= %s AND j.dispatched_at IS NOT NULL AND (%s::text IS NULL OR j.model = %s)"""


def database_now(database_url: str) -> datetime:
    """Return the time as Postgres has it."""
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


def waits(database_url: str, since: datetime, model: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return the waits of the jobs submitted since then, of one model or of all, as a note and as percentiles.

    A row's times are when its transactions began: `dispatched` of a job that started at once is its submit, so the wait
    for the claim then holds the submit's commit and the doorbell.
    """
    with psycopg.connect(database_url) as db:
        rows = db.execute(WAITS, (since, model, model)).fetchall()
    dispatched, claimed = [float(row[0]) for row in rows], [float(row[1]) for row in rows]
    later = sum(wait > 0 for wait in dispatched)
    kept = {"jobs": len(rows), "not at once": later, "dispatched": spread(dispatched), "claimed": spread(claimed)}
    note = (
        f"rows: {later} of {len(rows)} jobs not dispatched at once; ms until dispatched p50 {kept['dispatched']['p50']:.1f} "
        f"p99 {kept['dispatched']['p99']:.1f}, from then until claimed p50 {kept['claimed']['p50']:.1f} "
        f"p99 {kept['claimed']['p99']:.1f}"
    )
    return note, kept
