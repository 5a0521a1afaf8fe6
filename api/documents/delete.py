"""Routes to delete documents: first the rows, then the bytes. Bytes that can't be deleted now are left to the scheduler."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog
from litestar import Router, delete, post
from litestar.params import JSONBody

from api.audit.log import record
from api.auth.principals import MayWriteDocuments, Principal
from api.documents.access import DocumentId, document_editor, read_selection, require_changeable
from api.documents.schemas import DeletedOut, DocumentSelectionIn
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import Unavailable
from schema.postgres.connections import tenant_tx
from schema.queries.documents import document_deletion, documents
from schema.queries.documents.documents import DocumentSize
from workers.storage.removals import delete_unused_files

log = structlog.get_logger()

Result = TypeVar("Result")

MAX_DELETED = 1000
"""Most documents that one call deletes."""

MAX_ATTEMPTS = 5  # of a transaction that Postgres aborted because of a deadlock


@delete("/{document_id:uuid}", responses=problems("not_found"), summary="Delete a document")
async def delete_document(document_id: DocumentId, principal: MayWriteDocuments, resources: AppResources) -> None:
    """Deletes the document with all its versions, passages and bytes, and stops its ingestion. Searches no longer find it."""
    async with principal.tx(resources.core.pool) as db:
        rows = await require_changeable(db, principal, [document_id])
    await delete_rows(resources, principal, rows)


@post(
    "/delete",
    status_code=200,
    opt=described(example={"collection": "manuals", "states": ["failed"]}, response={"deleted": 3, "more": False}),
    responses=problems("not_found"),
    summary="Delete documents",
)
async def delete_documents(
    data: JSONBody[DocumentSelectionIn], principal: MayWriteDocuments, resources: AppResources
) -> DeletedOut:
    """Deletes the documents of `ids`, or those of a collection that match and that you may delete. A call deletes at most 1,000
    documents; call again while `more` is true."""
    async with principal.tx(resources.core.pool) as db:
        filters = await read_selection(db, principal, data)
        if data.ids is not None:
            rows: Sequence[DocumentSize] = await require_changeable(db, principal, list(dict.fromkeys(data.ids)), "ids")
        else:
            rows = await documents.list_editable_documents(
                db, principal.tenant_id, filters, document_editor(principal), limit=MAX_DELETED + 1
            )
    deleted = await delete_rows(resources, principal, rows[:MAX_DELETED])
    return DeletedOut(deleted, len(rows) > MAX_DELETED)


async def delete_rows(resources: Resources, principal: Principal, rows: Sequence[DocumentSize]) -> int:
    """Delete documents, in batches, and return how many still existed. The caller has checked access."""
    deleted = 0
    for batch in document_deletion.deletion_batches(rows):
        attempts, names = await retry_on_deadlock(lambda ids=batch: _delete_batch(resources, principal, ids))
        deleted += attempts
        resources.core.relay.changes.note(principal.tenant_id, "documents", *batch)
        await delete_bytes(resources, principal.tenant_id, names)
    return deleted


async def delete_bytes(resources: Resources, tenant_id: UUID, names: Sequence[str]) -> None:
    """Delete the bytes of deleted versions, unless the storage is unavailable."""
    try:
        for start in range(0, len(names), MAX_DELETED):
            await delete_unused_files(
                resources.core.pool, resources.storage, tenant_id, names[start : start + MAX_DELETED]
            )
    except Unavailable:
        log.warning("bytes_not_removed", tenant_id=str(tenant_id), files=len(names))


async def retry_on_deadlock(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Run a transaction again if Postgres aborts it because of a deadlock, and return its result."""
    for attempts in range(MAX_ATTEMPTS):
        try:
            return await attempt()
        except psycopg.errors.DeadlockDetected:
            log.info("transaction_repeated", tries=attempts + 1)
            await asyncio.sleep(0.05 * attempts)
    raise Unavailable("The documents are being changed by too many requests at once. Try again shortly.")


async def _delete_batch(resources: Resources, principal: Principal, ids: Sequence[UUID]) -> tuple[int, list[str]]:
    async with tenant_tx(resources.core.pool, principal.tenant_id, user_id=principal.visible_user_id) as db:
        deleted, names = await document_deletion.delete_documents(db, principal.tenant_id, ids)
        if deleted:
            target = f"document:{ids[0]}" if len(ids) == 1 else "documents"
            await record(db, principal, principal.tenant_id, "document.deleted", target, {"documents": deleted})
    return deleted, names


routes = Router("/documents", route_handlers=[delete_document, delete_documents], tags=["documents"])
