"""The results of a batch of messages, a JSON object a line: what the files of the batch say, in Anthropic's shape."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec

from api.http.vendor_formats.anthropic_errors import error_out
from api.resources import Resources
from schema.postgres.connections import tenant_tx
from schema.queries.batches.batches import Batch
from schema.queries.files.files import find_file
from workers.batches.results import UNCALLED

ENDS = {UNCALLED["cancelled"][0]: "canceled", UNCALLED["expired"][0]: "expired"}
"""What the code of a request that was never called is here."""


class _Response(msgspec.Struct, frozen=True):
    status_code: int
    request_id: str | None
    body: msgspec.Raw


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Line(msgspec.Struct, frozen=True):
    custom_id: str
    response: _Response | None
    error: _Error | None


_decode = msgspec.json.Decoder(_Line).decode


async def read_results(resources: Resources, tenant_id: UUID, batch: Batch) -> AsyncIterator[bytes]:
    """Yield the lines of a batch that has ended: answers first, then what failed or was never called. Raises Unavailable, and
    NotFound if a file was deleted meanwhile."""
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id is None:
            continue
        async with tenant_tx(resources.core.pool, tenant_id) as db:
            file = await find_file(db, tenant_id, file_id)
        if file is not None:
            async for line in _lines(resources.storage.read(file.stored_as)):
                yield result_line(line)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def result_line(line: bytes) -> bytes:
    """Return a line of a file of results in Anthropic's shape. Messages and errors are the route's, byte for byte."""
    read = _decode(line)
    return msgspec.json.encode({"custom_id": read.custom_id, "result": _result(read)}) + b"\n"


def _result(line: _Line) -> dict[str, Any]:
    if line.response is not None:
        if line.response.status_code == 200:
            return {"type": "succeeded", "message": line.response.body}
        return {"type": "errored", "error": line.response.body}
    error = line.error or _Error(*UNCALLED["completed"])
    if error.code in ENDS:
        return {"type": ENDS[error.code]}
    return {"type": "errored", "error": error_out(500, error.message, code=error.code, request_id="")}
