"""A job of ingestion: its files, a few at a time; as `workers.queue.attempts.Work`."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from graphs.providers.tokens import estimate_tokens
from schema.db import tenant_tx
from schema.errors import NothingIngested, Unavailable
from schema.events import (
    DocumentFailed,
    DocumentReady,
    Event,
    JobProgress,
    MessageCompleted,
    Reason,
    UsageRecorded,
)
from schema.queries.documents import ingestion as queries
from schema.queries.documents.ingestion import ClaimedFile, File, FileCounts
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from tools.documents.blocks import Unreadable
from workers.ingestion.context import IngestionContext
from workers.ingestion.files import FileLeaseLost, FileRun
from workers.ingestion.reembedding import reembed

log = structlog.get_logger()

LANES = 3
"""Files of one job at a time: while one is embedded others are read and stored."""
FILE_S = 1800.0
"""How long one file may take, from when a worker takes it up; time without a worker is not its fault."""
MOST_TRIES = 3
WAIT_S = 0.25
RELEASE_S = 2.0

KILLER = "The worker died each time it read this file, so it will not be retried. Upload it in another format."
SLOW = f"The file was not ingested within {FILE_S / 60:.0f} minutes. Split it into smaller files."


async def ingest(
    context: IngestionContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Make the files of a claimed job searchable, or a collection's passages in its next space.

    Raises NothingIngested if no file could be read, and what stores and providers raise; then the job is tried again, and
    what is finished stays so.
    """
    if collection_id := job.payload.get("reembed"):
        await reembed(context, job, collection_id, emit)
    else:
        await _Batch(context, job, emit).run()


class _Batch:
    def __init__(self, context: IngestionContext, job: ClaimedJob, emit: Callable[[Event], None]) -> None:
        self._context, self._job, self._emit = context, job, emit
        self._tenant_id, self._job_id, self._attempt = job.tenant_id, job.id, job.attempt
        self._log = log.bind(tenant_id=str(self._tenant_id), job_id=str(self._job_id), attempt=self._attempt)
        self._embedded_characters = 0

    async def run(self) -> None:
        await self._tell_again()
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(LANES):
                    lanes.create_task(self._lane())
        except ExceptionGroup as failed:
            await self._release()
            raise failed.exceptions[0] from None
        except asyncio.CancelledError:
            await asyncio.shield(self._release())
            raise
        await self._conclude()

    async def _tell_again(self) -> None:
        """Tell of the files that earlier attempts have finished: what those told is void."""
        if self._attempt == 1:
            return
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            rows = await queries.list_files(db, self._tenant_id, self._job_id)
        for row in rows:
            about = {"document_id": str(row.document_id), "name": row.name, "version": row.version}
            if row.state == "ready":
                counts = {"chunks": row.chunks or 0, "embedded": row.embedded, "pages": row.pages}
                self._emit(DocumentReady(**about, **counts, notes=row.notes or []))
            elif row.error is not None and row.state == "failed":
                self._emit(DocumentFailed(**about, error=Reason(**row.error)))

    async def _lane(self) -> None:
        """Take one file after the other until none is left."""
        while True:
            row = await queries.claim_file(
                self._context.pool, self._tenant_id, self._job_id, self._attempt, limit_s=FILE_S
            )
            if row is not None:
                await self._ingest(row)
            elif not (await self._counts()).queued:
                return
            else:  # their bytes are being read for another document
                await asyncio.sleep(WAIT_S)

    async def _ingest(self, row: ClaimedFile) -> None:
        file = File(self._tenant_id, self._job_id, self._attempt, row.document_id, row.version)
        run = FileRun(self._context, file, row, self._emit)
        try:
            if row.tries > MOST_TRIES:
                raise Unreadable("worker_lost", KILLER)
            ready = await self._in_time(run, row.left_s)
        except Unreadable as error:
            await self._give_up(file, row, Reason(error.code, error.message))
        except FileLeaseLost:
            self._log.info("file_lost", document_id=str(file.document_id))
        else:
            if ready is not None:
                self._emit(ready)
                self._log.info("file_ready", document_id=str(file.document_id), chunks=ready.chunks)
        self._embedded_characters += run.embedded_characters
        await self._tell_overall()

    async def _in_time(self, run: FileRun, left_s: float) -> DocumentReady | None:
        limit = asyncio.timeout(max(left_s, 0.0))
        try:
            async with limit:
                return await run.run()
        except TimeoutError:
            if limit.expired():
                raise Unreadable("took_too_long", SLOW) from None
            raise

    async def _give_up(self, file: File, row: ClaimedFile, reason: Reason) -> None:
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            error = {"code": reason.code, "message": reason.message}
            if not await queries.fail_file(db, file, error):
                return
        self._log.info("file_failed", document_id=str(file.document_id), code=reason.code)
        about = {"document_id": str(file.document_id), "name": row.name, "version": file.version}
        self._emit(DocumentFailed(**about, error=reason))

    async def _counts(self) -> FileCounts:
        async with tenant_tx(self._context.pool, self._tenant_id) as db:
            return await queries.count_files(db, self._tenant_id, self._job_id)

    async def _tell_overall(self) -> None:
        counts = await self._counts()
        done = counts.total - counts.queued - counts.running
        self._emit(JobProgress(text=f"{done} of {counts.total} files", done=done, total=counts.total))

    async def _release(self) -> None:
        """Let files that were begun wait again, for whoever goes on. Should this fail, the sweeper does it."""
        try:
            async with asyncio.timeout(RELEASE_S), tenant_tx(self._context.pool, self._tenant_id) as db:
                await queries.release_files(db, self._tenant_id, self._job_id, self._attempt)
        except (Unavailable, TimeoutError):
            self._log.warning("files_not_released")

    async def _conclude(self) -> None:
        counts = await self._counts()
        if counts.failed and not counts.ready:
            async with tenant_tx(self._context.pool, self._tenant_id) as db:
                rows = await queries.list_files(db, self._tenant_id, self._job_id)
            first = next(row.error["message"] for row in rows if row.error is not None and row.state == "failed")
            files = "The file" if counts.total == 1 else f"None of the {counts.total} files could be read. The first"
            raise NothingIngested(f"{files} failed: {first}")
        told = {name: getattr(counts, name) for name in ("total", "ready", "failed", "cancelled")}
        if self._embedded_characters:
            tokens = estimate_tokens(self._embedded_characters)
            used = UsageRecorded(model=self._job.model, input_tokens=tokens, output_tokens=0, estimated=True)
            self._emit(used)
        self._emit(MessageCompleted(text=summary_of(counts), data=told))


def summary_of(counts: FileCounts) -> str:
    """What came of a job, in a sentence."""
    parts = [f"{counts.ready} of {counts.total} files {'is' if counts.ready == 1 else 'are'} ready"]
    parts += [
        f"{count} {state}" for state, count in (("failed", counts.failed), ("cancelled", counts.cancelled)) if count
    ]
    return ", ".join(parts) + "."
