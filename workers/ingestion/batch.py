"""Runs an ingestion job (a `workers.queue.attempts.Work`): its files, a few at a time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

from graphs.providers.tokens import estimate_tokens
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
from schema.postgres.connections import tenant_tx
from schema.queries.documents import ingestion as queries
from schema.queries.documents.ingestion import ClaimedFile, FileClaim, FileCounts
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.sessions.sessions import StoredMessage
from tools.documents.blocks import Unreadable
from workers.ingestion.addresses import fetch_addresses
from workers.ingestion.context import IngestionContext
from workers.ingestion.files import FileLeaseLost, FileRun
from workers.ingestion.reembedding import reembed
from workers.uploads.addresses import Fetched

log = structlog.get_logger()

CONCURRENT_FILES = 3
"""Files of one job that are processed at a time: while one is embedded, others are read and stored."""
FILE_TIMEOUT_S = 1800.0
"""How long one file may take, from its claim by a worker."""
MAX_TRIES = 3
POLL_INTERVAL_S = 0.25
RELEASE_TIMEOUT_S = 2.0

WORKER_CRASHES_MESSAGE = (
    "The worker died each time it read this file, so it will not be retried. Upload it in another format."
)
TOO_SLOW = f"The file was not ingested within {FILE_TIMEOUT_S / 60:.0f} minutes. Split it into smaller files."


async def ingest(
    context: IngestionContext, job: ClaimedJob, messages: Sequence[StoredMessage], emit: Callable[[Event], None]
) -> None:
    """Ingest the files of a claimed job, after fetching those that it names by address, or re-embed a collection.

    Raises NothingIngested if no file could be read, what `fetch_addresses` raises, and errors of stores and providers; then the
    job is retried, and finished files stay finished.
    """
    if collection_id := job.payload.get("reembed"):
        await reembed(context, job, collection_id, emit)
    else:
        fetched = await fetch_addresses(context, job, emit) if "fetch" in job.payload else None
        await _Batch(context, job, emit, fetched).run()


class _Batch:
    def __init__(
        self, context: IngestionContext, job: ClaimedJob, emit: Callable[[Event], None], fetched: Fetched | None
    ) -> None:
        self._context, self._job, self._emit, self._fetched = context, job, emit, fetched
        self._tenant_id, self._job_id, self._attempt = job.tenant_id, job.id, job.attempt
        self._log = log.bind(tenant_id=str(self._tenant_id), job_id=str(self._job_id), attempt=self._attempt)
        self._embedded_characters = 0

    async def run(self) -> None:
        await self._report_finished_files()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENT_FILES):
                    group.create_task(self._process_files())
        except ExceptionGroup as failed:
            await self._release()
            raise failed.exceptions[0] from None
        except asyncio.CancelledError:
            await asyncio.shield(self._release())
            raise
        await self._finish()

    async def _report_finished_files(self) -> None:
        """Publish the events of files that earlier attempts finished: readers discard those attempts' events."""
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
                self._emit(DocumentFailed(**about, error=msgspec.convert(row.error, Reason)))

    async def _process_files(self) -> None:
        """Claim and ingest files until none is left."""
        while True:
            row = await queries.claim_file(
                self._context.pool, self._tenant_id, self._job_id, self._attempt, limit_s=FILE_TIMEOUT_S
            )
            if row is not None:
                self._context.changes.note(self._tenant_id, "documents", row.document_id)
                await self._ingest(row)
            elif not (await self._counts()).queued:
                return
            else:  # the same bytes are being ingested as another document
                await asyncio.sleep(POLL_INTERVAL_S)

    async def _ingest(self, row: ClaimedFile) -> None:
        file = FileClaim(self._tenant_id, self._job_id, self._attempt, row.document_id, row.version)
        run = FileRun(self._context, file, row, self._emit)
        try:
            if row.tries > MAX_TRIES:
                raise Unreadable("worker_lost", WORKER_CRASHES_MESSAGE)
            ready = await self._run_with_timeout(run, row.left_s)
        except Unreadable as error:
            await self._fail(file, row, Reason(error.code, error.message))
        except FileLeaseLost:
            self._log.info("file_lost", document_id=str(file.document_id))
        else:
            if ready is not None:
                self._emit(ready)
                self._log.info("file_ready", document_id=str(file.document_id), chunks=ready.chunks)
        self._embedded_characters += run.embedded_characters
        await self._report_progress()

    async def _run_with_timeout(self, run: FileRun, left_s: float) -> DocumentReady | None:
        limit = asyncio.timeout(max(left_s, 0.0))
        try:
            async with limit:
                return await run.run()
        except TimeoutError:
            if limit.expired():
                raise Unreadable("took_too_long", TOO_SLOW) from None
            raise

    async def _fail(self, file: FileClaim, row: ClaimedFile, reason: Reason) -> None:
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

    async def _report_progress(self) -> None:
        counts = await self._counts()
        done = counts.total - counts.queued - counts.running
        self._emit(JobProgress(text=f"{done} of {counts.total} files", done=done, total=counts.total))

    async def _release(self) -> None:
        """Requeue this attempt's files for the next one. If this fails, the sweeper does it."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S), tenant_tx(self._context.pool, self._tenant_id) as db:
                await queries.release_files(db, self._tenant_id, self._job_id, self._attempt)
        except (Unavailable, TimeoutError):
            self._log.warning("files_not_released")

    async def _finish(self) -> None:
        counts, fetched = await self._counts(), self._fetched or Fetched()
        if fetched.refused and not (counts.total or fetched.unchanged):
            only = len(fetched.refused) == 1
            what = (
                "The address" if only else f"None of the {len(fetched.refused)} addresses could be ingested. The first"
            )
            raise NothingIngested(f"{what} failed: {fetched.refused[0]['message']}")
        if counts.failed and not counts.ready:
            async with tenant_tx(self._context.pool, self._tenant_id) as db:
                rows = await queries.list_files(db, self._tenant_id, self._job_id)
            first = next(row.error["message"] for row in rows if row.error is not None and row.state == "failed")
            files = "The file" if counts.total == 1 else f"None of the {counts.total} files could be read. The first"
            raise NothingIngested(f"{files} failed: {first}")
        data: dict[str, Any] = {name: getattr(counts, name) for name in ("total", "ready", "failed", "cancelled")}
        data |= msgspec.to_builtins(self._fetched) if self._fetched else {}
        if self._embedded_characters:
            tokens = estimate_tokens(self._embedded_characters)
            used = UsageRecorded(model=self._job.model, input_tokens=tokens, output_tokens=0, estimated=True)
            self._emit(used.with_own_key() if self._job.credential else used)
        self._emit(MessageCompleted(text=summarize(counts, self._fetched), data=data))


def summarize(counts: FileCounts, fetched: Fetched | None = None) -> str:
    """Return the result of a job as a sentence."""
    if fetched is not None and not counts.total and not fetched.refused:
        return "Nothing has changed."
    parts = [f"{counts.ready} of {counts.total} files {'is' if counts.ready == 1 else 'are'} ready"]
    also = (("unchanged", fetched.unchanged), ("refused", len(fetched.refused))) if fetched is not None else ()
    parts += [f"{count} {what}" for what, count in also if count]
    parts += [
        f"{count} {state}" for state, count in (("failed", counts.failed), ("cancelled", counts.cancelled)) if count
    ]
    return ", ".join(parts) + "."
