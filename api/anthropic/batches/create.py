"""Creates a batch of messages: its requests become a file as `/v1/batches` takes it, one request a line, which is deleted some
days later by itself."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from api.anthropic.batches.objects import write_batch_id
from api.auth.principals import Principal
from api.batches.jobs import submit_batch
from api.files.store import FileFields, keep_file
from api.http.bodies.json_body import JsonRequest
from api.resources import Resources
from schema.errors import HeadraceError, InputError
from schema.ids import new_id
from schema.queries.files.files import delete_file
from workers.batches.lines import MAX_LINES
from workers.uploads.batch import ReceivedFile

ROUTE = "POST /v1/messages/batches"
ENDPOINT = "/v1/messages"
INPUT_TTL_S = 3 * 24 * 3600
RESULTS_TTL_S = 29 * 24 * 3600
"""How long results are kept, as at Anthropic."""
CUSTOM_ID = "^[a-zA-Z0-9_-]{1,64}$"


class BatchRequestIn(msgspec.Struct, frozen=True):
    """A request of a batch."""

    custom_id: Annotated[
        str, Meta(max_length=64, pattern=CUSTOM_ID, description="Your name for it, unique in the batch.")
    ]
    params: Annotated[
        dict[str, Any],
        Meta(
            description="The request, as `POST /v1/messages` takes it, without `stream`. What is wrong with one is its result.",
        ),
    ]


class MessageBatchIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch to create."""

    requests: Annotated[
        list[Annotated[BatchRequestIn, Meta(extra={"max_bytes": 8 * 1024 * 1024})]],
        Meta(
            min_length=1,
            max_length=MAX_LINES,
            description="The requests; all together have at most HEADRACE_MAX_BODY.",
            extra={"max_bytes": 32 * 1024 * 1024},
        ),
    ]


async def create(resources: Resources, principal: Principal, request: JsonRequest, data: MessageBatchIn) -> UUID:
    """Create a batch and return its id. Raises InputError, StorageFull, QueueFull, Unavailable; then nothing is kept."""
    _check(data.requests)
    job_id = new_id()
    file_id = await _keep(resources, principal, job_id, data.requests)
    try:
        batch_id = await submit_batch(
            resources,
            principal,
            request,
            data,
            route=ROUTE,
            job_id=job_id,
            input_file_id=file_id,
            endpoint=ENDPOINT,
            output_ttl_s=RESULTS_TTL_S,
            total=len(data.requests),
        )
    except HeadraceError:
        await _forget(resources, principal, file_id)
        raise
    if batch_id != job_id:
        await _forget(resources, principal, file_id)
    return batch_id


def _check(requests: Sequence[BatchRequestIn]) -> None:
    """Raise InputError for what would fail the whole batch."""
    places: dict[str, int] = {}
    for place, one in enumerate(requests):
        if (first := places.setdefault(one.custom_id, place)) != place:
            message = f"requests[{place}].custom_id is that of requests[{first}]. Each must be there once."
            raise InputError(message, field=f"requests[{place}].custom_id")
        for name in ("stream", "background"):
            if one.params.get(name):
                field = f"requests[{place}].params.{name}"
                raise InputError(f"{field} must be left out: nobody waits for the answer to a request.", field=field)


async def _keep(resources: Resources, principal: Principal, job_id: UUID, requests: Sequence[BatchRequestIn]) -> UUID:
    """Keep the requests as a file and return its id."""
    async with resources.storage.staging.temporary_folder() as folder:
        path = folder / "requests"
        size, digest = await asyncio.to_thread(_write, path, requests)
        file = ReceivedFile(f"{write_batch_id(job_id)}.jsonl", path, size, digest)
        return await keep_file(resources, principal, file, FileFields("batch", INPUT_TTL_S))


def _write(path: Path, requests: Sequence[BatchRequestIn]) -> tuple[int, bytes]:
    """Write one request a line; return the file's size and SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for one in requests:
            line = {"custom_id": one.custom_id, "method": "POST", "url": ENDPOINT, "body": one.params}
            written = msgspec.json.encode(line) + b"\n"
            digest.update(written)
            file.write(written)
        return file.tell(), digest.digest()


async def _forget(resources: Resources, principal: Principal, file_id: UUID) -> None:
    async with principal.tx(resources.core.pool) as db:
        await delete_file(db, principal.tenant_id, file_id)
