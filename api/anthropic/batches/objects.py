"""Batches of messages as they are sent, field by field as Anthropic's SDKs expect them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.errors import NotFound
from schema.queries.batches.batches import Batch

PREFIX = "msgbatch_"
BATCH_ID = f"{PREFIX}019a5c9e6f0a7c119f530c9d2f6f6b1e"
PATH = "/v1/messages/batches"

ProcessingStatus = Literal["in_progress", "canceling", "ended"]


class RequestCountsOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests. Until the batch has ended, all of them count as `processing`."""

    processing: Annotated[int, Meta(description="Those that wait or are being answered.")] = 0
    succeeded: Annotated[int, Meta(description="Those that were answered.")] = 0
    errored: Annotated[int, Meta(description="Those that failed.")] = 0
    canceled: Annotated[int, Meta(description="Those that were not executed because the batch was cancelled.")] = 0
    expired: Annotated[int, Meta(description="Those that were not executed within 24 hours.")] = 0


class MessageBatchOut(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of requests for messages."""

    id: Annotated[str, Meta(description=f"Id of the batch: `{PREFIX}` and the id of its job.")]
    type: Annotated[Literal["message_batch"], Meta(description="Always `message_batch`.")] = "message_batch"
    processing_status: Annotated[ProcessingStatus, Meta(description="State of the batch.")]
    request_counts: Annotated[RequestCountsOut, Meta(description="What became of the requests.")]
    created_at: Annotated[datetime, Meta(description="When it was created.")]
    expires_at: Annotated[datetime, Meta(description="When it expires: 24 hours after that.")]
    ended_at: Annotated[datetime | None, Meta(description="When it ended; null until then.")]
    cancel_initiated_at: Annotated[datetime | None, Meta(description="When it was cancelled; null if it was not.")]
    archived_at: Annotated[datetime | None, Meta(description="When its results were deleted; null until then.")]
    results_url: Annotated[
        str | None, Meta(description="Path of the results, below this server's address; null if there are none.")
    ]


class MessageBatchesOut(msgspec.Struct, frozen=True, kw_only=True):
    """A page of batches, newest first."""

    data: Annotated[list[MessageBatchOut], Meta(description="The batches.")]
    has_more: Annotated[bool, Meta(description="Whether there are more in the direction of the page.")]
    first_id: Annotated[str | None, Meta(description="The first batch of the page; send it as `before_id`.")]
    last_id: Annotated[str | None, Meta(description="The last batch of the page; send it as `after_id`.")]


class DeletedMessageBatchOut(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was deleted."""

    id: Annotated[str, Meta(description="Id of the batch.")]
    type: Annotated[Literal["message_batch_deleted"], Meta(description="Always `message_batch_deleted`.")] = (
        "message_batch_deleted"
    )


def parse_batch_id(batch_id: str, field: str | None = None) -> UUID:
    """Return the id as it is stored. Raises NotFound for one that can't be any batch's."""
    try:
        wanted = UUID(hex=batch_id.removeprefix(PREFIX))
    except ValueError:
        raise no_batch(batch_id, field) from None
    if batch_id != write_batch_id(wanted):
        raise no_batch(batch_id, field)
    return wanted


def write_batch_id(batch_id: UUID) -> str:
    """Return an id as clients see it."""
    return f"{PREFIX}{batch_id.hex}"


def no_batch(batch_id: str, field: str | None = None) -> NotFound:
    """Return the error for a batch that nobody may see."""
    return NotFound(f"No such batch: {batch_id[:80]!r}. GET {PATH} lists them.", field=field)


def message_batch_out(batch: Batch) -> MessageBatchOut:
    """Return a batch as it is sent."""
    archived_at = _archived_at(batch)
    has_results = batch.outcome is not None and archived_at is None
    return MessageBatchOut(
        id=write_batch_id(batch.id),
        processing_status=_status(batch),
        request_counts=_counts(batch),
        created_at=batch.created_at,
        expires_at=batch.deadline_at,
        ended_at=batch.ended_at,
        cancel_initiated_at=batch.cancelling_at,
        archived_at=archived_at,
        results_url=f"{PATH}/{write_batch_id(batch.id)}/results" if has_results else None,
    )


def _status(batch: Batch) -> ProcessingStatus:
    if batch.outcome is not None:
        return "ended"
    return "canceling" if batch.state == "cancelled" or batch.cancel_requested is not None else "in_progress"


def _counts(batch: Batch) -> RequestCountsOut:
    """Return what became of the requests: those that were never called are told apart by how the batch ended."""
    total = batch.total or 0
    if batch.outcome is None:
        return RequestCountsOut(processing=total)
    canceled = batch.uncalled or 0 if batch.outcome == "cancelled" else 0
    expired = batch.uncalled or 0 if batch.outcome == "expired" else 0
    errored = max(0, total - batch.completed - canceled - expired)
    return RequestCountsOut(succeeded=batch.completed, errored=errored, canceled=canceled, expired=expired)


def _archived_at(batch: Batch) -> datetime | None:
    """Return when the files of results went, if they are gone by their age."""
    if batch.ended_at is None or batch.output_ttl_s is None:
        return None
    until = batch.ended_at + timedelta(seconds=batch.output_ttl_s)
    return until if until <= datetime.now(UTC) else None


MESSAGE_BATCH_EXAMPLE: dict[str, Any] = {
    "id": BATCH_ID,
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 1000, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "created_at": "2026-05-04T08:15:30Z",
    "expires_at": "2026-05-05T08:15:30Z",
    "ended_at": None,
    "cancel_initiated_at": None,
    "archived_at": None,
    "results_url": None,
}
