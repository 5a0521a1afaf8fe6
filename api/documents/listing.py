"""Documents: list, look, look into (A5)."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get
from litestar.params import FromPath, FromQuery, QueryParameter

from api.admin.words import Word
from api.documents.access import require_collection, require_document
from api.documents.shapes import ChunkOut, ChunksOut, DocumentOut, DocumentsOut, document_of
from api.errors import problems
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayReadDocuments
from api.resources import Opened
from schema.errors import InputError
from schema.queries import documents
from schema.states import FileState

HERE = "/{document_id:uuid}"
LAST = 2**31 - 1


@get("/", responses=problems("not_found"), summary="List documents")
async def list_(
    principal: MayReadDocuments,
    resources: Opened,
    collection: Annotated[str | None, QueryParameter(max_length=64, description="The name of one.")] = None,
    wanted: Annotated[
        list[FileState] | None, QueryParameter(name="state", description="May be given more than once.")
    ] = None,
    search: Word = None,
    private: FromQuery[bool | None] = None,
    job_id: FromQuery[UUID | None] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> DocumentsOut:
    """Those that were uploaded last come first. `search` finds parts of names and titles, whatever their accents; `private`
    chooses what only you see, or what everybody does."""
    before = read_cursor(cursor, UUID)
    async with principal.tx(resources.ports.pool) as db:
        found = collection and await require_collection(db, principal, collection, "collection")
        chosen = documents.Wanted(
            collection_id=found["id"] if found else None, states=wanted, search=search, private=private, job_id=job_id
        )
        rows = await documents.list_documents(db, principal.tenant_id, chosen, limit=limit + 1, before=before)
    items = [document_of(row) for row in rows[:limit]]
    return DocumentsOut(items, write_cursor(items[-1].id) if len(rows) > limit else None)


@get(HERE, responses=problems("not_found"), summary="Look at a document")
async def look(document_id: FromPath[UUID], principal: MayReadDocuments, resources: Opened) -> DocumentOut:
    """Its state, how far it has come, and why it failed if it did."""
    async with principal.tx(resources.ports.pool) as db:
        return document_of(await require_document(db, principal, document_id))


@get(f"{HERE}/chunks", responses=problems("not_found"), summary="Read a document's passages")
async def chunks(
    document_id: FromPath[UUID],
    principal: MayReadDocuments,
    resources: Opened,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> ChunksOut:
    """As searches see them: those of the live version, none before there is one."""
    after = read_cursor(cursor, int)
    if after is not None and not 0 <= after <= LAST:
        raise InputError("cursor must be the next_cursor of the page before.", field="cursor")
    async with principal.tx(resources.ports.pool) as db:
        await require_document(db, principal, document_id)
        rows = await documents.list_chunks(db, principal.tenant_id, document_id, limit=limit + 1, after=after)
    items = [ChunkOut(**row) for row in rows[:limit]]
    return ChunksOut(items, write_cursor(items[-1].place) if len(rows) > limit else None)


routes = Router("/documents", route_handlers=[list_, look, chunks], tags=["documents"])
