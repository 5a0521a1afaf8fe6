"""Collections: named sets of documents with their settings (A5). Everybody of a tenant reads them, its owners change them."""

import re
from typing import Any
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from api.admin.deeds import note
from api.admin.own_rows import changing_own
from api.describing import described
from api.documents.access import NO_COLLECTION, require_collection
from api.documents.collection_shapes import (
    ChunkingIn,
    CollectionChangedOut,
    CollectionChangeIn,
    CollectionIn,
    CollectionOut,
    CollectionsOut,
    collection_fields,
)
from api.documents.ingestion import ingestion
from api.documents.removing import remove_bytes, remove_documents, uncrossed
from api.documents.retrying import AGAIN, NOTHING, ReadAgainOut, accepted, read_again
from api.errors import problems
from api.header_docs import LOCATED
from api.headers import read_idempotency
from api.paging import Cursor, Limit, read_cursor, write_cursor
from api.principals import MayManageDocuments, MayReadDocuments, Principal
from api.requests import JsonRequest
from api.resources import Opened, Resources
from schema.db import Db
from schema.errors import Conflict, InputError, NotFound
from schema.ids import new_id
from schema.queries import collections, documents, removing
from workers.submit import submit

HERE = "/{name:str}"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RULE = "name must begin with a letter or a digit; up to 63 letters a to z, digits, dots, _ and - may follow."
MOST = 1000
"""Collections of one tenant."""

PAGE = 1000


@get("/", summary="List collections")
async def list_(
    principal: MayReadDocuments, resources: Opened, cursor: Cursor = None, limit: Limit = 20
) -> CollectionsOut:
    """By name, with what is in them as far as you see it: documents that are private to others are not counted."""
    return await list_collections(principal, resources, cursor, limit)


async def list_collections(
    principal: Principal, resources: Resources, cursor: str | None, limit: int
) -> CollectionsOut:
    """Return a page of collections, for members and for the admin's pages."""
    after = read_cursor(cursor, str) or ""
    async with principal.tx(resources.ports.pool) as db:
        rows = await collections.list_collections(db, principal.tenant_id, limit=limit + 1, after=after)
        held = await collections.measure_collections(db, principal.tenant_id, [row["id"] for row in rows[:limit]])
    items = [CollectionOut(**collection_fields(row, held[row["id"]])) for row in rows[:limit]]
    return CollectionsOut(items, write_cursor(items[-1].name) if len(rows) > limit else None)


@post(
    "/",
    status_code=201,
    opt=described(sends=LOCATED, example={"name": "manuals", "description": "How the machines are run."}),
    responses=problems("conflict"),
    summary="Make a collection",
)
async def create(
    data: JSONBody[CollectionIn], principal: MayManageDocuments, resources: Opened
) -> Response[CollectionOut]:
    """How its documents are cut, and what embeds them, is as usual unless you say otherwise."""
    _check_name(data.name)
    embedder = resources.settings.embedder if data.embedder is None else data.embedder
    cut = data.chunking
    _check_chunking(cut.characters, cut.overlap)
    _check_embedder(resources, embedder)
    async with changing_own(resources, principal) as db:
        if await collections.find_collection(db, principal.tenant_id, data.name):
            raise Conflict(
                f"There is a collection {data.name!r} already. Change it, or choose another name.", field="name"
            )
        added = await collections.add_collection(
            db,
            principal.tenant_id,
            new_id(),
            data.name,
            embedder=embedder,
            created_by=principal.actor,
            most=MOST,
            description=data.description,
            chunk_characters=cut.characters,
            chunk_overlap=cut.overlap,
        )
        if added is None:
            raise Conflict(
                f"Your tenant has reached the maximum of {MOST} collections. Delete one that you no longer need."
            )
        await note(db, principal, principal.tenant_id, "collection.created", data.name)
        out = CollectionOut(**await _fields(db, principal, data.name))
    return Response(out, headers={"Location": f"/api/collections/{data.name}"})


@get(HERE, responses=problems("not_found"), summary="Look at a collection")
async def look(name: FromPath[str], principal: MayReadDocuments, resources: Opened) -> CollectionOut:
    async with principal.tx(resources.ports.pool) as db:
        return CollectionOut(**await _fields(db, principal, name))


