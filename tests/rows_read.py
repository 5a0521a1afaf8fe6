"""How many rows a transaction reads, by Postgres' own count: what a list costs, whatever the machine's speed."""

from typing import Any

from schema.postgres.connections import Db, fetch_all

GROWING = ("jobs", "attempts", "job_logs", "sessions", "messages", "usage_records", "audit_log")

READ = """
SELECT relname AS table, coalesce(seq_scan, 0) AS scans, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS rows
FROM pg_stat_xact_user_tables WHERE relname = ANY (%(tables)s)
"""


async def rows_read(db: Db) -> int:
    """Return how many rows of the tables that grow this transaction has read, also those that a filter left out. A table that
    was read from end to end is an AssertionError."""
    counted: list[dict[str, Any]] = await fetch_all(db, READ, {"tables": list(GROWING)})
    scanned = [row["table"] for row in counted if row["scans"]]
    assert not scanned, f"read from end to end: {', '.join(scanned)}"
    return sum(row["rows"] for row in counted)
