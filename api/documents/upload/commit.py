"""Turns files in a temporary folder into documents with a job. In this order: notes, bytes into the storage, one transaction.

If the process dies in between, the notes let the bytes be deleted an hour later (`schema/queries/documents/file_removals.py`).
If the transaction is refused (queue, storage, limits), they are deleted at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from api.auth.principals import Principal
from api.documents.access import NOT_YOURS
from api.documents.collections import MAX_COLLECTIONS
from api.documents.ingestion_job import ingestion_job
from api.documents.upload.batch import Refusal
from api.documents.upload.classify import CheckedFile
from api.documents.upload.fields import Fields
from api.http.json_body import JsonRequest
from api.jobs.submit import Accepted, submit_and_follow
from api.resources import Resources
from schema.errors import Conflict, HeadraceError
from schema.ids import new_id
from schema.postgres.batch import Statement
from schema.postgres.connections import Db
from schema.queries.documents.collections import Collection, add_collection, find_collection
from schema.queries.documents.file_removals import cancel_removals
from schema.queries.documents.upload_checks import UploadedDocument
from schema.queries.documents.uploads import (
    NewFile,
    UnchangedDocument,
    file_statements,
    list_owned_by_others,
    list_unchanged,
    schedule_removals,
)
from schema.queries.jobs.submissions import Callback, Idempotency
from schema.queries.tenants import audit
from workers.storage.contract import Storage, new_name
from workers.storage.removals import delete_unused_files

MAX_CONCURRENT_PUTS = 8


@dataclass(frozen=True)
class Upload:
    """An upload to commit: sender, fields and files."""

    request: JsonRequest
    principal: Principal
    fields: Fields
    files: Sequence[CheckedFile]
    idempotency: Idempotency | None
    callback: Callback | None = None
    run_at: datetime | None = None

    @property
    def user_id(self) -> UUID | None:
        """The owner of the documents; None shares them with the tenant."""
        return self.principal.user_id if self.fields.private else None


@dataclass(frozen=True)
class Committed:
    """Result of a commit. `same` are documents that already had these bytes; `refused` are files that would change somebody
    else's document; `accepted` is None if no file is left."""

    accepted: Accepted | None
    same: list[UploadedDocument]
    refused: list[Refusal]


async def commit(resources: Resources, upload: Upload) -> Committed:
    """Store the new files and submit the job that ingests them. Raises StorageFull, QueueFull, LimitReached, NotFound (the
    collection), IdempotencyReused, Unavailable; then nothing was accepted."""
    principal, pool = upload.principal, resources.core.pool
    async with principal.tx(pool) as db:
        collection = await _collection(db, resources, principal, upload.fields.collection)
        new_files = [_new_file(principal.tenant_id, upload, file) for file in upload.files]
        same = await list_unchanged(db, principal.tenant_id, collection.id, upload.user_id, new_files)
        not_changeable = set[int]()
        if "documents.manage" not in principal.rights:
            not_changeable = await list_owned_by_others(
                db, principal.tenant_id, collection.id, upload.user_id, new_files, by=principal.actor
            )
        accepted_indexes = [
            index for index in range(len(new_files)) if index not in same and index not in not_changeable
        ]
        if accepted_indexes:
            await schedule_removals(db, principal.tenant_id, [new_files[index].stored_as for index in accepted_indexes])
    refused = [Refusal(new_files[index].name, "not_yours", NOT_YOURS) for index in sorted(not_changeable - same.keys())]
    unchanged = [_unchanged(new_files[index], row) for index, row in sorted(same.items())]
    if not accepted_indexes:
        return Committed(None, unchanged, refused)
    files = [new_files[index] for index in accepted_indexes]
    paths = [upload.files[index].path for index in accepted_indexes]
    return Committed(await _store_and_submit(resources, upload, collection, files, paths), unchanged, refused)


