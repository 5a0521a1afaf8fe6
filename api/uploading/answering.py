"""What an uploader is told: the documents, what was refused and why, and the job; or its events; or how it ended."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from api.answers import wait_for_answer
from api.errors import FieldErrorOut, JobEnded, ProblemOut
from api.following import follow_stream
from api.headers import read_preferences, wants_events
from api.principals import Principal
from api.requests import JsonRequest
from api.resources import Resources
from api.uploading.batch import TOO_LARGE, Refusal
from schema.queries.receiving import list_uploaded
from schema.states import FileState
from workers.follow import Follower
from workers.logs import masked


class UploadedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was uploaded. `unchanged`: it was there already, byte for byte, and no new version was made."""

    id: UUID
    name: str
    version: int
    state: FileState
    size_bytes: int
    media_type: str
    unchanged: bool = False


class RefusedFileOut(msgspec.Struct, frozen=True):
    """A file that was not taken: a stable code, and a sentence that says why."""

    name: str
    code: str
    message: str


class UploadOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an upload. `job_id` is the job that reads the documents, null when none is new."""

    job_id: UUID | None
    collection: str
    documents: list[UploadedOut]
    refused: list[RefusedFileOut]


TAKEN = ResponseSpec(UploadOut, description="The bytes are safe, and a job will read them.", generate_examples=False)
DONE = ResponseSpec(
    UploadOut,
    description="The job has ended (`Prefer: wait=N`), or nothing was new; or the job's events.",
    generate_examples=False,
)


async def answer_upload(
    resources: Resources,
    principal: Principal,
    request: JsonRequest,
    follower: Follower,
    *,
    collection: str,
    refused: Sequence[Refusal],
    same: Sequence[dict[str, Any]] = (),
    headers: dict[str, str] | None = None,
) -> Response[Any]:
    """Answer for a job in the manner that the request asks for: its events, its end, or (the usual one) at once."""
    preferences, status = read_preferences(request.headers), 202
    job_id, headers = follower.job_id, {"X-Job-ID": str(follower.job_id), **(headers or {})}
    if wants_events(request.headers):
        return follow_stream(resources, follower, headers)
    if preferences.wait_s and not preferences.respond_async:
        wait_s = min(preferences.wait_s, resources.settings.request_timeout_s)
        status = 200 if await _has_ended(follower, wait_s) else 202
    else:
        follower.close()
        headers |= {"Preference-Applied": "respond-async"} if preferences.respond_async else {}
    if status == 202:
        headers |= {"Retry-After": "1"}
    async with principal.tx(resources.ports.pool) as db:
        rows = await list_uploaded(db, principal.tenant_id, job_id)
    body = upload_out(job_id, collection, rows, same, refused)
    return Response(body, status_code=status, headers={**headers, "Location": f"/api/jobs/{job_id}"})


async def _has_ended(follower: Follower, wait_s: float) -> bool:
    """Wait for the end of a job; whether it came in time. However it ended, the documents tell what became of each."""
    try:
        return (await wait_for_answer(follower, wait_s)).state == "succeeded"
    except JobEnded:
        return True


def upload_out(
    job_id: UUID | None,
    collection: str,
    rows: Sequence[dict[str, Any]],
    same: Sequence[dict[str, Any]],
    refused: Sequence[Refusal],
) -> UploadOut:
    """Return the body of an answer."""
    documents = [UploadedOut(**row) for row in rows] + [UploadedOut(**row, unchanged=True) for row in same]
    return UploadOut(
        job_id=job_id,
        collection=collection,
        documents=documents,
        refused=[RefusedFileOut(one.name, one.code, one.message) for one in refused],
    )


def all_refused(request: JsonRequest, refused: Sequence[Refusal]) -> Response[ProblemOut]:
    """Return the answer when not one file was taken: 413 when all are too large, else 422."""
    status = 413 if all(one.code == TOO_LARGE for one in refused) else 422
    alone = refused[0] if len(refused) == 1 else None
    code = alone.code if alone else ("body_too_large" if status == 413 else "files_refused")
    said = alone.message if alone else f"None of the {len(refused):,} files can be taken; errors says why, for each."
    problem = ProblemOut(
        type=f"urn:headrace:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=masked(said),
        instance=masked(request.scope.get("asked_path", request.scope["path"])),
        code=code,
        request_id=request.request_id,
        errors=[FieldErrorOut(masked(one.name), masked(one.message)) for one in refused],
    )
    return Response(problem, status_code=status, media_type="application/problem+json")


TEXT = Schema(type=OpenAPIType.STRING)
COLLECTION = Schema(
    type=OpenAPIType.STRING,
    pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    default="default",
    description="The name of a collection; it is made when there is none.",
)
PRIVATE = Schema(
    type=OpenAPIType.BOOLEAN,
    default=False,
    description="Only you see the documents; for people, not for keys of a tenant.",
)
NAME = Schema(type=OpenAPIType.STRING, description="What the file is to be called, when it is a single one.")
VALUE = Schema(
    one_of=[
        TEXT,
        Schema(type=OpenAPIType.NUMBER),
        Schema(type=OpenAPIType.BOOLEAN),
        Schema(type=OpenAPIType.ARRAY, items=TEXT),
    ]
)
ADDRESS = Schema(type=OpenAPIType.STRING, min_length=1, max_length=2000)

BODY = RequestBody(
    required=True,
    content={
        "multipart/form-data": OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                properties={
                    "file": Schema(
                        type=OpenAPIType.ARRAY,
                        items=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY),
                        description="Files, or zips of files. Any part with a file name is one, whatever its field is called.",
                    ),
                    "url": Schema(type=OpenAPIType.ARRAY, items=ADDRESS, description="Addresses to fetch files from."),
                    "collection": COLLECTION,
                    "private": PRIVATE,
                    "metadata": Schema(type=OpenAPIType.STRING, description='A flat JSON object: `{"year": 2026}`.'),
                    "name": NAME,
                },
            )
        ),
        "application/json": OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                required=["urls"],
                additional_properties=False,
                properties={
                    "urls": Schema(type=OpenAPIType.ARRAY, items=ADDRESS, min_items=1, max_items=100),
                    "collection": COLLECTION,
                    "private": PRIVATE,
                    "metadata": Schema(type=OpenAPIType.OBJECT, additional_properties=VALUE),
                    "name": NAME,
                },
            )
        ),
    },
)
"""What an upload may be, for the document: its handler reads the body itself."""
