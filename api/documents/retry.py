"""Routes to ingest documents again from their stored bytes: failed and cancelled ones, and ready ones after a change of the
collection's settings. One call submits one job; old passages stay searchable until it has processed their document."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.params import JSONBody
from msgspec import Meta

from api.auth.principals import MayWriteDocuments, Principal
from api.documents.access import DocumentId, document_editor, require_changeable, require_collection, require_document
from api.documents.ingestion_job import ingestion_job
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.headers import read_idempotency
from api.jobs.run_at import HEADER as RUN_AT_HEADER
from api.jobs.run_at import read_run_at
from api.openapi.operations import described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS, read_callback
from schema.errors import Conflict, InputError
from schema.ids import new_id
from schema.queries.documents import documents
from schema.queries.documents.documents import retry_statements
from schema.queries.documents.ingestion import count_files
from schema.queries.jobs.submissions import Callback, Idempotency, NothingToRetry
from schema.states import FileState
from workers.queue.submit import submit

MAX_RETRIED = 1000
RETRYABLE_STATES: tuple[FileState, ...] = ("failed", "cancelled", "ready")
"""States in which a document can be retried; in the others it is already waiting or running."""

RetryableState = Literal["failed", "cancelled", "ready"]


class RetryDocumentsIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents to ingest again."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_RETRIED, description="These documents.")] | None = None
    collection: (
        Annotated[
            str, Meta(max_length=64, description="Documents of the collection with this name; of all if omitted.")
        ]
        | None
    ) = None
    states: (
        Annotated[
            list[RetryableState],
            Meta(
                min_length=1,
                max_length=10,
                description="Only those in these states; failed ones by default, or any with `ids`.",
            ),
        ]
        | None
    ) = None


class ReingestionOut(msgspec.Struct, frozen=True, kw_only=True):
    """The documents that will be ingested again."""

    job_id: Annotated[UUID | None, Meta(description="The job that ingests them; null if no document matched.")]
    documents: Annotated[int, Meta(description="Number of documents.")]
    more: Annotated[bool, Meta(description="Whether more documents match; call again to retry them.")] = False


NOTHING_TO_INGEST = ReingestionOut(job_id=None, documents=0)
STARTED_EXAMPLE = {"job_id": "019a5ca3-1c20-7e51-8d62-7f8091a2b3c4", "documents": 1, "more": False}


@post(
    "/{document_id:uuid}/retry",
    status_code=202,
    opt=described(
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS, RUN_AT_HEADER),
        response_headers={202: ("Location",)},
        response=STARTED_EXAMPLE,
    ),
    responses=problems("not_found", "conflict", "egress_refused", "idempotency_key_reused", "queue_full"),
    summary="Retry a document",
)
async def retry_document(
    document_id: DocumentId, request: JsonRequest, principal: MayWriteDocuments, resources: AppResources
) -> Response[ReingestionOut]:
    """Ingests the newest version again from its stored bytes, as a new job, with the current settings of the collection. A
    `ready` document stays searchable meanwhile."""
    async with principal.tx(resources.core.pool) as db:
        await require_changeable(db, principal, [document_id])
        row = await require_document(db, principal, document_id)
    route = f"POST /api/documents/{document_id}/retry"
    run_at = read_run_at(request.headers)
    key = read_idempotency(
        request.headers, route, again(NOTHING_TO_INGEST, run_at), visible_user_id=principal.visible_user_id
    )
    selection: dict[str, Any] = {"ids": [document_id], "states": RETRYABLE_STATES}
    selection["run_at"] = run_at
    selection["callback"] = await read_callback(resources, principal, request.headers)
    submitted_out = await ingest_again(resources, principal, request.request_id, key, model=row.embedder, **selection)
    if submitted_out is None:
        state = "queued" if row.state in RETRYABLE_STATES else row.state
        raise Conflict(f"This document is {state} and will be ingested anyway. To start over, cancel it first.")
    return accepted_response(submitted_out)


@post(
    "/retry",
    status_code=202,
    opt=described(
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS, RUN_AT_HEADER),
        response_headers={202: ("Location",)},
        example={"collection": "manuals", "states": ["failed", "cancelled"]},
        response=STARTED_EXAMPLE | {"documents": 12},
    ),
    responses=problems("not_found", "egress_refused", "idempotency_key_reused", "queue_full"),
    summary="Retry documents",
)
async def retry_documents(
    data: JSONBody[RetryDocumentsIn], request: JsonRequest, principal: MayWriteDocuments, resources: AppResources
) -> Response[ReingestionOut]:
    """Ingests documents again as one job, at most 1,000 in a call; call again while `more` is true."""
    if data.ids is not None and data.collection is not None:
        raise InputError("ids cannot be combined with collection. Send one of them, or neither.", field="collection")
    states: Sequence[FileState] = data.states or (RETRYABLE_STATES if data.ids is not None else ("failed",))
    run_at = read_run_at(request.headers)
    model, ids = await _select_documents(resources, principal, data, states)
    key = read_idempotency(
        request.headers, "POST /api/documents/retry", again(data, run_at), visible_user_id=principal.visible_user_id
    )
    selection: dict[str, Any] = {"ids": ids[:MAX_RETRIED], "states": states}
    selection["run_at"] = run_at
    selection["callback"] = await read_callback(resources, principal, request.headers)
    submitted_out = await ingest_again(resources, principal, request.request_id, key, model=model, **selection)
    return accepted_response(
        msgspec.structs.replace(submitted_out, more=len(ids) > MAX_RETRIED) if submitted_out else NOTHING_TO_INGEST
    )


async def ingest_again(
    resources: Resources,
    principal: Principal,
    request_id: str,
    key: Idempotency | None,
    *,
    model: str,
    callback: Callback | None = None,
    run_at: datetime | None = None,
    **selection: Any,
) -> ReingestionOut | None:
    """Submit a job that ingests documents again (`selection` is passed to `retry_statements`), or return the one that the
    idempotency key created before; None if no document matches. The caller has checked access."""
    job_id = new_id()
    work = retry_statements(principal.tenant_id, job_id, **selection)
    submission = ingestion_job(principal, job_id, request_id, key, work, model=model, callback=callback, run_at=run_at)
    try:
        submitted = await submit(resources.core, submission)
    except NothingToRetry:
        return None
    async with principal.tx(resources.core.pool) as db:
        counts = await count_files(db, principal.tenant_id, submitted.job_id)
    return ReingestionOut(job_id=submitted.job_id, documents=counts.total)


def again(body: Any, run_at: datetime | None) -> Any:
    """Return what makes two requests the same: the body, and the time if there is one."""
    return body if run_at is None else [body, run_at]


def accepted_response(body: ReingestionOut) -> Response[ReingestionOut]:
    """Return the response, with the job in its `Location`."""
    return Response(body, headers={"Location": f"/api/jobs/{body.job_id}"} if body.job_id else {})


async def _select_documents(
    resources: Resources, principal: Principal, data: RetryDocumentsIn, states: Sequence[FileState]
) -> tuple[str, list[UUID]]:
    """Return the embedder and the ids of the documents; one more than `MAX_RETRIED` if there are more."""
    default = resources.settings.embedder
    async with principal.tx(resources.core.pool) as db:
        if data.ids is not None:
            rows = await require_changeable(db, principal, list(dict.fromkeys(data.ids)), "ids")
            return default, [row.id for row in rows]
        collection_row = data.collection and await require_collection(db, principal, data.collection, "collection")
        filters = documents.DocumentFilter(collection_id=collection_row.id if collection_row else None, states=states)
        rows = await documents.list_editable_documents(
            db, principal.tenant_id, filters, document_editor(principal), limit=MAX_RETRIED + 1
        )
        return collection_row.embedder if collection_row else default, [row.id for row in rows]


routes = Router("/documents", route_handlers=[retry_document, retry_documents], tags=["documents"])
