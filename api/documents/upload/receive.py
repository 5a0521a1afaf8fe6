"""Reads the body of an upload, chunk by chunk: a form, or JSON with URLs. Only a few chunks are in memory at a time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from litestar.exceptions import HTTPException, InternalServerException
from multipart import parse_options_header

from api.documents.upload.fields import Fields, from_form, from_json
from api.documents.upload.multipart_parts import FormReader, checked_boundary
from api.http.bodies.json_body import JsonRequest, require_json
from schema.errors import InputError
from workers.uploads.batch import Batch, storage_full, upload_too_large
from workers.uploads.limits import UploadLimits

FORM = "multipart/form-data"
FORM_OVERHEAD = 64 * 1024
"""Allowance for the parts of a form that aren't files, when Content-Length is compared with the storage that is left."""


def check_headers(request: JsonRequest, limits: UploadLimits, space: int | None) -> None:
    """Refuse a request by its headers. Raises UploadTooLarge, HTTPException (415), InputError, StorageFull."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != FORM:
        require_json(kind)
        return
    checked_boundary(options.get("boundary", ""))
    length = request.content_length
    if length is not None and length > limits.max_upload:
        raise upload_too_large(limits)
    if space is not None and (space <= 0 or (length or 0) > space + FORM_OVERHEAD):
        raise storage_full()


async def receive(request: JsonRequest, batch: Batch, *, max_body: int) -> Fields:
    """Read the body into the batch and return its fields. Raises InputError, StorageFull, UploadTooLarge and HTTPException
    (413)."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    try:
        async with (
            asyncio.timeout(batch.limits.longest_s),
            aclosing(_chunks(request)) as chunks,
        ):
            if kind == FORM:
                return from_form(await _read_form(options, chunks, batch), batch.limits)
            return from_json(await _read_all(request, chunks, max_body), batch.limits)
    except TimeoutError:
        raise InputError("The body took too long to arrive. Send several smaller uploads.") from None


async def receive_form(request: JsonRequest, batch: Batch) -> list[tuple[str, str]]:
    """Read a form into the batch and return its fields as they came. Raises InputError, StorageFull and UploadTooLarge."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != FORM:
        raise InputError(f"The body must be {FORM}.", field="Content-Type")
    try:
        async with asyncio.timeout(batch.limits.longest_s), aclosing(_chunks(request)) as chunks:
            return await _read_form(options, chunks, batch)
    except TimeoutError:
        raise InputError("The body took too long to arrive. Send a smaller file.") from None


async def _read_form(
    options: dict[str, str], chunks: AsyncGenerator[bytes, None], batch: Batch
) -> list[tuple[str, str]]:
    reader = FormReader(options.get("boundary", ""), batch)
    await reader.read(chunks)
    return reader.form


async def _read_all(request: JsonRequest, chunks: AsyncGenerator[bytes, None], max_body: int) -> bytes:
    body = bytearray()
    with request.counted() as reading:
        async for chunk in chunks:
            reading.add(len(chunk))
            body += chunk
            if len(body) > max_body:
                limit = f"{max_body:,} bytes, the limit of this installation (HEADRACE_MAX_BODY)"
                raise HTTPException(status_code=413, detail=f"The JSON exceeds {limit}. Send less at once.")
    return bytes(body)


async def _chunks(request: JsonRequest) -> AsyncGenerator[bytes, None]:
    """Yield chunks as they arrive. Raises InputError if the client disconnects; `connections.py` ends silent ones."""
    stream = request.stream()
    try:
        while True:
            chunk = await anext(stream, None)
            if chunk is None:
                return
            if chunk:
                yield chunk
    except InternalServerException:
        raise InputError("The connection was closed before the body was complete.") from None
    finally:
        await stream.aclose()
