"""Ingesting documents again from their stored bytes: those that failed or were cancelled, and ready ones whose collection has
other settings by now. One call makes one job; until the job has come to a document, its old passages are searched."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.params import JSONBody
from msgspec import Meta

from api.auth.principals import MayWriteDocuments, Principal
from api.documents.access import DocumentId, require_collection, require_document, require_own, whose
from api.documents.ingestion_job import ingestion
from api.http.errors import problems
from api.http.headers import read_idempotency
from api.http.json_body import JsonRequest
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import Conflict, InputError
from schema.ids import new_id
from schema.queries.documents import documents
from schema.queries.documents.documents import retry_statements
from schema.queries.documents.ingestion import count_files
from schema.queries.jobs.submissions import Idempotency, NothingToRetry
from schema.states import FileState
from workers.queue.submit import submit

AT_ONCE = 1000
AGAIN: tuple[FileState, ...] = ("failed", "cancelled", "ready")
"""The states from which a document can be read again; in the others it is waiting for that already."""

Redone = Literal["failed", "cancelled", "ready"]


class RetryDocumentsIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents to ingest again."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=AT_ONCE, description="These documents.")] | None = None
    collection: (
        Annotated[
            str, Meta(max_length=64, description="Documents of the collection with this name; of all if omitted.")
        ]
        | None
    ) = None
    states: (
        Annotated[
            list[Redone],
            Meta(min_length=1, description="Only those in these states; failed ones by default, or any with `ids`."),
        ]
        | None
    ) = None


class ReadAgainOut(msgspec.Struct, frozen=True, kw_only=True):
    """The documents that will be ingested again."""

    job_id: Annotated[UUID | None, Meta(description="The job that ingests them; null if no document matched.")]
    documents: Annotated[int, Meta(description="Number of documents.")]
    more: Annotated[bool, Meta(description="Whether more documents match; call again to retry them.")] = False


NOTHING = ReadAgainOut(job_id=None, documents=0)
STARTED = {"job_id": "019a5ca3-1c20-7e51-8d62-7f8091a2b3c4", "documents": 1, "more": False}


@post(
    "/{document_id:uuid}/retry",
    status_code=202,
    opt=described(request_headers=("Idempotency-Key",), response_headers={202: ("Location",)}, response=STARTED),
    responses=problems("not_found", "conflict", "idempotency_key_reused", "queue_full"),
    summary="Retry a document",
)
async def retry_document(
    document_id: DocumentId, request: JsonRequest, principal: MayWriteDocuments, resources: AppResources
) -> Response[ReadAgainOut]:
    """Ingests the newest version again from its stored bytes, as a new job, with the current settings of the collection. A
    `ready` document stays searchable meanwhile."""
    async with principal.tx(resources.core.pool) as db:
        await require_own(db, principal, [document_id])
        row = await require_document(db, principal, document_id)
    route = f"POST /api/documents/{document_id}/retry"
    key = read_idempotency(request.headers, route, NOTHING, visible_user_id=principal.visible_user_id)
    which: dict[str, Any] = {"ids": [document_id], "states": AGAIN}
    again = await read_again(resources, principal, request.request_id, key, model=row.embedder, **which)
    if again is None:
        state = "queued" if row.state in AGAIN else row.state
        raise Conflict(f"This document is {state} and will be ingested anyway. To start over, cancel it first.")
    return accepted(again)


@post(
    "/retry",
    status_code=202,
    opt=described(
        request_headers=("Idempotency-Key",),
        response_headers={202: ("Location",)},
        example={"collection": "manuals", "states": ["failed", "cancelled"]},
        response=STARTED | {"documents": 12},
    ),
    responses=problems("not_found", "idempotency_key_reused", "queue_full"),
    summary="Retry documents",
)
async def retry_documents(
    data: JSONBody[RetryDocumentsIn], request: JsonRequest, principal: MayWriteDocuments, resources: AppResources
) -> Response[ReadAgainOut]:
    """Ingests documents again as one job, at most 1,000 in a call; call again while `more` is true."""
    if data.ids is not None and data.collection is not None:
        raise InputError("ids cannot be combined with collection. Send one of them, or neither.", field="collection")
    states: Sequence[FileState] = data.states or (AGAIN if data.ids is not None else ("failed",))
    model, ids = await _pick(resources, principal, data, states)
    key = read_idempotency(
        request.headers, "POST /api/documents/retry", data, visible_user_id=principal.visible_user_id
    )
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
        submitted = await submit(resources.core, submission)
    except NothingToRetry:
        return None
    async with principal.tx(resources.core.pool) as db:
        counts = await count_files(db, principal.tenant_id, submitted.job_id)
    return ReadAgainOut(job_id=submitted.job_id, documents=counts.total)


def accepted(body: ReadAgainOut) -> Response[ReadAgainOut]:
    """Return the answer: the job's place is in its headers too."""
    return Response(body, headers={"Location": f"/api/jobs/{body.job_id}"} if body.job_id else {})


async def _pick(
    resources: Resources, principal: Principal, data: RetryDocumentsIn, states: Sequence[FileState]
) -> tuple[str, list[UUID]]:
    """Return what embeds, and the documents that are meant: one more than is read at once if there are more."""
    usual = resources.settings.embedder
    async with principal.tx(resources.core.pool) as db:
        if data.ids is not None:
            rows = await require_own(db, principal, list(dict.fromkeys(data.ids)), "ids")
            return usual, [row.id for row in rows]
        found = data.collection and await require_collection(db, principal, data.collection, "collection")
        wanted = documents.DocumentFilter(collection_id=found.id if found else None, states=states)
        rows = await documents.list_editable_documents(
            db, principal.tenant_id, wanted, whose(principal), limit=AT_ONCE + 1
        )
        return found.embedder if found else usual, [row.id for row in rows]


routes = Router("/documents", route_handlers=[retry_document, retry_documents], tags=["documents"])
