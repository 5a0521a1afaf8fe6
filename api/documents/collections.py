"""Routes of collections: named sets of documents with settings. All users of a tenant can read them, owners change them."""

import re
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from api.audit.log import record
from api.auth.principals import MayManageDocuments, MayReadDocuments, Principal
from api.documents.access import NO_COLLECTION, require_collection
from api.documents.collection_schemas import (
    COLLECTION_EXAMPLE,
    ChunkingIn,
    CollectionChangedOut,
    CollectionChangeIn,
    CollectionIn,
    CollectionOut,
    CollectionsOut,
    collection_out,
)
from api.documents.delete import delete_bytes, delete_rows, retry_on_deadlock
from api.documents.ingestion_job import ingestion_job
from api.documents.retry import (
    NOTHING_TO_INGEST,
    RETRYABLE_STATES,
    STARTED_EXAMPLE,
    ReingestionOut,
    accepted_response,
    again,
    ingest_again,
)
from api.grants.tenant_rows import changing_own_tenant
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.headers import read_idempotency
from api.http.paging import Cursor, Limit, read_cursor, write_cursor
from api.http.rows import from_row
from api.jobs.run_at import HEADER as RUN_AT_HEADER
from api.jobs.run_at import read_run_at
from api.openapi.headers import LOCATION_HEADER
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS, read_callback
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.postgres.connections import Db
from schema.queries.documents import collections, document_deletion, documents
from workers.queue.submit import submit

COLLECTION_PATH = "/{name:str}"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "must start with a letter or digit, followed by at most 63 letters (a to z), digits, dots, _ or -."
MAX_COLLECTIONS = 1000
"""Most collections of a tenant."""

PAGE = 1000

CollectionName = Annotated[str, PathParameter(description="Name of the collection.")]
NEW_COLLECTION_EXAMPLE: dict[str, Any] = {
    "space": None,
    "documents": 0,
    "states": {"queued": 0, "running": 0, "ready": 0, "failed": 0, "cancelled": 0},
    "chunks": 0,
    "pages": 0,
    "characters": 0,
    "bytes": 0,
}
UPDATED_EXAMPLE = {"chunking": {"characters": 1500, "overlap": 300}, "job_id": None}


LIST_EXAMPLE = {"items": [COLLECTION_EXAMPLE], "next_cursor": None, "embedders": ["minilm"]}


@get("/", opt=described(response=LIST_EXAMPLE), summary="List collections")
async def list_collections(
    principal: MayReadDocuments, resources: AppResources, cursor: Cursor = None, limit: Limit = 20
) -> CollectionsOut:
    """By name. The figures count the documents that you can see, not those that are private to others."""
    return await list_collection_page(principal, resources, cursor, limit)


async def list_collection_page(
    principal: Principal, resources: Resources, cursor: str | None, limit: int
) -> CollectionsOut:
    """Return a page of collections; also for `document_stats`."""
    after = read_cursor("collections", cursor, str) or ""
    async with principal.tx(resources.core.pool) as db:
        rows = await collections.list_collections(db, principal.tenant_id, limit=limit + 1, after=after)
        contents = await collections.measure_collections(db, principal.tenant_id, [row.id for row in rows[:limit]])
    items = [collection_out(row, contents[row.id]) for row in rows[:limit]]
    next_cursor = write_cursor("collections", items[-1].name) if len(rows) > limit else None
    return CollectionsOut(items, next_cursor, list(resources.settings.embedders))


