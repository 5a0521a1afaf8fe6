"""Removes stored bytes that nothing refers to: of deleted documents, and of uploads that came to nothing.

Safe in any number of schedulers, and whenever one is killed: the notes go in the transaction that ends after the bytes are
gone (`schema/queries/documents/file_removals.py`). With a storage that does not answer the notes stay, and the next
round tries again.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog

from schema.db import Pool, system_tx, tenant_tx
from schema.queries.documents.file_removals import take_due, take_own
from workers.storage.contract import NAME, Storage

log = structlog.get_logger()

BATCH = 200
ROUNDS = 50


async def remove_due(system: Pool, storage: Storage) -> int:
    """Remove all bytes whose time has come and return how many files that were; `system` is the scheduler's pool. Raises
    Unavailable."""
    gone = 0
    for _ in range(ROUNDS):
        async with system_tx(system) as db:
            names = await take_due(db, BATCH)
            await storage.remove(name for name in names if NAME.fullmatch(name))
        gone += len(names)
        if len(names) < BATCH:
            break
    if gone:
        log.info("files_removed", files=gone)
    return gone


async def remove_unused(pool: Pool, storage: Storage, tenant_id: UUID, names: Sequence[str]) -> None:
    """Remove the bytes of an upload that was refused at its commit; those that were committed after all stay. Raises
    Unavailable; then the notes fall due."""
    async with tenant_tx(pool, tenant_id) as db:
        await storage.remove(await take_own(db, tenant_id, names))
