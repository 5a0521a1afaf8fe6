"""Deleting documents: rows first, then their bytes. Bytes that can't be removed now are noted for the
scheduler."""

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
from api.documents.access import DocumentId, read_chosen, require_own, whose
from api.documents.schemas import ChosenIn, DeletedOut
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.db import tenant_tx
from schema.errors import Unavailable
from schema.queries.documents import document_deletion, documents
from schema.queries.documents.documents import DocumentSize
from workers.storage.removals import delete_unused_files

log = structlog.get_logger()

Result = TypeVar("Result")

AT_ONCE = 1000
"""Documents that one call deletes."""

TRIES = 5  # of a transaction that met another one crosswise


@delete("/{document_id:uuid}", responses=problems("not_found"), summary="Delete a document")
async def delete_document(document_id: DocumentId, principal: MayWriteDocuments, resources: AppResources) -> None:
    """Deletes the document with all its versions, passages and bytes, and stops its ingestion. Searches no longer find it."""
    async with principal.tx(resources.core.pool) as db:
        rows = await require_own(db, principal, [document_id])
    await remove_documents(resources, principal, rows)


@post(
    "/delete",
    status_code=200,
    opt=described(example={"collection": "manuals", "states": ["failed"]}, response={"deleted": 3, "more": False}),
    responses=problems("not_found"),
    summary="Delete documents",
)
async def delete_documents(
    data: JSONBody[ChosenIn], principal: MayWriteDocuments, resources: AppResources
) -> DeletedOut:
    """Deletes the documents of `ids`, or those of a collection that match and that you may delete. A call deletes at most 1,000
    documents; call again while `more` is true."""
    async with principal.tx(resources.core.pool) as db:
        wanted = await read_chosen(db, principal, data)
        if data.ids is not None:
            rows: Sequence[DocumentSize] = await require_own(db, principal, list(dict.fromkeys(data.ids)), "ids")
        else:
            rows = await documents.list_editable_documents(
                db, principal.tenant_id, wanted, whose(principal), limit=AT_ONCE + 1
            )
    gone = await remove_documents(resources, principal, rows[:AT_ONCE])
    return DeletedOut(gone, len(rows) > AT_ONCE)


async def remove_documents(resources: Resources, principal: Principal, rows: Sequence[DocumentSize]) -> int:
    """Delete documents that the caller may delete, a batch at a time; return how many were still there."""
    gone = 0
    for batch in document_deletion.deletion_batches(rows):
        number, names = await uncrossed(lambda ids=batch: _delete(resources, principal, ids))
        gone += number
        await remove_bytes(resources, principal.tenant_id, names)
    return gone


async def remove_bytes(resources: Resources, tenant_id: UUID, names: Sequence[str]) -> None:
    """Remove the bytes of versions that are gone, as far as the storage answers."""
    try:
        for start in range(0, len(names), AT_ONCE):
            await delete_unused_files(resources.core.pool, resources.storage, tenant_id, names[start : start + AT_ONCE])
    except Unavailable:
        log.warning("bytes_not_removed", tenant_id=str(tenant_id), files=len(names))


async def uncrossed(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Return what a transaction returns that may wait for another which waits for it: Postgres ends one of the two."""
    for number in range(TRIES):
        try:
            return await attempt()
        except psycopg.errors.DeadlockDetected:
            log.info("transaction_repeated", tries=number + 1)
            await asyncio.sleep(0.05 * number)
    raise Unavailable("The documents are being changed by too many requests at once. Try again shortly.")


async def _delete(resources: Resources, principal: Principal, ids: Sequence[UUID]) -> tuple[int, list[str]]:
    async with tenant_tx(resources.core.pool, principal.tenant_id, user_id=principal.visible_user_id) as db:
        gone, names = await document_deletion.delete_documents(db, principal.tenant_id, ids)
        if gone:
            target = f"document:{ids[0]}" if len(ids) == 1 else "documents"
            await record(db, principal, principal.tenant_id, "document.deleted", target, {"documents": gone})
    return gone, names


routes = Router("/documents", route_handlers=[delete_document, delete_documents], tags=["documents"])
