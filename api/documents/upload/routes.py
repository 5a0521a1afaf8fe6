"""`POST /api/documents`: uploads files. The response is sent once their bytes are stored; a job ingests them.

This module has the order of the steps; the steps themselves are in the modules beside it.
"""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, Router, post

from api.auth.principals import MayManageDocuments, MayWriteDocuments, Principal
from api.documents.upload.commit import Upload, commit
from api.documents.upload.documentation import ACCEPTED_202, BODY, OK_200, UNCHANGED_EXAMPLE
from api.documents.upload.fields import Fields, check_name, check_private
from api.documents.upload.receive import check_headers, receive
from api.documents.upload.response import all_refused_response, upload_out, upload_response
from api.http.bodies.json_body import JsonRequest
from api.http.errors import FILE_CODES, problems
from api.http.headers import read_idempotency
from api.http.sse import EVENT_STREAM
from api.jobs.run_at import read_run_at
from api.openapi.headers import JOB_REQUEST_HEADERS, JOB_RESPONSE_HEADERS
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import read_callback
from schema.errors import InputError, QueueFull
from schema.queries.documents.upload_checks import is_queue_full
from schema.queries.documents.uploads import find_free_storage
from schema.queries.jobs.submissions import QUEUE_IS_FULL, Idempotency, find_keyed_job
from workers.stream.follow import Follower
from workers.uploads.batch import Batch
from workers.uploads.classify import UploadClassifier
from workers.uploads.fetch import fetch_files

ROUTE = "POST /api/documents"
DESCRIPTION = """Uploads files or zip archives of files, or fetches them from URLs, and starts a job that ingests them. File
types are detected from the contents. A file that cannot be accepted is listed in `refused`; the others are ingested.

Returns `202` with the job as soon as the bytes are stored. `Accept: text/event-stream` streams the job's events instead;
`Prefer: wait=N` waits for the job to end, at most N seconds.

A file with the name of an existing document becomes its next version; the old version stays searchable until the new one is
ready. Identical bytes change nothing; if all files are identical, `200` is returned. Repeating an upload with the same
`Idempotency-Key` returns the same job."""
FETCH_ERRORS = ((422, "egress_refused"), (422, "egress_failed"))
UPLOAD_ERRORS = (
    *("not_found", "conflict", "storage_full", "body_too_large", "too_large", "unsupported_media_type"),
    "request_timeout",
    *("egress_refused", "idempotency_key_reused", "queue_full", *FILE_CODES, *FETCH_ERRORS),
)
ROUTE_OPTIONS: dict[str, Any] = {
    "status_code": 200,
    "opt": described(
        response=UNCHANGED_EXAMPLE,
        other_media_types={EVENT_STREAM: EVENTS},
        body=BODY,
        request_headers=JOB_REQUEST_HEADERS,
        response_headers=JOB_RESPONSE_HEADERS,
    ),
    "responses": {
        200: OK_200,
        202: ACCEPTED_202,
        **problems(*UPLOAD_ERRORS),
    },
    "request_max_body_size": None,  # counted while they arrive: `workers/uploads/batch.py`
    "description": DESCRIPTION,
}


class Fingerprint(msgspec.Struct, frozen=True, omit_defaults=True):
    """What makes two uploads the same: names and hashes of the files, and the fields."""

    files: list[tuple[str, str]]
    urls: tuple[str, ...]
    collection: str
    private: bool
    metadata: dict[str, Any]
    name: str | None
    callback_url: str | None = None
    run_at: datetime | None = None


@post(["/documents", "/upload", "/files/upload"], summary="Upload documents", **ROUTE_OPTIONS)
async def upload_documents(
    request: JsonRequest, principal: MayWriteDocuments, resources: AppResources
) -> Response[Any]:
    return await _upload(request, principal, resources)


@post("/admin/knowledge/upload", summary="Upload documents as an admin", **ROUTE_OPTIONS)
async def upload_documents_as_admin(
    request: JsonRequest, principal: MayManageDocuments, resources: AppResources
) -> Response[Any]:
    return await _upload(request, principal, resources)


