"""`POST /api/documents`: files in. The answer comes when their bytes are stored; a job ingests them.

How files are taken in is in `api/documents/upload/`; here is the order in which that happens.
"""

from typing import Any

import msgspec
from litestar import Response, Router, post

from api.auth.principals import MayManageDocuments, MayWriteDocuments, Principal
from api.documents.upload.batch import Batch
from api.documents.upload.classify import UploadClassifier
from api.documents.upload.commit import Upload, commit
from api.documents.upload.documentation import BODY, DONE, TAKEN, UNCHANGED
from api.documents.upload.fetch import fetch_files
from api.documents.upload.fields import Fields
from api.documents.upload.receive import check_head, receive
from api.documents.upload.response import all_refused, answer_upload, upload_out
from api.http.errors import FILE_CODES, problems
from api.http.headers import read_idempotency
from api.http.json_body import JsonRequest
from api.http.sse import EVENT_STREAM
from api.openapi.headers import JOB_REQUEST_HEADERS, JOB_RESPONSE_HEADERS
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from schema.errors import InputError, QueueFull
from schema.queries.documents.upload_checks import is_queue_full
from schema.queries.documents.uploads import find_free_storage
from schema.queries.jobs.submissions import QUEUE_IS_FULL, Idempotency, find_keyed_job
from workers.stream.follow import Follower

ROUTE = "POST /api/documents"
DESCRIPTION = """Uploads files or zip archives of files, or fetches them from URLs, and starts a job that ingests them. File
types are detected from the contents. A file that cannot be accepted is listed in `refused`; the others are ingested.

Returns `202` with the job as soon as the bytes are stored. `Accept: text/event-stream` streams the job's events instead;
`Prefer: wait=N` waits for the job to end, at most N seconds.

A file with the name of an existing document becomes its next version; the old version stays searchable until the new one is
ready. Identical bytes change nothing; if all files are identical, `200` is returned. Repeating an upload with the same
`Idempotency-Key` returns the same job."""
FETCH_FAILURES = ((422, "egress_refused"), (422, "egress_failed"))
UPLOAD_FAILURES = (
    *("not_found", "conflict", "storage_full", "body_too_large", "too_large", "unsupported_media_type"),
    *("idempotency_key_reused", "queue_full", *FILE_CODES, *FETCH_FAILURES),
)
DOCUMENTED: dict[str, Any] = {
    "status_code": 200,
    "opt": described(
        response=UNCHANGED,
        other_media_types={EVENT_STREAM: EVENTS},
        body=BODY,
        request_headers=JOB_REQUEST_HEADERS,
        response_headers=JOB_RESPONSE_HEADERS,
    ),
    "responses": {
        200: DONE,
        202: TAKEN,
        **problems(*UPLOAD_FAILURES),
    },
    "request_max_body_size": None,  # bytes are counted while they come: `api/documents/upload/batch.py`
    "description": DESCRIPTION,
}


class Fingerprint(msgspec.Struct, frozen=True):
    """What makes an upload the same as another: names and hashes of what was sent, and what was said besides."""

    files: list[tuple[str, str]]
    urls: tuple[str, ...]
    collection: str
    private: bool
    metadata: dict[str, Any]
    name: str | None


@post(["/documents", "/upload", "/files/upload"], summary="Upload documents", **DOCUMENTED)
async def upload_documents(
    request: JsonRequest, principal: MayWriteDocuments, resources: AppResources
) -> Response[Any]:
    return await _upload(request, principal, resources)


@post("/admin/knowledge/upload", summary="Upload documents as an admin", **DOCUMENTED)
async def upload_documents_as_admin(
    request: JsonRequest, principal: MayManageDocuments, resources: AppResources
) -> Response[Any]:
    return await _upload(request, principal, resources)


