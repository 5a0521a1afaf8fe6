"""Batches as they are sent, field by field as OpenAI's SDKs expect them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from api.http.file_ids import PREFIX as FILE_PREFIX
from schema.errors import NotFound
from schema.queries.batches.batches import Batch

PREFIX = "batch_"
BATCH_ID = "batch_019a5c9e6f0a7c119f530c9d2f6f6b1e"
WINDOW = "24h"

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]


class CountsOut(msgspec.Struct, frozen=True):
    """How far a batch is."""

    total: Annotated[int, Meta(description="Requests in the file; 0 until it is read.")]
    completed: Annotated[int, Meta(description="Those that were answered.")]
    failed: Annotated[int, Meta(description="Those that failed, or were never executed.")]


class BatchErrorOut(msgspec.Struct, frozen=True):
    """What is wrong with a batch, as a rule with a line of its file."""

    code: Annotated[str, Meta(description="Stable code, such as `invalid_json_line` or `duplicate_custom_id`.")]
    message: Annotated[str, Meta(description="What is wrong, for people.")]
    line: Annotated[int | None, Meta(description="Number of the line, from 1; null if it is not about one.")] = None
    param: Annotated[str | None, Meta(description="The field at fault; null if none is.")] = None


class BatchErrorsOut(msgspec.Struct, frozen=True, kw_only=True):
    """All that is wrong with a batch, a hundred errors at most."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[BatchErrorOut], Meta(description="The errors, by line.")]


class BatchOut(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of requests."""

    id: Annotated[str, Meta(description="Id of the batch: `batch_` and the id of its job.")]
    object: Annotated[Literal["batch"], Meta(description="Always `batch`.")] = "batch"
    endpoint: Annotated[str, Meta(description="The route that the requests are for.")]
    errors: Annotated[BatchErrorsOut | None, Meta(description="Why it failed; null if it did not.")]
    input_file_id: Annotated[str, Meta(description="The file with the requests.")]
    completion_window: Annotated[str, Meta(description="Always `24h`.")] = WINDOW
    status: Annotated[Status, Meta(description="State of the batch.")]
    output_file_id: Annotated[str | None, Meta(description="The file with the answers; null if there are none.")]
    error_file_id: Annotated[
        str | None, Meta(description="The file with what failed or was never executed; null if there is none.")
    ]
    created_at: Annotated[int, Meta(description="When it was created, in seconds since 1970.")]
    in_progress_at: Annotated[int | None, Meta(description="When its file was found valid.")]
    expires_at: Annotated[int, Meta(description="When it expires.")]
    finalizing_at: Annotated[int | None, Meta(description="When the last request had its answer.")]
    completed_at: Annotated[int | None, Meta(description="When it was completed.")]
    failed_at: Annotated[int | None, Meta(description="When it failed.")]
    expired_at: Annotated[int | None, Meta(description="When it expired.")]
    cancelling_at: Annotated[int | None, Meta(description="When it was cancelled.")]
    cancelled_at: Annotated[int | None, Meta(description="When all its requests had stopped after that.")]
    request_counts: Annotated[CountsOut, Meta(description="How far it is.")]
    usage: Annotated[
        dict[str, Any] | None, Meta(description="Tokens of all answers together; null until it has ended.")
    ]
    metadata: Annotated[dict[str, str] | None, Meta(description="As in the request.")]


class BatchesOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of batches."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[BatchOut], Meta(description="The batches of this page, newest first.")]
    first_id: Annotated[str | None, Meta(description="Id of the first of them; null if there is none.")]
    last_id: Annotated[str | None, Meta(description="Id of the last of them; null if there is none.")]
    has_more: Annotated[bool, Meta(description="Whether there are others: send `last_id` as `after`.")]


def parse_batch_id(batch_id: str, field: str | None = None) -> UUID:
    """Return the id as it is stored. Raises NotFound for one that can't be any batch's."""
    try:
        wanted = UUID(hex=batch_id.removeprefix(PREFIX))
    except ValueError:
        raise no_batch(batch_id, field) from None
    if batch_id != f"{PREFIX}{wanted.hex}":
        raise no_batch(batch_id, field)
    return wanted


def no_batch(batch_id: str, field: str | None = None) -> NotFound:
    """Return the error for a batch that nobody may see."""
    return NotFound(f"No such batch: {batch_id[:80]!r}. GET /v1/batches lists them.", field=field)


def batch_out(batch: Batch) -> BatchOut:
    """Return a batch as it is sent."""
    status = _status(batch)
    ended_at = {status: _seconds(batch.ended_at)} if batch.ended_at else {}
    errors = [BatchErrorOut(**error) for error in batch.errors or ()]
    return BatchOut(
        id=f"{PREFIX}{batch.id.hex}",
        endpoint=batch.endpoint,
        errors=BatchErrorsOut(data=errors) if errors else None,
        input_file_id=f"{FILE_PREFIX}{batch.input_file_id.hex}",
        status=status,
        output_file_id=_file_id(batch.output_file_id),
        error_file_id=_file_id(batch.error_file_id),
        created_at=int(batch.created_at.timestamp()),
        in_progress_at=_seconds(batch.started_at),
        expires_at=int(batch.deadline_at.timestamp()),
        finalizing_at=_seconds(batch.finalizing_at),
        cancelling_at=_seconds(batch.cancelling_at),
        completed_at=ended_at.get("completed"),
        failed_at=ended_at.get("failed"),
        expired_at=ended_at.get("expired"),
        cancelled_at=ended_at.get("cancelled"),
        request_counts=CountsOut(batch.total or 0, batch.completed, batch.failed),
        usage=batch.usage,
        metadata=batch.metadata,
    )


def _status(batch: Batch) -> Status:
    """Return the state of a batch, by how it ended, else by its job's and by how far it is."""
    if batch.outcome is not None:
        return batch.outcome
    if batch.state == "cancelled" or batch.cancel_requested is not None:
        return "cancelling"
    if batch.state in ("succeeded", "failed") or batch.finalizing_at is not None:
        return "finalizing"
    return "validating" if batch.started_at is None else "in_progress"


def _file_id(file_id: UUID | None) -> str | None:
    return None if file_id is None else f"{FILE_PREFIX}{file_id.hex}"


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


BATCH_EXAMPLE: dict[str, Any] = {
    "id": BATCH_ID,
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "errors": None,
    "input_file_id": "file-019a5c9e6f0a7c119f530c9d2f6f6b1e",
    "completion_window": WINDOW,
    "status": "in_progress",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1_777_882_530,
    "in_progress_at": 1_777_882_531,
    "expires_at": 1_777_968_930,
    "finalizing_at": None,
    "completed_at": None,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 1000, "completed": 412, "failed": 3},
    "usage": None,
    "metadata": {"run": "nightly"},
}
