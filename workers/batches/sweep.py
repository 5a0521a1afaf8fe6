"""Ends batches whose job has ended without them: it was cancelled, its window is over, or it failed. The answers that are there
are kept, as files; the other lines say that they were not called.

The scheduler runs it. A batch waits until no API process works on a line of it any more: those notice within seconds.
"""

from typing import Any
from uuid import UUID

import structlog

from schema.errors import DeadlinePassed, NotFound, StorageFull
from schema.postgres.batch import run_batch
from schema.postgres.connections import Pool, system_tx, tenant_tx
from schema.queries.batches import batches as queries
from schema.queries.batches.batches import Batch, BatchOutcome
from schema.queries.files.files import find_file
from workers.batches.context import BatchContext
from workers.batches.results import write_results
from workers.batches.store_lines import store_lines

log = structlog.get_logger()


async def end_unfinished(context: BatchContext, system_pool: Pool) -> None:
    """End what can be ended; `system_pool` has the role `headrace_system`. Raises Unavailable."""
    async with system_tx(system_pool) as db:
        found = await queries.list_unfinished(db)
    for one in found:
        async with tenant_tx(context.pool, one.tenant_id) as db:
            batch = await queries.find_batch(db, one.tenant_id, one.id)
            is_held = await queries.is_any_held(db, one.tenant_id, one.id)
        if batch is not None and not is_held:
            if batch.started_at is None:
                await _store_uncalled(context, one.tenant_id, batch)
            await _end(context, one.tenant_id, batch)


async def _store_uncalled(context: BatchContext, tenant_id: UUID, batch: Batch) -> None:
    """Store the lines of a batch that ended before its file was read, so that the results say of each that it was not called.
    There are none if the file is not valid, or gone."""
    async with tenant_tx(context.pool, tenant_id, user_id=batch.user_id) as db:
        file = await find_file(db, tenant_id, batch.input_file_id)
    if file is None:
        return
    try:
        total, errors = await store_lines(context, tenant_id, batch, file)
    except NotFound:  # deleted just now
        return
    if not errors:
        async with tenant_tx(context.pool, tenant_id) as db:
            await queries.set_total(db, tenant_id, batch.id, total)


async def _end(context: BatchContext, tenant_id: UUID, batch: Batch) -> None:
    outcome, reason = _outcome(batch), batch.error or {}
    errors = [_problem(reason)] if outcome == "failed" else None
    try:
        await write_results(context, tenant_id, batch, outcome, errors)
    except StorageFull as error:
        await _fail(context, tenant_id, batch, _problem({"code": error.code, "message": error.message}))
    log.info("batch_ended", tenant_id=str(tenant_id), batch_id=str(batch.id), outcome=outcome)


async def _fail(context: BatchContext, tenant_id: UUID, batch: Batch, problem: dict[str, Any]) -> None:
    """End a batch whose results find no room. Its lines stay: when its job is driven again, they are written then."""
    first, last = queries.end_batch(
        tenant_id,
        batch.id,
        "failed",
        completed=batch.completed,
        failed=batch.failed,
        errors=[problem],
        keep_lines=True,
    )
    await run_batch(context.pool, tenant_id, [*first, *last])


def _outcome(batch: Batch) -> BatchOutcome:
    if batch.state == "cancelled":
        return "cancelled"
    is_late = (batch.error or {}).get("code") == DeadlinePassed.code
    return "expired" if is_late else "failed"


def _problem(reason: dict[str, Any]) -> dict[str, Any]:
    code, message = reason.get("code", "internal"), reason.get("message", "The batch failed.")
    return {"code": code, "message": message, "line": None, "param": None}
