"""Fetches the documents of a job that names addresses. Their rows are written in one step, with what became of the others, so
that a later attempt goes on with the files. What hasn't changed since it was last fetched is not stored again: the server
says so by its ETag, or the bytes are the same.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import psycopg
import structlog

from schema.errors import HeadraceError
from schema.events import Event, JobProgress
from schema.postgres.batch import run_batch
from schema.postgres.connections import tenant_tx
from schema.queries.documents.file_removals import cancel_removals
from schema.queries.documents.uploads import NewFile, file_statements, find_free_storage, list_etags, note_fetched
from schema.queries.jobs.attempts import ClaimedJob
from schema.queries.jobs.submissions import JobLost, read_refusal
from workers.ingestion.context import IngestionContext
from workers.storage.removals import delete_unused_files
from workers.uploads.addresses import Addresses, Fetched
from workers.uploads.batch import Batch
from workers.uploads.classify import UploadClassifier
from workers.uploads.fetch import fetch_files
from workers.uploads.store import audit_upload, new_file, put_all, sort_files

log = structlog.get_logger()

NOT_YOURS = "A document of this name was uploaded by somebody else, and this schedule's owner may not change it."


async def fetch_addresses(context: IngestionContext, job: ClaimedJob, emit: Callable[[Event], None]) -> Fetched:
    """Fetch, unless an earlier attempt has. Raises StorageFull, UploadTooLarge, InputError (too many files in zips) and
    NotFound (the collection), which say why nothing was accepted, and Unavailable."""
    if earlier := job.payload.get("fetched"):
        return msgspec.convert(earlier, Fetched)
    wanted = msgspec.convert(job.payload["fetch"], Addresses)
    async with context.storage.staging.temporary_folder() as folder:
        return await _Fetch(context, job, wanted, folder).run(emit)


class _Fetch:
    def __init__(self, context: IngestionContext, job: ClaimedJob, wanted: Addresses, folder: Path) -> None:
        self._context, self._job, self._wanted, self._folder = context, job, wanted, folder
        self._user_id = job.user_id if wanted.private else None
        self._by: str = job.payload["by"]

    async def run(self, emit: Callable[[Event], None]) -> Fetched:
        context, wanted, tenant_id = self._context, self._wanted, self._job.tenant_id
        async with tenant_tx(context.pool, tenant_id) as db:
            space = await find_free_storage(db, tenant_id)
            etags = await list_etags(db, tenant_id, wanted.collection, self._user_id, wanted.urls)
        batch = Batch(self._folder, context.uploads, space)
        policy = await context.egress.policy(tenant_id, "documents")
        unchanged = await fetch_files(wanted.urls, batch, policy, etags=etags)
        classifier = UploadClassifier(batch, wanted.name)
        await classifier.classify_new()
        done, total = len(wanted.urls) - len(batch.refused), len(wanted.urls)
        emit(JobProgress(text=f"{done} of {total} addresses fetched", done=done, total=total))
        return await self._store(batch, classifier, unchanged=len(unchanged))

    async def _store(self, batch: Batch, classifier: UploadClassifier, *, unchanged: int) -> Fetched:
        """Store what is new, and its rows."""
        tenant_id, owner = self._job.tenant_id, (self._wanted.collection, self._user_id)
        files = [new_file(tenant_id, file, self._wanted.metadata) for file in classifier.files]
        async with tenant_tx(self._context.pool, tenant_id) as db:
            manages = bool(self._job.payload.get("manages"))
            found = await sort_files(db, tenant_id, *owner, files, by=self._by, manages=manages)
        for place in found.not_yours:
            batch.refuse(files[place].name, "not_yours", NOT_YOURS)
        refused = [{"name": one.name, "code": one.code, "message": one.message} for one in batch.refused]
        fetched = Fetched(unchanged + len(found.same), refused)
        if found.new:
            paths = [classifier.files[place].path for place in found.new]
            await self._commit([files[place] for place in found.new], paths, fetched)
        return fetched

    async def _commit(self, files: list[NewFile], paths: list[Path], fetched: Fetched) -> None:
        context, job, names = self._context, self._job, [file.stored_as for file in files]
        collection, user_id = self._wanted.collection, self._user_id
        statements = (
            note_fetched(job.tenant_id, job.id, job.attempt, msgspec.to_builtins(fetched)),
            cancel_removals(job.tenant_id, names),
            *file_statements(job.tenant_id, job.id, collection, user_id, files, by=self._by),
            audit_upload(job.tenant_id, job.id, files, actor=self._by, private=user_id is not None),
        )
        try:
            await put_all(context.storage, names, paths)
            await run_batch(context.pool, job.tenant_id, statements)
        except psycopg.Error as error:
            refusal = read_refusal(error)
            if isinstance(refusal, HeadraceError):
                await delete_unused_files(context.pool, context.storage, job.tenant_id, names)
            if isinstance(refusal, JobLost):
                log.info("fetched_in_vain", job_id=str(job.id), attempt=job.attempt)
                return  # whoever has the job now fetches again; these bytes are removed in an hour
            raise refusal or error from error
