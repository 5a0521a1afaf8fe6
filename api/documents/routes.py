"""Routes to list documents, get one, and list its passages."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import QueryParameter

from api.auth.principals import MayReadDocuments
from api.documents.access import DocumentId, require_collection, require_document
from api.documents.schemas import DOCUMENT_EXAMPLE, ChunkOut, ChunksOut, DocumentOut, DocumentsOut, document_out
from api.http.errors import problems
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import InputError
from schema.queries.documents import documents
from schema.states import FileState

DOCUMENT_PATH = "/{document_id:uuid}"
MAX_INT = 2**31 - 1
CHUNK_EXAMPLE = {
    "place": 0,
    "text": "Close the sluice gate before you open the pump housing.",
    "heading": "Pump manual > Safety",
    "page": 2,
    "page_end": 2,
    "start": 1204,
    "stop": 1259,
}


@get(
    "/",
    opt=described(response={"items": [DOCUMENT_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List documents",
)
async def list_documents(
    principal: MayReadDocuments,
    resources: AppResources,
    collection: Annotated[
        str | None, QueryParameter(max_length=64, description="Only documents of the collection with this name.")
    ] = None,
    states: Annotated[
        list[FileState] | None,
        QueryParameter(name="state", description="Only documents in this state. Repeat to select several states."),
    ] = None,
    search: Annotated[
        str | None,
        QueryParameter(
            max_length=300,
            description="Only documents whose name or title contains this text, whatever its case and accents.",
        ),
    ] = None,
    private: Annotated[
        bool | None, QueryParameter(description="Only your private documents (`true`) or only shared ones (`false`).")
    ] = None,
    job_id: Annotated[UUID | None, QueryParameter(description="Only documents that this job ingests.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DocumentsOut:
    """Newest first."""
    before = read_cursor("documents", cursor, UUID)
    async with principal.tx(resources.core.pool) as db:
        collection_row = collection and await require_collection(db, principal, collection, "collection")
        filters = documents.DocumentFilter(
            collection_id=collection_row.id if collection_row else None,
            states=states,
            search=search,
            private=private,
            job_id=job_id,
            reader_id=principal.visible_user_id,
        )
        rows = await documents.list_documents(db, principal.tenant_id, filters, limit=limit + 1, before=before)
    items = [document_out(row) for row in rows[:limit]]
    return DocumentsOut(items, write_cursor("documents", items[-1].id) if len(rows) > limit else None)


@get(DOCUMENT_PATH, opt=described(response=DOCUMENT_EXAMPLE), responses=problems("not_found"), summary="Get a document")
async def get_document(document_id: DocumentId, principal: MayReadDocuments, resources: AppResources) -> DocumentOut:
    """Returns the document with the state and progress of its ingestion, and why it failed if it did."""
    async with principal.tx(resources.core.pool) as db:
        return document_out(await require_document(db, principal, document_id))


@get(
    f"{DOCUMENT_PATH}/chunks",
    opt=described(response={"items": [CHUNK_EXAMPLE], "next_cursor": None}),
    responses=problems("not_found"),
    summary="List a document's passages",
)
async def list_document_chunks(
    document_id: DocumentId,
    principal: MayReadDocuments,
    resources: AppResources,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> ChunksOut:
    """The passages of the live version, as searches see them; none before there is a live version."""
    list_name = f"chunks/{document_id}"
    after = read_cursor(list_name, cursor, int)
    if after is not None and not 0 <= after <= MAX_INT:
        raise InputError("cursor must be the next_cursor of the previous page.", field="cursor")
    async with principal.tx(resources.core.pool) as db:
        await require_document(db, principal, document_id)
        rows = await documents.list_chunks(db, principal.tenant_id, document_id, limit=limit + 1, after=after)
    items = [from_row(ChunkOut, row) for row in rows[:limit]]
    return ChunksOut(items, write_cursor(list_name, items[-1].place) if len(rows) > limit else None)


routes = Router("/documents", route_handlers=[list_documents, get_document, list_document_chunks], tags=["documents"])
