"""Runs a batch job (a `workers.queue.attempts.Work`): reads the file, rings for lines until each has its answer, writes the
results.

    validating ──► in progress: ring ─► line server ─► route ─► answer in the line's row ──► finalizing ──► completed
        └──► failed: what is wrong with the file, by line

Everything that is known stands in rows, so an attempt that takes over goes on: lines that are being worked on are held by their
API process, and those with an answer are not rung for again. A cancel, a deadline or a failure stops this; `sweep.py` then ends
the batch, with the answers that are there.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schema.errors import BatchInvalid, NotFound
from schema.events import Event, JobProgress, MessageCompleted
from schema.postgres.connections import tenant_tx
from schema.queries.batches import batches as queries
from schema.queries.batches.batches import Batch, LineName
from schema.queries.files.files import find_file
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from workers.batches.context import BatchContext
from workers.batches.doorbells import ring_lines
from workers.batches.lines import LineError
from workers.batches.results import write_results
from workers.batches.store_lines import store_lines

LANES = 16
"""Most lines of a tenant that are worked on at once."""
MIN_PAUSE_S, MAX_PAUSE_S, PAUSE_FACTOR = 0.2, 2.0, 1.3
RING_AGAIN_S = 5.0
"""After how long a line is rung for again that nobody holds: the doorbell was lost, or its process was."""
NEVER = float("-inf")

GONE = "This batch was deleted."
ENDED = "This batch has ended, and its lines are gone. Create another one."


async def run_batch(
    context: BatchContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Work through the batch of a claimed job. Raises BatchInvalid, NotFound, StorageFull, Unavailable."""
    batch = await _open(context, job)
    if batch.outcome != "completed":
        if batch.started_at is None:
            await _start(context, job, batch)
        await _Lines(context, job, emit).run()
        async with tenant_tx(context.pool, job.tenant_id) as db:
            await queries.mark_finalizing(db, job.tenant_id, job.id)
        await write_results(context, job.tenant_id, batch, "completed")
        batch = await _find(context, job)
    text = f"{batch.completed:,} of {batch.total:,} requests completed, {batch.failed:,} failed."
    emit(MessageCompleted(text=text, data=_data(batch)))


async def _find(context: BatchContext, job: ClaimedJob) -> Batch:
    async with tenant_tx(context.pool, job.tenant_id) as db:
        batch = await queries.find_batch(db, job.tenant_id, job.id)
    if batch is None:
        raise NotFound(GONE)
    return batch


async def _open(context: BatchContext, job: ClaimedJob) -> Batch:
    """Return the batch. One whose job is driven again goes on if its lines are still there. Raises NotFound."""
    batch = await _find(context, job)
    if batch.outcome in (None, "completed"):
        return batch
    async with tenant_tx(context.pool, job.tenant_id) as db:
        if not await queries.reopen_batch(db, job.tenant_id, job.id):
            raise NotFound(ENDED)
    return await _find(context, job)


async def _start(context: BatchContext, job: ClaimedJob, batch: Batch) -> None:
    """Check the file and store its lines. Raises BatchInvalid, which the batch has in full."""
    async with tenant_tx(context.pool, job.tenant_id, user_id=job.user_id) as db:
        file = await find_file(db, job.tenant_id, batch.input_file_id)
    if file is None:
        missing = LineError("file_not_found", "The input file was deleted before it was read.", param="input_file_id")
        raise await _rejected(context, job, [missing])
    total, errors = await store_lines(context, job.tenant_id, batch, file)
    if errors:
        raise await _rejected(context, job, errors)
    async with tenant_tx(context.pool, job.tenant_id) as db:
        await queries.start_batch(db, job.tenant_id, job.id, total)


async def _rejected(context: BatchContext, job: ClaimedJob, errors: Sequence[LineError]) -> BatchInvalid:
    """End the batch, with all that is wrong with its file, and return the error that its job ends with."""
    async with tenant_tx(context.pool, job.tenant_id) as db:
        await queries.reject_batch(db, job.tenant_id, job.id, [msgspec.to_builtins(error) for error in errors])
    first = errors[0]
    where = f"Line {first.line}: " if first.line else ""
    return BatchInvalid(f"The input file is not valid. {where}{first.message}", field=first.param)


class _Lines:
    """Rings for lines until each has its answer."""

    def __init__(self, context: BatchContext, job: ClaimedJob, emit: Callable[[Event], None]) -> None:
        self._context, self._job, self._emit = context, job, emit
        self._rung: dict[int, float] = {}
        self._total: int | None = None
        self._told = -1

    async def run(self) -> None:
        """Return when no line is left."""
        pause_s, before = MIN_PAUSE_S, set[int]()
        while places := await self._ring():
            pause_s = MIN_PAUSE_S if places != before else min(MAX_PAUSE_S, pause_s * PAUSE_FACTOR)
            if places != before:
                await self._tell()
            before = places
            await asyncio.sleep(pause_s)

    async def _ring(self) -> set[int]:
        """Ring for the lines that come next and that nobody works on; return the places of all that come next."""
        tenant_id, batch_id = self._job.tenant_id, self._job.id
        async with tenant_tx(self._context.pool, tenant_id) as db:
            lines = await queries.list_open_lines(db, tenant_id, batch_id, most=LANES)
        now = asyncio.get_running_loop().time()
        places = {line.place for line in lines}
        self._rung = {place: at for place, at in self._rung.items() if place in places}
        due = [
            line.place for line in lines if not line.held and self._rung.get(line.place, NEVER) <= now - RING_AGAIN_S
        ]
        if due:
            self._rung |= dict.fromkeys(due, now)
            await ring_lines(self._context.redis, [LineName(tenant_id, batch_id, place) for place in due])
        return places

    async def _tell(self) -> None:
        """Say how far it is, a hundred times at most."""
        tenant_id, batch_id = self._job.tenant_id, self._job.id
        async with tenant_tx(self._context.pool, tenant_id) as db:
            left = await queries.count_open_lines(db, tenant_id, batch_id)
            if self._total is None:
                batch = await queries.find_batch(db, tenant_id, batch_id)
                self._total = left if batch is None else batch.total or left
        done, total = self._total - left, self._total
        if (percent := 100 * done // max(1, total)) > self._told:
            self._told = percent
            self._emit(JobProgress(text=f"{done:,} of {total:,} requests have their answer.", done=done, total=total))


def _data(batch: Batch) -> dict[str, Any]:
    """Return what the job's result has of its batch."""
    files = {"output_file_id": batch.output_file_id, "error_file_id": batch.error_file_id}
    return {
        "batch_id": f"batch_{batch.id.hex}",
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        **{name: f"file-{file_id.hex}" if file_id else None for name, file_id in files.items()},
    }