@post(
    "/",
    status_code=201,
    opt=described(
        response_headers=LOCATION_HEADER,
        example={"name": "manuals", "description": "Operating manuals of our machines."},
        response=COLLECTION_EXAMPLE | NEW_COLLECTION_EXAMPLE,
    ),
    responses=problems("conflict"),
    summary="Create a collection",
)
async def create_collection(
    data: JSONBody[CollectionIn], principal: MayManageDocuments, resources: AppResources
) -> Response[CollectionOut]:
    """An upload to a collection that does not exist creates it too, with default settings."""
    _check_name(data.name)
    embedder = resources.settings.embedder if data.embedder is None else data.embedder
    chunking = data.chunking
    _check_chunking(chunking.characters, chunking.overlap)
    _check_embedder(resources, embedder)
    async with changing_own_tenant(resources, principal) as db:
        if await collections.find_collection(db, principal.tenant_id, data.name):
            raise Conflict(
                f"A collection named {data.name!r} already exists. Update it, or choose another name.", field="name"
            )
        added = await collections.add_collection(
            db,
            principal.tenant_id,
            new_id(),
            data.name,
            embedder=embedder,
            created_by=principal.actor,
            max_collections=MAX_COLLECTIONS,
            description=data.description,
            chunk_characters=chunking.characters,
            chunk_overlap=chunking.overlap,
        )
        if added is None:
            raise Conflict(
                f"Your tenant has reached the maximum of {MAX_COLLECTIONS} collections. Delete one that you no longer need."
            )
        await record(db, principal, principal.tenant_id, "collection.created", data.name)
        out = await _read_collection(db, principal, data.name)
    return Response(out, headers={"Location": f"/api/collections/{data.name}"})


@get(
    COLLECTION_PATH,
    opt=described(response=COLLECTION_EXAMPLE),
    responses=problems("not_found"),
    summary="Get a collection",
)
async def get_collection(name: CollectionName, principal: MayReadDocuments, resources: AppResources) -> CollectionOut:
    async with principal.tx(resources.core.pool) as db:
        return await _read_collection(db, principal, name)


@patch(
    COLLECTION_PATH,
    opt=described(
        example={"chunking": {"characters": 1500, "overlap": 300}}, response=COLLECTION_EXAMPLE | UPDATED_EXAMPLE
    ),
    responses=problems("not_found", "queue_full"),
    summary="Update a collection",
)
async def update_collection(
    name: CollectionName,
    data: JSONBody[CollectionChangeIn],
    request: JsonRequest,
    principal: MayManageDocuments,
    resources: AppResources,
) -> CollectionChangedOut:
    """Changes the fields that are sent. A new `chunking` applies to documents ingested from now on; `/reingest` applies it to
    the others. For a new `embedder` a job (`job_id`) embeds all passages again; searches use the old vectors until it is done.
    Send the same embedder again to retry, or the current one to call the change off."""
    async with principal.tx(resources.core.pool) as db:
        row = await require_collection(db, principal, name)
    values = _columns(data)
    embedder = None if data.embedder in (UNSET, row.embedder) else data.embedder
    if embedder is not None:
        _check_embedder(resources, embedder)
    async with changing_own_tenant(resources, principal) as db:
        await collections.change_collection(db, principal.tenant_id, row.id, values)
        if data.embedder == row.embedder and row.next_embedder:
            await collections.keep_embedder(db, principal.tenant_id, row.id)
        if sent := [field for field in data.__struct_fields__ if getattr(data, field) is not UNSET]:
            await record(db, principal, principal.tenant_id, "collection.changed", name, {"fields": sorted(sent)})
    job_id = embedder and await _submit_reembedding(resources, principal, request.request_id, row.id, embedder)
    async with principal.tx(resources.core.pool) as db:
        return from_row(CollectionChangedOut, await _read_collection(db, principal, name), job_id=job_id or None)


@delete(COLLECTION_PATH, responses=problems("not_found", "unavailable"), summary="Delete a collection")
async def delete_collection(name: CollectionName, principal: MayManageDocuments, resources: AppResources) -> None:
    """Deletes the collection with all its documents, private ones included, and stops their ingestion. Documents are deleted in
    batches, so a large collection takes a while. The next upload creates the collection `default` again."""
    async with principal.tx(resources.core.pool) as db:
        row = await require_collection(db, principal, name)
    filters, any_owner = (
        documents.DocumentFilter(collection_id=row.id),
        documents.DocumentEditor(principal.actor, None, True),
    )
    while True:
        async with principal.tx(resources.core.pool) as db:
            rows = await documents.list_editable_documents(db, principal.tenant_id, filters, any_owner, limit=PAGE)
        if not rows:
            break
        await delete_rows(resources, principal, rows)
    names = await retry_on_deadlock(lambda: _delete_collection(resources, principal, row.id, name))
    if names is None:
        raise NotFound(NO_COLLECTION)
    await delete_bytes(resources, principal.tenant_id, names)


