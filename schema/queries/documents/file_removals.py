"""Notes of bytes that are to go: they come before an upload's bytes are written, and when a version is deleted.

Whoever wants a note, to keep its bytes or to remove them, deletes its row first and holds it until its own transaction ends:

    a commit of an upload    takes the notes of its files (`take_notes`), and is refused if one is gone: so may be the bytes
    a removal                takes notes, removes the bytes, commits

So bytes that a version refers to are never removed, however long an upload took, and whoever dies when.
"""

from collections.abc import Sequence
from uuid import UUID

from schema.batch import Statement
from schema.db import Db, fetch_all, fetch_one
from schema.queries.jobs.submissions import NOTE_GONE

REMOVER = 0x4852464C  # the advisory lock of whoever removes what is due

TAKE = f"""
WITH taken AS (
  DELETE FROM file_removals WHERE tenant_id = %(tenant_id)s AND stored_as = ANY (%(names)s::text[]) RETURNING 1)
SELECT CASE WHEN (SELECT count(*) FROM taken) <> cardinality(%(names)s::text[]) THEN refuse('{NOTE_GONE}') END
"""

TAKE_DUE = """
DELETE FROM file_removals WHERE due_at <= now() AND (tenant_id, stored_as) IN (
  SELECT tenant_id, stored_as FROM file_removals WHERE due_at <= now() ORDER BY due_at LIMIT %(limit)s)
RETURNING stored_as
"""

TAKE_OWN = """
DELETE FROM file_removals WHERE tenant_id = %(tenant_id)s AND stored_as = ANY (%(names)s::text[]) RETURNING stored_as
"""


def take_notes(tenant_id: UUID, names: Sequence[str]) -> Statement:
    """Return the first statement of an upload's commit: its submit raises Unavailable if a file's note is
    gone, as its bytes were removed or are being removed."""
    return (TAKE, {"tenant_id": tenant_id, "names": list(names)})


async def take_due(db: Db, limit: int) -> list[str]:
    """Take notes that are due, of all tenants, oldest first; as the system. The bytes must be gone before this commits.
    Empty also while another removes."""
    turn = await fetch_one(db, "SELECT pg_try_advisory_xact_lock(%(lock)s) AS mine", {"lock": REMOVER})
    if turn is None or not turn["mine"]:
        return []
    return [row["stored_as"] for row in await fetch_all(db, TAKE_DUE, {"limit": limit})]


async def take_own(db: Db, tenant_id: UUID, names: Sequence[str]) -> list[str]:
    """Take those notes of an upload that came to nothing which are still there, and return their names; a version refers to
    none of them. The bytes must be gone before this commits."""
    return [row["stored_as"] for row in await fetch_all(db, TAKE_OWN, {"tenant_id": tenant_id, "names": list(names)})]
