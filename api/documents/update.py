"""Routes to update a document, and to cancel its ingestion."""

from uuid import UUID

import psycopg
from litestar import Router, patch, post
from litestar.params import JSONBody
from msgspec import UNSET

from api.audit.log import record
from api.auth.principals import MayWriteDocuments, Principal
from api.documents.access import NO_DOCUMENT, DocumentId, require_changeable, require_document
from api.documents.schemas import DOCUMENT_EXAMPLE, DocumentChangeIn, DocumentOut, check_metadata, document_out
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import Conflict, Forbidden, NotFound
from schema.queries.documents import documents

DOCUMENT_PATH = "/{document_id:uuid}"
STAYS_SHARED = "A shared document cannot be made private. Delete it and upload it again as private."
NOT_YOURS_TO_SHARE = "Only the user who owns this private document can share it."
NAME_TAKEN = (
    "The collection already has a shared document with this name. Delete it first, or upload yours under another name."
)


@patch(
    DOCUMENT_PATH,
    opt=described(example={"metadata": {"year": 2026}, "private": False}, response=DOCUMENT_EXAMPLE),
    responses=problems("not_found", "conflict"),
    summary="Update a document",
)
async def update_document(
    document_id: DocumentId, data: JSONBody[DocumentChangeIn], principal: MayWriteDocuments, resources: AppResources
) -> DocumentOut:
    """Changes the fields that are sent. `"private": false` shares your private document with the tenant; that cannot be
    undone. A title stays until the document is ingested again."""
    metadata = None if data.metadata is UNSET else data.metadata
    check_metadata(metadata or {})
    try:
        async with principal.tx(resources.core.pool) as db:
            (row,) = await require_changeable(db, principal, [document_id])
            share = _should_share(data, principal, row.user_id)
            title = None if data.title is UNSET else data.title.strip()
            changes = {"metadata": metadata, "title": title, "share": share}
            if not await documents.change_document(db, principal.tenant_id, document_id, **changes):
                raise NotFound(NO_DOCUMENT)
            if share:
                await record(db, principal, principal.tenant_id, "document.shared", f"document:{document_id}")
            changed = document_out(await require_document(db, principal, document_id))
        resources.core.relay.changes.note(principal.tenant_id, "documents", document_id)
        return changed
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(NAME_TAKEN, field="private") from error


@post(
    f"{DOCUMENT_PATH}/cancel",
    status_code=200,
    opt=described(
        response=DOCUMENT_EXAMPLE | {"state": "cancelled", "version": 2, "progress": {"done": 0, "total": None}},
    ),
    responses=problems("not_found"),
    summary="Cancel a document",
)
async def cancel_document(
    document_id: DocumentId, principal: MayWriteDocuments, resources: AppResources
) -> DocumentOut:
    """Cancels the ingestion of a document that is `queued` or `running`; a document in another state is not changed. Its job
    continues with the other documents. A version that was searchable before stays so."""
    async with principal.tx(resources.core.pool) as db:
        await require_changeable(db, principal, [document_id])
        await documents.cancel_document(db, principal.tenant_id, document_id)
        cancelled = document_out(await require_document(db, principal, document_id))
    resources.core.relay.changes.note(principal.tenant_id, "documents", document_id)
    return cancelled


def _should_share(data: DocumentChangeIn, principal: Principal, user_id: UUID | None) -> bool:
    """Whether to share the document with the tenant. Raises Conflict, Forbidden."""
    if data.private is UNSET or data.private == (user_id is not None):
        return False
    if data.private:
        raise Conflict(STAYS_SHARED, field="private")
    if user_id != principal.user_id:
        raise Forbidden(NOT_YOURS_TO_SHARE, field="private")
    return True


routes = Router("/documents", route_handlers=[update_document, cancel_document], tags=["documents"])
