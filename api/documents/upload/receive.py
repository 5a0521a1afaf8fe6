"""The body of an upload, read piece by piece: a form, or JSON that names addresses. Whatever comes, however slowly or for
however long, memory holds a few pieces of it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from litestar.exceptions import HTTPException, InternalServerException
from multipart import parse_options_header

from api.documents.upload.batch import Batch, storage_full, too_much
from api.documents.upload.fields import Fields, from_form, from_json
from api.documents.upload.multipart_parts import FormReader, checked_boundary
from api.http.json_body import JsonRequest, require_json
from api.settings import UploadLimits
from schema.errors import InputError

FORM = "multipart/form-data"
AROUND = 64 * 1024
"""What stands around the files of a form, roughly: a length that is larger than what is left by this much is refused unread."""


def check_head(request: JsonRequest, limits: UploadLimits, space: int | None) -> None:
    """Refuse what the head tells already. Raises HTTPException (413, 415), InputError, StorageFull."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != FORM:
        require_json(kind)
        return
    checked_boundary(options.get("boundary", ""))
    length = request.content_length
    if length is not None and length > limits.max_upload:
        raise too_much(limits)
    if space is not None and (space <= 0 or (length or 0) > space + AROUND):
        raise storage_full()


async def receive(request: JsonRequest, batch: Batch, *, max_body: int) -> Fields:
    """Read the body into the batch and return what it says. Raises InputError, StorageFull, HTTPException (413)."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    try:
        async with (
            asyncio.timeout(batch.limits.longest_s),
            aclosing(_chunks(request, batch.limits.silent_s)) as chunks,
        ):
            if kind == FORM:
                reader = FormReader(options.get("boundary", ""), batch)
                await reader.read(chunks)
                return from_form(reader.form, batch.limits)
            return from_json(await _whole(chunks, max_body), batch.limits)
    except TimeoutError:
        raise InputError("The body took too long to arrive. Send several smaller uploads.") from None


async def _whole(chunks: AsyncGenerator[bytes, None], max_body: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > max_body:
            raise HTTPException(status_code=413, detail="The body is too large for this server. Send less at once.")
    return bytes(body)


async def _chunks(request: JsonRequest, silent_s: float) -> AsyncGenerator[bytes, None]:
    """The pieces as they come. Raises InputError when no more come, whether the client is silent or gone."""
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(silent_s):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            if chunk:
                yield chunk
    except InternalServerException:
        raise InputError("The connection was closed before the body was complete.") from None
    finally:
        await stream.aclose()
