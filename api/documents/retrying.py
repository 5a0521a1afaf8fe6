"""Reading documents again from their stored bytes: those that failed or were cancelled, and ready ones whose collection
cuts them otherwise by now. One job for all that one call names; until it has come to a document, the old passages are
searched."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from api.describing import described
from api.documents.access import require_collection, require_document, require_own, whose
from api.documents.ingestion import ingestion
from api.errors import problems
from api.headers import read_idempotency
from api.principals import MayWriteDocuments, Principal
from api.requests import JsonRequest
from api.resources import Opened, Resources
from schema.errors import Conflict, InputError
from schema.ids import new_id
from schema.queries import documents
from schema.queries.documents import retry_statements
from schema.queries.ingestion import count_files
from schema.queries.submissions import NothingWaits
from schema.states import FileState
from workers.submit import Idempotency, submit

AT_ONCE = 1000
AGAIN: tuple[FileState, ...] = ("failed", "cancelled", "ready")
"""The states from which a document can be read again; in the others it is waiting for that already."""

Redone = Literal["failed", "cancelled", "ready"]


class RetryDocumentsIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents; without `ids` all in these states (failed ones unless said otherwise), of one collection or of all."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=AT_ONCE)] | None = None
    collection: Annotated[str, Meta(max_length=64)] | None = None
    states: Annotated[list[Redone], Meta(min_length=1)] | None = None


class ReadAgainOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents wait to be read again, and the job that does it; null when there was none. `more`: others fit too;
    call again."""

    job_id: UUID | None
    documents: int
    more: bool = False


NOTHING = ReadAgainOut(job_id=None, documents=0)


@post(
    "/{document_id:uuid}/retry",
    status_code=202,
    opt=described(accepts=("Idempotency-Key",), sends={202: ("Location",)}),
    responses=problems("not_found", "conflict", "idempotency_key_reused", "queue_full"),
    summary="Read a document again",
)
async def retry(
    document_id: FromPath[UUID], request: JsonRequest, principal: MayWriteDocuments, resources: Opened
) -> Response[ReadAgainOut]:
    """Its newest version, from the stored bytes, as a new job. One that is ready is cut and embedded as its collection
    says now; it is searched as it was until then."""
    async with principal.tx(resources.ports.pool) as db:
        await require_own(db, principal, [document_id])
        row = await require_document(db, principal, document_id)
    route = f"POST /api/documents/{document_id}/retry"
    key = read_idempotency(request.headers, route, NOTHING, sees=principal.sees)
    which: dict[str, Any] = {"ids": [document_id], "states": AGAIN}
    again = await read_again(resources, principal, request.request_id, key, model=row["embedder"], **which)
    if again is None:
        state = "queued" if row["state"] in AGAIN else row["state"]
        raise Conflict(f"This document is {state}: it is about to be read anyway. Cancel that first to begin anew.")
    return accepted(again)


@post(
    "/retry",
    status_code=202,
    opt=described(
        accepts=("Idempotency-Key",),
        sends={202: ("Location",)},
        example={"collection": "manuals", "states": ["failed", "cancelled"]},
    ),
    responses=problems("not_found", "idempotency_key_reused", "queue_full"),
    summary="Read many documents again",
)
async def retry_many(
    data: JSONBody[RetryDocumentsIn], request: JsonRequest, principal: MayWriteDocuments, resources: Opened
) -> Response[ReadAgainOut]:
    """Up to 1,000 in one job, those of `ids` in whatever state they can be read again; `more` says that some are left."""
    if data.ids is not None and data.collection is not None:
        raise InputError("Send ids, or a collection, or neither; not both.", field="collection")
    states: Sequence[FileState] = data.states or (AGAIN if data.ids is not None else ("failed",))
    model, ids = await _pick(resources, principal, data, states)
    key = read_idempotency(request.headers, "POST /api/documents/retry", data, sees=principal.sees)
    which: dict[str, Any] = {"ids": ids[:AT_ONCE], "states": states}
    again = await read_again(resources, principal, request.request_id, key, model=model, **which)
    return accepted(msgspec.structs.replace(again, more=len(ids) > AT_ONCE) if again else NOTHING)


async def read_again(
    resources: Resources, principal: Principal, request_id: str, key: Idempotency | None, *, model: str, **which: Any
) -> ReadAgainOut | None:
    """Submit a job that reads documents again (`retry_statements` has `which`), or return the one that the key made
    before; None if there is nothing to read. Whether the caller may have that done was checked."""
    job_id = new_id()
    work = retry_statements(principal.tenant_id, job_id, **which)
    submission = ingestion(principal, job_id, request_id, key, work, model=model)
    try:
        submitted = await submit(resources.ports, submission)
    except NothingWaits:
        return None
    async with principal.tx(resources.ports.pool) as db:
        counts = await count_files(db, principal.tenant_id, submitted.job_id)
    return ReadAgainOut(job_id=submitted.job_id, documents=counts["total"])


def accepted(body: ReadAgainOut) -> Response[ReadAgainOut]:
    """Return the answer: the job's place is in its headers too."""
    return Response(body, headers={"Location": f"/api/jobs/{body.job_id}"} if body.job_id else {})


async def _pick(
    resources: Resources, principal: Principal, data: RetryDocumentsIn, states: Sequence[FileState]
) -> tuple[str, list[UUID]]:
    """Return what embeds, and the documents that are meant: one more than is read at once if there are more."""
    usual = resources.settings.embedder
    async with principal.tx(resources.ports.pool) as db:
        if data.ids is not None:
            rows = await require_own(db, principal, list(dict.fromkeys(data.ids)), "ids")
            return usual, [row["id"] for row in rows]
        found = data.collection and await require_collection(db, principal, data.collection, "collection")
        wanted = documents.Wanted(collection_id=found["id"] if found else None, states=states)
        rows = await documents.pick_documents(db, principal.tenant_id, wanted, whose(principal), limit=AT_ONCE + 1)
        return found["embedder"] if found else usual, [row["id"] for row in rows]


routes = Router("/documents", route_handlers=[retry, retry_many], tags=["documents"])
