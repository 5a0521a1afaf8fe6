"""`/v1/files`: keep, list, get, download and delete files, compatible with OpenAI's API."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream
from msgspec import Meta

from api.auth.principals import MayReadDocuments, MayWriteDocuments, Principal
from api.documents.content import BYTES, download_headers, start_reading
from api.files.store import LISTED, PURPOSES, receive_file
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.file_ids import no_file, parse_file_id, write_file_id
from api.openapi.operations import described
from api.resources import AppResources, Resources
from schema.errors import InputError
from schema.queries.files import files
from schema.queries.files.files import StoredFile

FILE_ID = "file-019a5c9e6f0a7c119f530c9d2f6f6b1e"
MAX_PAGE = 10_000
FileId = Annotated[str, PathParameter(max_length=64, description="Id of the file: `file-…`.")]


class FileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is kept here."""

    id: Annotated[str, Meta(description="Id of the file: `file-…`.")]
    object: Annotated[Literal["file"], Meta(description="Always `file`.")] = "file"
    bytes: Annotated[int, Meta(description="Size of the file.")]
    created_at: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    expires_at: Annotated[int | None, Meta(description="When it is deleted, in seconds since 1970; null for never.")]
    filename: Annotated[str, Meta(description="Name of the file.")]
    purpose: Annotated[str, Meta(description="What it is for.")]
    status: Annotated[Literal["processed"], Meta(description="Always `processed`.")] = "processed"


class FilesOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[FileOut], Meta(description="The files of this page.")]
    first_id: Annotated[str | None, Meta(description="Id of the first of them; null if there is none.")]
    last_id: Annotated[str | None, Meta(description="Id of the last of them; null if there is none.")]
    has_more: Annotated[bool, Meta(description="Whether there are others: send `last_id` as `after`.")]


class DeletedFileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was deleted."""

    id: Annotated[str, Meta(description="Id of the file.")]
    object: Annotated[Literal["file"], Meta(description="Always `file`.")] = "file"
    deleted: Annotated[bool, Meta(description="Always true.")] = True


FILE_EXAMPLE: dict[str, Any] = {
    "id": FILE_ID,
    "object": "file",
    "bytes": 175,
    "created_at": 1_777_882_530,
    "expires_at": None,
    "filename": "questions.jsonl",
    "purpose": "batch",
    "status": "processed",
}
FORM = Schema(
    type=OpenAPIType.OBJECT,
    required=["file", "purpose"],
    properties={
        "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="The file."),
        "purpose": Schema(type=OpenAPIType.STRING, enum=list(PURPOSES), description="What it is for."),
        "expires_after[anchor]": Schema(
            type=OpenAPIType.STRING, enum=["created_at"], description="From when the time counts."
        ),
        "expires_after[seconds]": Schema(
            type=OpenAPIType.INTEGER, description="How long it is kept: an hour to 30 days."
        ),
    },
)
BODY = RequestBody(content={"multipart/form-data": OpenAPIMediaType(schema=FORM)}, required=True)


@post(
    "/files",
    status_code=200,
    opt=described(body=BODY, response=FILE_EXAMPLE),
    responses=problems("storage_full", "body_too_large", "unsupported_media_type", "request_timeout"),
    request_max_body_size=None,  # counted while it arrives: `workers/uploads/batch.py`
    summary="Upload a file",
)
async def create_file(request: JsonRequest, principal: MayWriteDocuments, resources: AppResources) -> FileOut:
    """Keeps a file of any type; it counts against your tenant's storage. It is yours, or your tenant's if the key acts for the
    tenant. To search files, upload them as documents."""
    return _file_out(await _require_file(resources, principal, await receive_file(resources, principal, request)))


@get(
    "/files",
    opt=described(
        response={"object": "list", "data": [FILE_EXAMPLE], "first_id": FILE_ID, "last_id": FILE_ID, "has_more": False}
    ),
    responses=problems("not_found"),
    summary="List files",
)
async def list_files(
    principal: MayReadDocuments,
    resources: AppResources,
    purpose: Annotated[str | None, QueryParameter(max_length=40, description="Only files for this.")] = None,
    after: Annotated[str | None, QueryParameter(max_length=64, description="`last_id` of the page before.")] = None,
    order: Annotated[Literal["asc", "desc"], QueryParameter(description="By when they were created.")] = "desc",
    limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="How many.")] = 1000,
) -> FilesOut:
    """Newest first, unless `order` says otherwise."""
    if purpose is not None and purpose not in LISTED:
        raise InputError(f"purpose must be one of {', '.join(LISTED)}.", field="purpose")
    start = None if after is None else parse_file_id(after, "after")
    async with principal.tx(resources.core.pool) as db:
        rows = await files.list_files(
            db,
            principal.tenant_id,
            limit=limit + 1,
            after=start,
            newest_first=order == "desc",
            purpose=purpose,
            user_id=principal.visible_user_id,
        )
    page = [_file_out(row) for row in rows[:limit]]
    ids = [file.id for file in page] or [None]
    return FilesOut(data=page, first_id=ids[0], last_id=ids[-1], has_more=len(rows) > limit)


@get(
    "/files/{file_id:str}", opt=described(response=FILE_EXAMPLE), responses=problems("not_found"), summary="Get a file"
)
async def get_file(file_id: FileId, principal: MayReadDocuments, resources: AppResources) -> FileOut:
    """Returns what is known of a file; its content has an address of its own."""
    return _file_out(await _require_file(resources, principal, parse_file_id(file_id)))


@get(
    "/files/{file_id:str}/content",
    media_type=BYTES,
    opt=described(other_media_types={BYTES: Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)}),
    responses={
        200: ResponseSpec(
            bytes, description="The file, with its own media type.", media_type="*/*", generate_examples=False
        ),
        **problems("not_found", "unavailable"),
    },
    summary="Download a file",
)
async def get_file_content(file_id: FileId, principal: MayReadDocuments, resources: AppResources) -> Response[Any]:
    """Returns the bytes as they were uploaded."""
    file = await _require_file(resources, principal, parse_file_id(file_id))
    return Stream(await start_reading(resources.storage.read(file.stored_as)), headers=download_headers(file))


@delete(
    "/files/{file_id:str}",
    status_code=200,
    opt=described(response={"id": FILE_ID, "object": "file", "deleted": True}),
    responses=problems("not_found"),
    summary="Delete a file",
)
async def delete_file(file_id: FileId, principal: MayWriteDocuments, resources: AppResources) -> DeletedFileOut:
    """Deletes a file for good."""
    wanted = parse_file_id(file_id)
    async with principal.tx(resources.core.pool) as db:
        if not await files.delete_file(db, principal.tenant_id, wanted):
            raise no_file(file_id)
    return DeletedFileOut(id=file_id)


async def _require_file(resources: Resources, principal: Principal, file_id: UUID) -> StoredFile:
    async with principal.tx(resources.core.pool) as db:
        row = await files.find_file(db, principal.tenant_id, file_id)
    if row is None:
        raise no_file(write_file_id(file_id))
    return row


def _file_out(file: StoredFile) -> FileOut:
    return FileOut(
        id=write_file_id(file.id),
        bytes=file.size_bytes,
        created_at=int(file.created_at.timestamp()),
        expires_at=int(file.expires_at.timestamp()) if file.expires_at else None,
        filename=file.name,
        purpose=file.purpose,
    )


routes = Router("/", route_handlers=[create_file, list_files, get_file, get_file_content, delete_file], tags=["openai"])
