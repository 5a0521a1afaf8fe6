"""Stores the lines of a batch's file as rows, once the file was checked as a whole. Done again, it changes nothing."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from schema.postgres.connections import tenant_tx
from schema.queries.batches import batches as queries
from schema.queries.batches.batches import Batch
from schema.queries.files.files import StoredFile
from workers.batches.context import BatchContext
from workers.batches.lines import LineError, check_file, read_lines

STORED_AT_ONCE = 200


async def store_lines(
    context: BatchContext, tenant_id: UUID, batch: Batch, file: StoredFile
) -> tuple[int, Sequence[LineError]]:
    """Return how many lines a file has, and what is wrong with it; then none is stored. Raises NotFound, Unavailable."""
    async with context.storage.local_path(file.stored_as) as path:
        total, errors = await asyncio.to_thread(check_file, path, batch.endpoint)
        if errors:
            return total, errors
        pages = read_lines(path, batch.endpoint, at_once=STORED_AT_ONCE)
        while page := await asyncio.to_thread(next, pages, None):
            async with tenant_tx(context.pool, tenant_id) as db:
                await queries.add_lines(db, tenant_id, batch.id, page)
    return total, errors
