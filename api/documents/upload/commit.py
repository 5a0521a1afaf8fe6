"""Turns files in a temporary folder into documents with a job. In this order: notes, bytes into the storage, one transaction.

If the process dies in between, the notes let the bytes be deleted an hour later (`schema/queries/documents/file_removals.py`).
If the transaction is refused (queue, storage, limits), they are deleted at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api.auth.principals import Principal
from api.documents.access import NOT_YOURS
from api.documents.collections import MAX_COLLECTIONS
from api.documents.ingestion_job import ingestion_job
from api.documents.upload.fields import Fields
from api.http.bodies.json_body import JsonRequest
from api.jobs.submit import Accepted, submit_and_follow
from api.resources import Resources
from schema.errors import Conflict, HeadraceError
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.documents.collections import Collection, add_collection, find_collection
from schema.queries.documents.file_removals import cancel_removals
from schema.queries.documents.upload_checks import UploadedDocument
from schema.queries.documents.uploads import (
    NewFile,
    UnchangedDocument,
    file_statements,
)
from schema.queries.jobs.submissions import Callback, Idempotency
from workers.storage.removals import delete_unused_files
from workers.uploads.batch import Refusal
from workers.uploads.classify import CheckedFile
from workers.uploads.store import audit_upload, new_file, put_all, sort_files


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
        collection = await find_or_add_collection(db, resources, principal, upload.fields.collection)
        new_files = [new_file(principal.tenant_id, file, upload.fields.metadata) for file in upload.files]
        manages = "documents.manage" in principal.rights
        owner = (principal.tenant_id, collection.id, upload.user_id)
        found = await sort_files(db, *owner, new_files, by=principal.actor, manages=manages)
    refused = [Refusal(new_files[index].name, "not_yours", NOT_YOURS) for index in found.not_yours]
    unchanged = [_unchanged(new_files[index], row) for index, row in sorted(found.same.items())]
    if not found.new:
        return Committed(None, unchanged, refused)
    files = [new_files[index] for index in found.new]
    paths = [upload.files[index].path for index in found.new]
    return Committed(await _store_and_submit(resources, upload, collection, files, paths), unchanged, refused)


async def find_or_add_collection(db: Db, resources: Resources, principal: Principal, name: str) -> Collection:
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
        await put_all(storage, names, paths)
        accepted = await _submit(resources, upload, collection, files)
    except HeadraceError:
        delete_bytes_later()
        raise
    if accepted.submitted.replayed:
        delete_bytes_later()
    return accepted


async def _submit(resources: Resources, upload: Upload, collection: Collection, files: Sequence[NewFile]) -> Accepted:
    principal, job_id = upload.principal, new_id()
    rows = file_statements(principal.tenant_id, job_id, collection.id, upload.user_id, files, by=principal.actor)
    delete_notes = cancel_removals(principal.tenant_id, [file.stored_as for file in files])
    audited = audit_upload(
        principal.tenant_id,
        job_id,
        files,
        actor=principal.actor,
        private=upload.fields.private,
        address=principal.address,
        request_id=upload.request.request_id,
    )
    submission = ingestion_job(
        principal,
        job_id,
        upload.request.request_id,
        upload.idempotency,
        (delete_notes, *rows, audited),
        model=collection.next_embedder or collection.embedder,
        payload={"collection": str(collection.id), "files": len(files)},
        callback=upload.callback,
        run_at=upload.run_at,
    )
    return await submit_and_follow(resources, principal, submission, input_tokens=0, max_tokens=1)


def _unchanged(file: NewFile, row: UnchangedDocument) -> UploadedDocument:
    return UploadedDocument(
        id=row.document_id,
        name=file.name,
        version=row.version,
        state=row.state,
        size_bytes=file.size_bytes,
        media_type=file.media_type,
    )