async def _upload(request: JsonRequest, principal: Principal, resources: Resources) -> Response[Any]:
    limits = resources.settings.uploads
    space = await _space(principal, resources)
    check_head(request, limits, space)
    async with resources.storage.staging.temporary_folder() as folder:
        batch = Batch(folder, limits, space)
        fields = await receive(request, batch, max_body=resources.settings.max_body)
        _check(fields, batch, principal)
        key = _idempotency(request, principal, fields, batch)
        intake = UploadClassifier(batch, fields.name)
        await intake.take()
        if key is not None and (earlier := await _earlier(principal, resources, key)):
            return await answer_upload(
                resources, principal, request, earlier, collection=fields.collection, refused=batch.refused
            )
        await fetch_files(fields.urls, batch, resources.settings.egress)
        await intake.take()
        if not intake.files:
            return all_refused(request, batch.refused)
        return await _commit(resources, Upload(request, principal, fields, intake.files, key), batch)


async def _space(principal: Principal, resources: Resources) -> int | None:
    """Return how many bytes the tenant may still store. Raises QueueFull, before anything of the body is read."""
    async with principal.tx(resources.core.pool) as db:
        if await is_queue_full(db, principal.tenant_id):
            raise QueueFull(QUEUE_IS_FULL)
        return await find_free_storage(db, principal.tenant_id)


def _check(fields: Fields, batch: Batch, principal: Principal) -> None:
    if fields.private and principal.user_id is None:
        raise InputError(
            "Private documents belong to users, and this API key belongs to its tenant. Sign in, or omit private.",
            field="private",
        )
    sent = len(batch.received) + len(batch.refused) + len(fields.urls)
    if not sent:
        raise InputError("Nothing was uploaded. Send files as multipart/form-data, or urls as JSON.", field="file")
    if fields.name is not None and sent > 1:
        raise InputError("name can only be set for a single file. Omit it; each file has its own name.", field="name")


def _idempotency(request: JsonRequest, principal: Principal, fields: Fields, batch: Batch) -> Idempotency | None:
    """Return the request's key, with a fingerprint of what came; what is at an address may change, the address counts."""
    files = [(file.name, file.sha256.hex()) for file in batch.received]
    same_as = Fingerprint(
        files=files + [(refusal.name, refusal.code) for refusal in batch.refused],
        urls=fields.urls,
        collection=fields.collection,
        private=fields.private,
        metadata=dict(sorted(fields.metadata.items())),
        name=fields.name,
    )
    return read_idempotency(request.headers, ROUTE, same_as, visible_user_id=principal.visible_user_id)


async def _earlier(principal: Principal, resources: Resources, key: Idempotency) -> Follower | None:
    """Return a follower of the job that the key made before; its files would look unchanged now. Raises IdempotencyReused."""
    async with principal.tx(resources.core.pool) as db:
        job_id = await find_keyed_job(db, principal.tenant_id, key)
    return job_id and await resources.core.hub.join(
        principal.tenant_id, job_id, visible_user_id=principal.visible_user_id
    )


async def _commit(resources: Resources, upload: Upload, batch: Batch) -> Response[Any]:
    committed, collection = await commit(resources, upload), upload.fields.collection
    batch.refused += committed.refused
    if committed.accepted is None and not committed.same:
        return all_refused(upload.request, batch.refused)
    if committed.accepted is None:
        # It may be the same upload, under way twice, that has made these documents meanwhile.
        if upload.idempotency is not None:
            earlier = await _earlier(upload.principal, resources, upload.idempotency)
            if earlier is not None:
                return await answer_upload(
                    resources, upload.principal, upload.request, earlier, collection=collection, refused=batch.refused
                )
        return Response(upload_out(None, collection, [], committed.same, batch.refused), status_code=200)
    return await answer_upload(
        resources,
        upload.principal,
        upload.request,
        committed.accepted.follower,
        collection=collection,
        same=committed.same,
        refused=batch.refused,
        headers=committed.accepted.headers,
    )


routes = Router("/", route_handlers=[upload_documents, upload_documents_as_admin], tags=["documents"])
