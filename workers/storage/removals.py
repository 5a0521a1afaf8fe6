"""Deletes stored files that nothing refers to: those of deleted documents and of failed uploads.

Safe with several schedulers, and if one is killed: the rows of `file_removals` are deleted in a transaction that commits after
the files are deleted (`schema/queries/documents/file_removals.py`). If the storage does not answer, the rows stay, and the
next round retries.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog

from schema.postgres.connections import Pool, system_tx, tenant_tx
from schema.queries.documents.file_removals import claim_due_removals, claim_removals
from workers.storage.contract import NAME, Storage

log = structlog.get_logger()

BATCH = 200
MAX_BATCHES = 50


async def delete_due_files(system_pool: Pool, storage: Storage) -> int:
    """Delete all files that are due and return how many; `system_pool` has the role `headrace_system`. Raises
    Unavailable."""
    deleted = 0
    for _ in range(MAX_BATCHES):
        async with system_tx(system_pool) as db:
            names = await claim_due_removals(db, BATCH)
            await storage.delete(name for name in names if NAME.fullmatch(name))
        deleted += len(names)
        if len(names) < BATCH:
            break
    if deleted:
        log.info("files_removed", files=deleted)
    return deleted


async def delete_unused_files(pool: Pool, storage: Storage, tenant_id: UUID, names: Sequence[str]) -> None:
    """Delete the files of an upload whose commit failed; any that were committed after all are kept. Raises
    Unavailable; then `delete_due_files` deletes them later."""
    async with tenant_tx(pool, tenant_id) as db:
        await storage.delete(await claim_removals(db, tenant_id, names))
