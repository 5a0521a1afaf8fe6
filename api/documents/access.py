"""Checks access to documents: NotFound if the caller can't see a document, Forbidden if they can see but not change it."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from litestar.params import PathParameter

from api.auth.principals import Principal
from api.documents.schemas import DocumentSelectionIn
from schema.errors import Forbidden, InputError, NotFound
from schema.postgres.connections import Db
from schema.queries.documents import documents
from schema.queries.documents.collections import Collection, find_collection
from schema.queries.documents.documents import Document, DocumentEditor, DocumentFilter, OwnedDocument

DocumentId = Annotated[UUID, PathParameter(description="Id of the document.")]
NO_DOCUMENT = "No such document. GET /api/documents lists them."
NO_COLLECTION = "No such collection. GET /api/collections lists them."
NOT_YOURS = "Only the user who uploaded this document, or an owner of your tenant, can do that."


def document_editor(principal: Principal) -> DocumentEditor:
    """Return which documents the caller may change, as the queries take it."""
    return DocumentEditor(principal.actor, principal.user_id, "documents.manage" in principal.rights)


async def require_document(db: Db, principal: Principal, document_id: UUID) -> Document:
    """Return a document that the caller can see. Raises NotFound."""
    row = await documents.find_document(db, principal.tenant_id, document_id)
    if row is None:
        raise NotFound(NO_DOCUMENT)
    return row


async def require_changeable(
    db: Db, principal: Principal, ids: Sequence[UUID], field: str | None = None
) -> list[OwnedDocument]:
    """Return documents that the caller may change. Raises NotFound if any can't be seen, Forbidden if any may not be
    changed."""
    rows = {
        row.id: row for row in await documents.list_ownership(db, principal.tenant_id, ids, document_editor(principal))
    }
    if missing := [str(document_id) for document_id in ids if document_id not in rows]:
        message = NO_DOCUMENT if field is None else f"No such documents: {', '.join(missing[:5])}."
        raise NotFound(message, field=field)
    if any(not row.own for row in rows.values()):
        raise Forbidden(NOT_YOURS, field=field)
    return list(rows.values())


async def require_collection(db: Db, principal: Principal, name: str, field: str | None = None) -> Collection:
    """Return a collection of the caller's tenant. Raises NotFound."""
    row = await find_collection(db, principal.tenant_id, name)
    if row is None:
        raise NotFound(NO_COLLECTION, field=field)
    return row


async def read_selection(db: Db, principal: Principal, data: DocumentSelectionIn) -> DocumentFilter:
    """Return the filters of a selection; none if it names ids. Raises InputError for an empty or ambiguous selection, NotFound
    for its collection."""
    filters = [name for name in data.__struct_fields__ if name != "ids" and getattr(data, name) is not None]
    if data.ids is not None and filters:
        raise InputError(
            f"ids cannot be combined with {filters[0]}. Send either ids, or a collection with filters.",
            field=filters[0],
        )
    if data.ids is None and data.collection is None:
        raise InputError("Send ids, or a collection with filters.", field="collection")
    row = data.collection and await require_collection(db, principal, data.collection, "collection")
    return DocumentFilter(collection_id=row.id if row else None, states=data.states, search=data.search)
