"""Documents: change what is said about one, stop one that is being read."""

from uuid import UUID

import psycopg
from litestar import Router, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from api.admin.deeds import note
from api.describing import described
from api.documents.access import NO_DOCUMENT, require_document, require_own
from api.documents.shapes import DocumentChangeIn, DocumentOut, check_metadata, document_of
from api.errors import problems
from api.principals import MayWriteDocuments, Principal
from api.resources import Opened
from schema.errors import Conflict, Forbidden, NotFound
from schema.queries import documents

HERE = "/{document_id:uuid}"
STAYS_SHARED = (
    "A shared document can't be made private: others have seen it. Delete it, and upload it again as private."
)
NOT_YOURS_TO_SHARE = "Only the person whose private document this is can share it."
NAME_TAKEN = (
    "The collection has a shared document of this name already. Delete that one first, or upload this under another."
)


@patch(
    HERE,
    opt=described(example={"metadata": {"year": 2026}, "private": False}),
    responses=problems("not_found", "conflict"),
    summary="Change a document",
)
async def change(
    document_id: FromPath[UUID], data: JSONBody[DocumentChangeIn], principal: MayWriteDocuments, resources: Opened
) -> DocumentOut:
    """Change what is named and leave the rest. A document that is private to you becomes everybody's of your tenant with
    `"private": false`, for good. A title stays until the document is read again."""
    metadata = None if data.metadata is UNSET else data.metadata
    check_metadata(metadata or {})
    try:
        async with principal.tx(resources.ports.pool) as db:
            (row,) = await require_own(db, principal, [document_id])
            share = _shares(data, principal, row["user_id"])
            title = None if data.title is UNSET else data.title.strip()
            given = {"metadata": metadata, "title": title, "share": share}
            if not await documents.change_document(db, principal.tenant_id, document_id, **given):
                raise NotFound(NO_DOCUMENT)
            if share:
                await note(db, principal, principal.tenant_id, "document.shared", f"document:{document_id}")
            return document_of(await require_document(db, principal, document_id))
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(NAME_TAKEN, field="private") from error


@post(f"{HERE}/cancel", status_code=200, responses=problems("not_found"), summary="Stop reading a document")
async def cancel(document_id: FromPath[UUID], principal: MayWriteDocuments, resources: Opened) -> DocumentOut:
    """One that waits or is being read is `cancelled` at once, and its job goes on with the others; any other stays what it is.
    What was searched before still is."""
    async with principal.tx(resources.ports.pool) as db:
        await require_own(db, principal, [document_id])
        await documents.cancel_document(db, principal.tenant_id, document_id)
        return document_of(await require_document(db, principal, document_id))


def _shares(data: DocumentChangeIn, principal: Principal, user_id: UUID | None) -> bool:
    """Whether the document is to become everybody's. Raises Conflict, Forbidden."""
    if data.private is UNSET or data.private == (user_id is not None):
        return False
    if data.private:
        raise Conflict(STAYS_SHARED, field="private")
    if user_id != principal.user_id:
        raise Forbidden(NOT_YOURS_TO_SHARE, field="private")
    return True


routes = Router("/documents", route_handlers=[change, cancel], tags=["documents"])