@post(
    f"{COLLECTION_PATH}/reingest",
    status_code=202,
    opt=described(
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS, RUN_AT_HEADER),
        response_headers={202: ("Location",)},
        response=STARTED_EXAMPLE | {"documents": 12},
    ),
    responses=problems("not_found", "egress_refused", "idempotency_key_reused", "queue_full"),
    summary="Ingest a collection again",
)
async def reingest_collection(
    name: CollectionName, request: JsonRequest, principal: MayManageDocuments, resources: AppResources
) -> Response[ReingestionOut]:
    """Ingests every document again from its stored bytes, failed ones included, as one job with the current settings. Passages
    whose text is unchanged are not embedded again. Documents stay searchable meanwhile."""
    async with principal.tx(resources.core.pool) as db:
        row = await require_collection(db, principal, name)
    run_at = read_run_at(request.headers)
    key = read_idempotency(
        request.headers,
        f"POST /api/collections/{name}/reingest",
        again(NOTHING_TO_INGEST, run_at),
        visible_user_id=principal.visible_user_id,
    )
    selection: dict[str, Any] = {"collection_id": row.id, "states": RETRYABLE_STATES, "run_at": run_at}
    selection["callback"] = await read_callback(resources, principal, request.headers)
    started = await ingest_again(resources, principal, request.request_id, key, model=row.embedder, **selection)
    return accepted_response(started or NOTHING_TO_INGEST)


async def _submit_reembedding(
    resources: Resources, principal: Principal, request_id: str, collection_id: UUID, embedder: str
) -> UUID:
    """Submit the job that embeds a collection again with another embedder, and return its id."""
    job_id, work = new_id(), collections.embedder_statements(principal.tenant_id, collection_id, embedder)
    payload = {"reembed": str(collection_id)}
    job = ingestion_job(principal, job_id, request_id, None, work, model=embedder, payload=payload)
    await submit(resources.core, job)
    return job_id


async def _delete_collection(
    resources: Resources, principal: Principal, collection_id: UUID, name: str
) -> list[str] | None:
    async with principal.tx(resources.core.pool) as db:
        names = await document_deletion.delete_collection(db, principal.tenant_id, collection_id)
        if names is not None:
            await record(db, principal, principal.tenant_id, "collection.deleted", name)
    return names


async def _read_collection(db: Db, principal: Principal, name: str) -> CollectionOut:
    row = await require_collection(db, principal, name)
    contents = await collections.measure_collections(db, principal.tenant_id, [row.id])
    return collection_out(row, contents[row.id])


def _columns(data: CollectionChangeIn) -> dict[str, Any]:
    """Return the columns to set, except the embedder. Raises InputError."""
    values: dict[str, Any] = {} if data.description is UNSET else {"description": data.description}
    if data.chunking is not UNSET:
        chunking: ChunkingIn = data.chunking
        _check_chunking(chunking.characters, chunking.overlap)
        values |= {"chunk_characters": chunking.characters, "chunk_overlap": chunking.overlap}
    return values


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(f"name {NAME_RULE}", field="name")


def _check_chunking(characters: int, overlap: int) -> None:
    if overlap * 2 >= characters:
        raise InputError("chunking.overlap must be less than half of chunking.characters.", field="chunking.overlap")


def _check_embedder(resources: Resources, embedder: str) -> None:
    known = resources.settings.embedders
    if embedder not in known:
        raise InputError(f"embedder must be one of: {', '.join(known)}.", field="embedder")


routes = Router(
    "/collections",
    route_handlers=[
        list_collections,
        create_collection,
        get_collection,
        update_collection,
        delete_collection,
        reingest_collection,
    ],
    tags=["documents"],
)
