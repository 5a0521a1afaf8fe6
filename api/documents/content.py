"""Downloads a document as it was uploaded. Its bytes are untrusted: browsers must not run them, whatever their media type."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

from litestar import Response, Router, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import QueryParameter
from litestar.response import Stream

from api.auth.principals import MayReadDocuments
from api.documents.access import NO_DOCUMENT, DocumentId, require_document
from api.http.errors import problems
from api.openapi.operations import described
from api.resources import AppResources
from schema.errors import NotFound
from schema.queries.documents.documents import StoredVersion, find_stored_version
from schema.queries.files.files import StoredFile

BYTES = "application/octet-stream"
MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}(; ?charset=[A-Za-z0-9_-]{1,40})?")
UNSAFE = re.compile(r'[^\x20-\x7e]|["\\%;]')
MAX_VERSION = 2**31 - 1
NO_VERSION = "No such version of this document."


@get(
    "/{document_id:uuid}/content",
    media_type=BYTES,
    opt=described(other_media_types={BYTES: Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)}),
    responses={
        200: ResponseSpec(
            bytes, description="The file, with its own media type.", media_type="*/*", generate_examples=False
        ),
        **problems("not_found", "unavailable"),
    },
    summary="Download a document",
)
async def download_document(
    document_id: DocumentId,
    principal: MayReadDocuments,
    resources: AppResources,
    version: Annotated[
        int | None, QueryParameter(ge=1, le=MAX_VERSION, description="Number of a version; see below for the default.")
    ] = None,
) -> Response[Any]:
    """Returns the file as it was uploaded. The default is the live version, or the newest one if there is no live version."""
    async with principal.tx(resources.core.pool) as db:
        await require_document(db, principal, document_id)
        row = await find_stored_version(db, principal.tenant_id, document_id, version)
    if row is None:
        raise NotFound(NO_DOCUMENT if version is None else NO_VERSION, field="version" if version else None)
    # A failure before the first chunk can still be an error response.
    chunks = await start_reading(resources.storage.read(row.stored_as))
    return Stream(chunks, headers=download_headers(row))


async def start_reading(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the chunks once the first one has arrived. Raises what the storage raises if it can't be read."""
    first = await anext(chunks, b"")

    async def quoted_name() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return quoted_name()


def download_headers(row: StoredVersion | StoredFile) -> dict[str, str]:
    """Return headers that make browsers save the file, not open it. The name is sent twice: in ASCII for old clients, and in
    full (RFC 6266, RFC 8187)."""
    ascii_name, quoted_name = UNSAFE.sub("_", row.name), quote(row.name, safe="!#$&+-.^_`|~")
    return {
        "Content-Type": safe_media_type(row),
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quoted_name}",
        "Content-Length": str(row.size_bytes),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{row.sha256.hex()}"',
    }


def safe_media_type(row: StoredVersion | StoredFile) -> str:
    """Return the stored media type, or `application/octet-stream` if it isn't valid in a header."""
    return row.media_type if MEDIA_TYPE.fullmatch(row.media_type) else BYTES


routes = Router("/documents", route_handlers=[download_document], tags=["documents"])