async def _upload(request: JsonRequest, principal: Principal, resources: Resources) -> Response[Any]:
    limits = resources.settings.uploads
    space = await _find_space(principal, resources)
    check_headers(request, limits, space)
    async with resources.storage.staging.temporary_folder() as folder:
        batch = Batch(folder, limits, space)
        fields = await receive(request, batch, max_body=resources.settings.max_body)
        _check_fields(fields, batch, principal)
        callback = await read_callback(resources, principal, request.headers, fields.callback_url)
        run_at = read_run_at(request.headers, fields.run_at)
        key = _idempotency(request, principal, fields, batch, run_at)
        classifier = UploadClassifier(batch, fields.name)
        await classifier.classify_new()
        if key is not None and (earlier_job := await _follow_earlier_job(principal, resources, key)):
            return await upload_response(
                resources,
                principal,
                request,
                earlier_job,
                collection=fields.collection,
                refused=batch.refused,
                later=run_at is not None,
            )
        await fetch_files(fields.urls, batch, await resources.egress.policy(principal.tenant_id, "documents"))
        await classifier.classify_new()
        if not classifier.files:
            return all_refused_response(request, batch.refused)
        upload = Upload(request, principal, fields, classifier.files, key, callback, run_at)
        return await _commit(resources, upload, batch)


async def _find_space(principal: Principal, resources: Resources) -> int | None:
    """Return how many bytes the tenant may still store. Raises QueueFull, before anything of the body is read."""
    async with principal.tx(resources.core.pool) as db:
        if await is_queue_full(db, principal.tenant_id):
            raise QueueFull(QUEUE_IS_FULL)
        return await find_free_storage(db, principal.tenant_id)


def _check_fields(fields: Fields, batch: Batch, principal: Principal) -> None:
    check_private(fields, principal)
    file_count = len(batch.received) + len(batch.refused) + len(fields.urls)
    if not file_count:
        raise InputError("Nothing was uploaded. Send files as multipart/form-data, or urls as JSON.", field="files")
    check_name(fields, file_count)


def _idempotency(
    request: JsonRequest, principal: Principal, fields: Fields, batch: Batch, run_at: datetime | None
) -> Idempotency | None:
    """Return the idempotency key with a fingerprint of the upload. For URLs, the URL counts and not its content."""
    files = [(file.name, file.sha256.hex()) for file in batch.received]
    fingerprint = Fingerprint(
        files=files + [(refusal.name, refusal.code) for refusal in batch.refused],
        urls=fields.urls,
        collection=fields.collection,
        private=fields.private,
        metadata=dict(sorted(fields.metadata.items())),
        name=fields.name,
        callback_url=fields.callback_url,
        run_at=run_at,
    )
    return read_idempotency(request.headers, ROUTE, fingerprint, visible_user_id=principal.visible_user_id)


async def _follow_earlier_job(principal: Principal, resources: Resources, key: Idempotency) -> Follower | None:
    """Return a follower of the job that the key created before; None if there is none. Raises IdempotencyReused."""
    async with principal.tx(resources.core.pool) as db:
        job_id = await find_keyed_job(db, principal.tenant_id, key)
    return job_id and await resources.core.hub.join(
        principal.tenant_id, job_id, visible_user_id=principal.visible_user_id
    )


async def _commit(resources: Resources, upload: Upload, batch: Batch) -> Response[Any]:
    committed, collection = await commit(resources, upload), upload.fields.collection
    batch.refused += committed.refused
    if committed.accepted is None and not committed.same:
        return all_refused_response(upload.request, batch.refused)
    if committed.accepted is None:
        # The same upload, sent twice concurrently, may have created these documents meanwhile.
        if upload.idempotency is not None:
            earlier_job = await _follow_earlier_job(upload.principal, resources, upload.idempotency)
            if earlier_job is not None:
                return await upload_response(
                    resources,
                    upload.principal,
                    upload.request,
                    earlier_job,
                    collection=collection,
                    refused=batch.refused,
                    later=upload.run_at is not None,
                )
        return Response(upload_out(None, collection, [], committed.same, batch.refused), status_code=200)
    return await upload_response(
        resources,
        upload.principal,
        upload.request,
        committed.accepted.follower,
        collection=collection,
        same=committed.same,
        refused=batch.refused,
        headers=committed.accepted.headers,
        later=upload.run_at is not None,
    )


routes = Router("/", route_handlers=[upload_documents, upload_documents_as_admin], tags=["documents"])
