"""Scheduled removals of stored files: inserted before an upload stores a file, and by a trigger when a version is deleted.

Both sides delete the row first and hold its lock until their transaction ends:

    an upload's commit    cancels the removals of its files (`cancel_removals`), and fails if one has been claimed
    a removal             claims removals, deletes the files, commits

So a file that a version refers to is never deleted, however long the upload took and whichever process dies.
"""

from collections.abc import Sequence
from uuid import UUID

from schema.postgres.batch import Statement
from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import REMOVAL_STARTED

DUE_LOCK = 0x4852464C  # the advisory lock of the process that deletes due files

CANCEL = f"""
WITH cancelled AS (
  DELETE FROM file_removals WHERE tenant_id = %(tenant_id)s AND stored_as = ANY (%(names)s::text[]) RETURNING 1)
SELECT CASE WHEN (SELECT count(*) FROM cancelled) <> cardinality(%(names)s::text[]) THEN refuse('{REMOVAL_STARTED}') END
"""

CLAIM_DUE = """
DELETE FROM file_removals WHERE due_at <= now() AND (tenant_id, stored_as) IN (
  SELECT tenant_id, stored_as FROM file_removals WHERE due_at <= now() ORDER BY due_at LIMIT %(limit)s)
RETURNING stored_as
"""

CLAIM = """
DELETE FROM file_removals WHERE tenant_id = %(tenant_id)s AND stored_as = ANY (%(names)s::text[]) RETURNING stored_as
"""


def cancel_removals(tenant_id: UUID, names: Sequence[str]) -> Statement:
    """Return the first statement of an upload's commit. The submit raises Unavailable if the removal of a file has been
    claimed."""
    return (CANCEL, {"tenant_id": tenant_id, "names": list(names)})


async def claim_due_removals(db: Db, limit: int) -> list[str]:
    """Claim due removals of all tenants, oldest first, and return the files; as the system. Delete the files before the
    commit. Empty while another process does this."""
    lock = await fetch_one(db, "SELECT pg_try_advisory_xact_lock(%(lock)s) AS mine", {"lock": DUE_LOCK})
    if lock is None or not lock["mine"]:
        return []
    return [row["stored_as"] for row in await fetch_all(db, CLAIM_DUE, {"limit": limit})]


async def claim_removals(db: Db, tenant_id: UUID, names: Sequence[str]) -> list[str]:
    """Claim the removals of a failed upload that are still scheduled, and return their files, to which no version refers.
    Delete the files before the commit."""
    return [row["stored_as"] for row in await fetch_all(db, CLAIM, {"tenant_id": tenant_id, "names": list(names)})]
