"""Counting once: ended jobs, sessions and messages of a tenant, up to a mark that follows a few minutes behind.

    count of anything  =  its tallies  +  rows with ids from the mark on

What changes below the mark, because it is deleted, retried, ends late or comes with an old id, is added to the tallies by
triggers, in the same transaction (migration 0010). Each takes the tenant's lock together with others, and counting takes it
alone. Triggers leave out what is younger than a minute, as nearly everything is that is added or ends; the mark stays LAG_S
behind, which is longer than any transaction lasts.
"""

from uuid import UUID

from schema.ids import first_id
from schema.postgres.connections import Db, fetch_all, fetch_one

LOCK = 1213355097  # "HRTY", as in the triggers
LAG_S = 180
STEP = 50_000
"""How many jobs are counted in one transaction, if a tenant has that many more since the last one."""

NOTHING_COUNTED = UUID(int=0)

DUE = """
SELECT t.id FROM tenants t LEFT JOIN tally_marks m ON m.tenant_id = t.id
WHERE t.state <> 'deleting' AND EXISTS (
  SELECT 1 FROM jobs j
  WHERE j.tenant_id = t.id AND j.id >= coalesce(m.counted_before, %(nothing)s) AND j.id < %(until)s)
"""

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(%(lock)s, hashtext(%(tenant_id)s::uuid::text)) AS locked"

STEP_END = """
SELECT coalesce(
  (SELECT id FROM jobs WHERE tenant_id = %(tenant_id)s AND id < %(until)s
    AND id >= (SELECT coalesce((SELECT counted_before FROM tally_marks WHERE tenant_id = %(tenant_id)s), %(nothing)s))
  ORDER BY id OFFSET %(step)s LIMIT 1), %(until)s) AS id
"""

# A statement of its own, because it must see what was committed before the lock was got.
COUNT = """
WITH mark AS MATERIALIZED (
  SELECT coalesce((SELECT counted_before FROM tally_marks WHERE tenant_id = %(tenant_id)s), %(nothing)s::uuid) AS id),
counted AS (
  INSERT INTO tallies (tenant_id, what, minute, n)
  SELECT %(tenant_id)s::uuid, state, date_trunc('minute', created_at), count(*) FROM jobs
  WHERE tenant_id = %(tenant_id)s AND id >= (SELECT id FROM mark) AND id < %(step_end)s
    AND state IN ('succeeded', 'failed', 'cancelled') GROUP BY 1, 2, 3
  UNION ALL
  SELECT %(tenant_id)s::uuid, 'sessions', '-infinity', count(*) FROM sessions
  WHERE tenant_id = %(tenant_id)s AND id >= (SELECT id FROM mark) AND id < %(step_end)s
  UNION ALL
  SELECT %(tenant_id)s::uuid, 'messages', '-infinity', count(*) FROM messages
  WHERE tenant_id = %(tenant_id)s AND id >= (SELECT id FROM mark) AND id < %(step_end)s)
INSERT INTO tally_marks (tenant_id, counted_before) VALUES (%(tenant_id)s, %(step_end)s)
ON CONFLICT (tenant_id) DO UPDATE SET counted_before = excluded.counted_before
"""

# Minutes are only told apart for the last day, and one row is left of all that are older.
FOLD = """
WITH gone AS (
  DELETE FROM tallies WHERE tenant_id = %(tenant_id)s AND minute < now() - interval '25 hours' RETURNING what, n)
INSERT INTO tallies (tenant_id, what, minute, n)
SELECT %(tenant_id)s, what, '-infinity', sum(n) FROM gone GROUP BY what HAVING sum(n) <> 0
"""


async def list_tenants_to_tally(db: Db) -> list[UUID]:
    """Return the tenants that have jobs above their mark; as the system."""
    values = {"nothing": NOTHING_COUNTED, "until": await _until(db)}
    return [row["id"] for row in await fetch_all(db, DUE, values)]


async def tally(db: Db, tenant_id: UUID) -> bool:
    """Count on, up to LAG_S ago or by a STEP; as the tenant. True if there is more to count. While somebody changes what is
    counted already nothing happens: the next time will do."""
    until = await _until(db)
    values = {"tenant_id": tenant_id, "lock": LOCK, "nothing": NOTHING_COUNTED, "until": until, "step": STEP}
    lock = await fetch_one(db, TRY_LOCK, values)
    if lock is None or not lock["locked"]:
        return False
    end = await fetch_one(db, STEP_END, values)
    assert end is not None
    await db.execute(COUNT, {**values, "step_end": end["id"]})
    await db.execute(FOLD, values)
    return end["id"] != until


async def _until(db: Db) -> UUID:
    """Return the first id of LAG_S ago, by the clock of Postgres, as the triggers' is."""
    now = await fetch_one(db, "SELECT now() AS at, make_interval(secs => %(lag_s)s) AS lag", {"lag_s": LAG_S})
    assert now is not None
    return first_id(now["at"] - now["lag"])