async def _collection(db: Db, resources: Resources, principal: Principal, name: str) -> Collection:
    """Return the collection, created if needed. Raises Conflict if the tenant has too many."""
    tenant_id, embedder = principal.tenant_id, resources.settings.embedders[0]
    found = await find_collection(db, tenant_id, name)
    if found is None:
        await add_collection(
            db,
            tenant_id,
            new_id(),
            name,
            embedder=embedder,
            created_by=principal.actor,
            max_collections=MAX_COLLECTIONS,
        )
        found = await find_collection(db, tenant_id, name)
    if found is None:
        raise Conflict(
            f"Your tenant has reached the maximum of {MAX_COLLECTIONS} collections. Name an existing one.",
            field="collection",
        )
    return found


async def _store_and_submit(
    resources: Resources, upload: Upload, collection: Collection, files: Sequence[NewFile], paths: Sequence[Any]
) -> Accepted:
    names = [file.stored_as for file in files]
    tenant_id, pool, storage = upload.principal.tenant_id, resources.core.pool, resources.storage

    def delete_bytes_later() -> None:
        resources.background.run(delete_unused_files(pool, storage, tenant_id, names), "upload-forgotten")

    try:
        await _put_all(storage, names, paths)
        accepted = await _submit(resources, upload, collection, files)
    except HeadraceError:
        delete_bytes_later()
        raise
    if accepted.submitted.replayed:
        delete_bytes_later()
    return accepted


async def _put_all(storage: Storage, names: Sequence[str], paths: Sequence[Any]) -> None:
    """Store every file. If one fails, the error is raised once all others have ended, so nothing is still being written."""
    semaphore = asyncio.Semaphore(MAX_CONCURRENT_PUTS)

    async def put(name: str, path: Any) -> None:
        async with semaphore:
            await storage.put(name, path)

    puts = (put(name, path) for name, path in zip(names, paths, strict=True))
    for outcome in await asyncio.gather(*puts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _submit(resources: Resources, upload: Upload, collection: Collection, files: Sequence[NewFile]) -> Accepted:
    principal, job_id = upload.principal, new_id()
    rows = file_statements(principal.tenant_id, job_id, collection.id, upload.user_id, files, by=principal.actor)
    delete_notes = cancel_removals(principal.tenant_id, [file.stored_as for file in files])
    submission = ingestion_job(
        principal,
        job_id,
        upload.request.request_id,
        upload.idempotency,
        (delete_notes, *rows, _audit_statement(upload, job_id, files)),
        model=collection.next_embedder or collection.embedder,
        payload={"collection": str(collection.id), "files": len(files)},
        callback=upload.callback,
        run_at=upload.run_at,
    )
    return await submit_and_follow(resources, principal, submission, input_tokens=0, max_tokens=1)


def _new_file(tenant_id: UUID, upload: Upload, file: CheckedFile) -> NewFile:
    return NewFile(
        document_id=new_id(),
        name=file.name,
        stored_as=new_name(tenant_id),
        size_bytes=file.size,
        sha256=file.sha256,
        media_type=file.media_type,
        metadata=upload.fields.metadata,
        source_url=file.source_url,
    )


def _unchanged(file: NewFile, row: UnchangedDocument) -> UploadedDocument:
    return UploadedDocument(
        id=row.document_id,
        name=file.name,
        version=row.version,
        state=row.state,
        size_bytes=file.size_bytes,
        media_type=file.media_type,
    )


def _audit_statement(upload: Upload, job_id: UUID, files: Sequence[NewFile]) -> Statement:
    """Return the audit entry, for the same transaction. It has counts, but no file names."""
    principal = upload.principal
    detail = {"files": len(files), "bytes": sum(file.size_bytes for file in files), "private": upload.fields.private}
    values = {"tenant_id": principal.tenant_id, "id": new_id(), "actor": principal.actor, "result": "ok"}
    values |= {"action": "document.uploaded", "target": f"job:{job_id}", "address": principal.address}
    return (audit.ADD, {**values, "request_id": upload.request.request_id, "detail": Jsonb(detail)})