@patch(
    HERE,
    opt=described(example={"chunking": {"characters": 1500, "overlap": 300}}),
    responses=problems("not_found", "queue_full"),
    summary="Change a collection",
)
async def change(
    name: FromPath[str],
    data: JSONBody[CollectionChangeIn],
    request: JsonRequest,
    principal: MayManageDocuments,
    resources: Opened,
) -> CollectionChangedOut:
    """Change what is named and leave the rest; the name stays for ever. Another `chunking` holds for what is read from now on:
    `/reingest` cuts the rest again. For another `embedder` a job (`job_id`) embeds all passages anew; until it is done,
    searches go on with the old vectors. Sent again it is another try; the embedder that there is calls it off."""
    async with principal.tx(resources.ports.pool) as db:
        row = await require_collection(db, principal, name)
    values = _columns(data, row)
    embedder = None if data.embedder in (UNSET, row["embedder"]) else data.embedder
    if embedder is not None:
        _check_embedder(resources, embedder)
    async with changing_own(resources, principal) as db:
        await collections.change_collection(db, principal.tenant_id, row["id"], values)
        if data.embedder == row["embedder"] and row["next_embedder"]:
            await collections.keep_embedder(db, principal.tenant_id, row["id"])
        if given := [field for field in data.__struct_fields__ if getattr(data, field) is not UNSET]:
            await note(db, principal, principal.tenant_id, "collection.changed", name, {"fields": sorted(given)})
    job_id = embedder and await _embed_anew(resources, principal, request.request_id, row["id"], embedder)
    async with principal.tx(resources.ports.pool) as db:
        return CollectionChangedOut(**await _fields(db, principal, name), job_id=job_id or None)


@delete(HERE, responses=problems("not_found", "unavailable"), summary="Delete a collection")
async def delete_(name: FromPath[str], principal: MayManageDocuments, resources: Opened) -> None:
    """With all that is in it, private documents too, in batches: a large one takes its time, and what is gone of it is not
    found meanwhile. What is being read ends. `default` is made again by the next upload."""
    async with principal.tx(resources.ports.pool) as db:
        row = await require_collection(db, principal, name)
    wanted, all_ = documents.Wanted(collection_id=row["id"]), documents.Whose(principal.actor, None, True)
    while True:
        async with principal.tx(resources.ports.pool) as db:
            rows = await documents.pick_documents(db, principal.tenant_id, wanted, all_, limit=PAGE)
        if not rows:
            break
        await remove_documents(resources, principal, rows)
    names = await uncrossed(lambda: _delete(resources, principal, row["id"], name))
    if names is None:
        raise NotFound(NO_COLLECTION)
    await remove_bytes(resources, principal.tenant_id, names)


@post(
    f"{HERE}/reingest",
    status_code=202,
    opt=described(accepts=("Idempotency-Key",), sends={202: ("Location",)}),
    responses=problems("not_found", "idempotency_key_reused", "queue_full"),
    summary="Read a collection again",
)
async def reingest(
    name: FromPath[str], request: JsonRequest, principal: MayManageDocuments, resources: Opened
) -> Response[ReadAgainOut]:
    """One job that cuts and embeds every document of it as its settings say now, from the stored bytes, failed ones too;
    texts that are as they were are not embedded again. Each is searched as it was until its turn has come."""
    async with principal.tx(resources.ports.pool) as db:
        row = await require_collection(db, principal, name)
    key = read_idempotency(request.headers, f"POST /api/collections/{name}/reingest", NOTHING, sees=principal.sees)
    again = await read_again(
        resources, principal, request.request_id, key, model=row["embedder"], collection_id=row["id"], states=AGAIN
    )
    return accepted(again or NOTHING)


async def _embed_anew(
    resources: Resources, principal: Principal, request_id: str, collection_id: UUID, embedder: str
) -> UUID:
    """Submit the job that gives a collection another embedder, and return it."""
    job_id, work = new_id(), collections.embedder_statements(principal.tenant_id, collection_id, embedder)
    payload = {"reembed": str(collection_id)}
    job = ingestion(principal, job_id, request_id, None, work, model=embedder, payload=payload)
    await submit(resources.ports, job)
    return job_id


async def _delete(resources: Resources, principal: Principal, collection_id: UUID, name: str) -> list[str] | None:
    async with principal.tx(resources.ports.pool) as db:
        names = await removing.delete_collection(db, principal.tenant_id, collection_id)
        if names is not None:
            await note(db, principal, principal.tenant_id, "collection.deleted", name)
    return names


async def _fields(db: Db, principal: Principal, name: str) -> dict[str, Any]:
    row = await require_collection(db, principal, name)
    held = await collections.measure_collections(db, principal.tenant_id, [row["id"]])
    return collection_fields(row, held[row["id"]])


def _columns(data: CollectionChangeIn, row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that are set besides the embedder. Raises InputError."""
    values: dict[str, Any] = {} if data.description is UNSET else {"description": data.description}
    if data.chunking is not UNSET:
        cut: ChunkingIn = data.chunking
        _check_chunking(cut.characters, cut.overlap)
        values |= {"chunk_characters": cut.characters, "chunk_overlap": cut.overlap}
    return values


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(RULE, field="name")


def _check_chunking(characters: int, overlap: int) -> None:
    if overlap * 2 >= characters:
        raise InputError("chunking.overlap must be less than half of chunking.characters.", field="chunking.overlap")


def _check_embedder(resources: Resources, embedder: str) -> None:
    known = resources.settings.embedders
    if embedder not in known:
        raise InputError(f"embedder must be one of this installation's: {', '.join(known)}.", field="embedder")


routes = Router("/collections", route_handlers=[list_, create, look, change, delete_, reingest], tags=["documents"])
