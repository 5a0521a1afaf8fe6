"""Builds the response to an upload: documents, refused files and the job; or its events; or its result."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from msgspec import Meta

from api.auth.principals import Principal
from api.chat.await_answer import wait_for_answer
from api.http.bodies.json_body import JsonRequest
from api.http.errors import FieldErrorOut, JobEnded, ProblemOut
from api.http.headers import read_preferences, wants_events
from api.http.rows import from_row
from api.jobs.event_stream import follow_stream
from api.resources import Resources
from schema.queries.documents.upload_checks import UploadedDocument, list_uploaded
from schema.states import FileState
from workers.logs import masked
from workers.stream.follow import Follower
from workers.uploads.batch import TOO_LARGE, Refusal


class UploadedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was uploaded."""

    id: Annotated[UUID, Meta(description="Id of the document.")]
    name: Annotated[str, Meta(description="File name.")]
    version: Annotated[int, Meta(description="Number of the version, from 1.")]
    state: Annotated[FileState, Meta(description="State of this version.")]
    size_bytes: Annotated[int, Meta(description="Size in bytes.")]
    media_type: Annotated[str, Meta(description="Media type, detected from the contents.")]
    unchanged: Annotated[
        bool, Meta(description="Whether the document already had exactly these bytes, so that no version was added.")
    ] = False


class RefusedFileOut(msgspec.Struct, frozen=True):
    """A file that was not accepted."""

    name: Annotated[str, Meta(description="File name, or the URL.")]
    code: Annotated[str, Meta(description="Stable code, such as `too_large` or `unsupported`.")]
    message: Annotated[str, Meta(description="Why the file was not accepted, for people.")]


class UploadOut(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an upload."""

    job_id: Annotated[UUID | None, Meta(description="The job that ingests the documents; null if none is new.")]
    collection: Annotated[str, Meta(description="Name of the collection.")]
    documents: Annotated[list[UploadedOut], Meta(description="The documents that were accepted.")]
    refused: Annotated[list[RefusedFileOut], Meta(description="The files that were not accepted.")]


async def upload_response(
    resources: Resources,
    principal: Principal,
    request: JsonRequest,
    follower: Follower,
    *,
    collection: str,
    refused: Sequence[Refusal],
    same: Sequence[UploadedDocument] = (),
    headers: dict[str, str] | None = None,
    later: bool = False,
) -> Response[Any]:
    """Respond in the mode that the request selects: stream the job's events, wait for its end, or (by default, and for a job
    that runs `later`) at once."""
    preferences, status = read_preferences(request.headers), 202
    job_id, headers = follower.job_id, {"X-Job-ID": str(follower.job_id), **(headers or {})}
    if wants_events(request.headers):
        return follow_stream(resources, follower, headers)
    if preferences.wait_s and not preferences.respond_async and not later:
        wait_s = min(preferences.wait_s, resources.settings.request_timeout_s)
        status = 200 if await _has_ended(resources, follower, wait_s) else 202
    else:
        follower.close()
        headers |= {"Preference-Applied": "respond-async"} if preferences.respond_async else {}
    if status == 202:
        headers |= {"Retry-After": "1"}
    async with principal.tx(resources.core.pool) as db:
        rows = await list_uploaded(db, principal.tenant_id, job_id)
    body = upload_out(job_id, collection, rows, same, refused)
    return Response(body, status_code=status, headers={**headers, "Location": f"/api/jobs/{job_id}"})


async def _has_ended(resources: Resources, follower: Follower, wait_s: float) -> bool:
    """Wait for the end of a job and return whether it came in time. Failures are in the state of each document."""
    try:
        return (await wait_for_answer(follower, wait_s, resources.shutdown)).state == "succeeded"
    except JobEnded:
        return True


def upload_out(
    job_id: UUID | None,
    collection: str,
    rows: Sequence[UploadedDocument],
    same: Sequence[UploadedDocument],
    refused: Sequence[Refusal],
) -> UploadOut:
    """Return the body of the response."""
    documents = [from_row(UploadedOut, row) for row in rows]
    documents += [from_row(UploadedOut, row, unchanged=True) for row in same]
    return UploadOut(
        job_id=job_id,
        collection=collection,
        documents=documents,
        refused=[RefusedFileOut(refusal.name, refusal.code, refusal.message) for refusal in refused],
    )


def all_refused_response(request: JsonRequest, refused: Sequence[Refusal]) -> Response[ProblemOut]:
    """Return the response if no file was accepted: 413 if all are too large, else 422."""
    status = 413 if all(refusal.code == TOO_LARGE for refusal in refused) else 422
    only = refused[0] if len(refused) == 1 else None
    code = only.code if only else ("body_too_large" if status == 413 else "files_refused")
    message = only.message if only else f"None of the {len(refused):,} files was accepted. See errors for each of them."
    problem = ProblemOut(
        type=f"urn:headrace:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=masked(message),
        instance=masked(request.scope.get("original_path", request.scope["path"])),
        code=code,
        request_id=request.request_id,
        errors=[FieldErrorOut(masked(refusal.name), masked(refusal.message)) for refusal in refused],
    )
    return Response(problem, status_code=status, media_type="application/problem+json")
