"""Request and response structs of documents, and conversion of rows."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.paging import NextCursor
from api.http.rows import from_row
from schema.errors import InputError
from schema.events import Reason
from schema.queries.documents.documents import Document
from schema.states import FileState

MAX_METADATA_BYTES = 16 * 1024
"""Bytes of one document's metadata as JSON."""

Metadata = Annotated[
    dict[str, Any],
    Meta(description="Your own key-value pairs to filter by; at most 16 KiB as JSON.", examples=[{"year": 2026}]),
]


class ProgressOut(msgspec.Struct, frozen=True):
    """How far the embedding of a document has come."""

    done: Annotated[int, Meta(description="Number of passages that are embedded.")]
    total: Annotated[int | None, Meta(description="Number of passages; null until it is known.")]


class DocumentOut(msgspec.Struct, frozen=True, kw_only=True):
    """A document, with the state of its newest version and the contents of the live one, which searches see."""

    id: Annotated[UUID, Meta(description="Id of the document.")]
    name: Annotated[str, Meta(description="File name, unique in the collection.")]
    title: Annotated[str, Meta(description="Title, from the file unless you set it.")]
    collection: Annotated[str, Meta(description="Name of the collection.")]
    state: Annotated[FileState, Meta(description="State of the newest version.")]
    stage: Annotated[str | None, Meta(description="`reading` or `embedding` while `state` is `running`, else null.")]
    progress: Annotated[ProgressOut, Meta(description="Progress of the newest version.")]
    error: Annotated[Reason | None, Meta(description="Why the newest version failed; null if it did not.")]
    notes: Annotated[list[str], Meta(description="What was left out of the newest version, such as unreadable pages.")]
    searchable: Annotated[bool, Meta(description="Whether there is a live version.")]
    version: Annotated[int, Meta(description="Number of the newest version, from 1.")]
    live_version: Annotated[int | None, Meta(description="Number of the version that searches see; null if none yet.")]
    size_bytes: Annotated[int, Meta(description="Size of the newest version in bytes.")]
    media_type: Annotated[str, Meta(description="Media type of the newest version, detected from its bytes.")]
    pages: Annotated[int | None, Meta(description="Pages of the live version; null if it has none.")]
    characters: Annotated[int, Meta(description="Length of the live version's text in characters.")]
    chunks: Annotated[int, Meta(description="Number of passages of the live version.")]
    language: Annotated[str | None, Meta(description="Language of the text, such as `en`; null if unknown.")]
    private: Annotated[bool, Meta(description="Whether only you can see the document.")]
    metadata: Annotated[dict[str, Any], Meta(description="Your own key-value pairs.")]
    source_url: Annotated[str | None, Meta(description="The URL it was fetched from; null if it was uploaded.")]
    created_at: Annotated[datetime, Meta(description="When it was first uploaded.")]
    updated_at: Annotated[datetime, Meta(description="When it was last changed.")]
    created_by: Annotated[str | None, Meta(description="User or key that uploaded it.")]
    job_id: Annotated[UUID, Meta(description="The job that ingests the newest version.")]


class DocumentsOut(msgspec.Struct, frozen=True):
    """A page of documents, newest first."""

    items: Annotated[list[DocumentOut], Meta(description="The documents of this page.")]
    next_cursor: NextCursor


class ChunkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A passage of a document, the unit of search."""

    place: Annotated[int, Meta(description="Position among the document's passages, from 0.")]
    text: Annotated[str, Meta(description="Text of the passage.")]
    heading: Annotated[str, Meta(description="Headings above the passage, joined by ` > `; empty if none.")]
    page: Annotated[int | None, Meta(description="First page of the passage; null if there are no pages.")]
    page_end: Annotated[int | None, Meta(description="Last page of the passage; null if there are no pages.")]
    start: Annotated[int, Meta(description="Offset of its first character in the document's text.")]
    stop: Annotated[int, Meta(description="Offset behind its last character in the document's text.")]


class ChunksOut(msgspec.Struct, frozen=True):
    """A page of passages, in the document's order."""

    items: Annotated[list[ChunkOut], Meta(description="The passages of this page.")]
    next_cursor: NextCursor


class DocumentChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a document. Fields that are omitted are not changed."""

    title: Annotated[str, Meta(max_length=500, description="New title.")] | UnsetType = UNSET
    metadata: (
        Annotated[
            dict[str, Any],
            Meta(
                description="New metadata; replaces all key-value pairs. At most 16 KiB as JSON.",
                examples=[{"year": 2026}],
                extra={"max_bytes": 64 * 1024},
            ),
        ]
        | UnsetType
    ) = UNSET
    private: Annotated[
        bool | UnsetType, Meta(description="`false` shares a private document with your tenant, for good.")
    ] = UNSET


class DocumentSelectionIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents: `ids`, or a `collection` with filters."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=1000, description="These documents.")] | None = None
    collection: (
        Annotated[str, Meta(max_length=64, description="Documents of the collection with this name.")] | None
    ) = None
    states: (
        Annotated[list[FileState], Meta(min_length=1, max_length=10, description="Only those in these states.")] | None
    ) = None
    search: (
        Annotated[str, Meta(max_length=300, description="Only those whose name or title contains this text.")] | None
    ) = None


class DeletedOut(msgspec.Struct, frozen=True):
    """The result of deleting documents."""

    deleted: Annotated[int, Meta(description="Number of documents that were deleted.")]
    more: Annotated[bool, Meta(description="Whether more documents match; call again to delete them.")]


DOCUMENT_EXAMPLE: dict[str, Any] = {
    "id": "019a5ca2-0b10-7d21-8e32-4f5061728394",
    "name": "pump-manual.pdf",
    "title": "Pump manual",
    "collection": "manuals",
    "state": "ready",
    "stage": None,
    "progress": {"done": 42, "total": 42},
    "error": None,
    "notes": [],
    "searchable": True,
    "version": 1,
    "live_version": 1,
    "size_bytes": 482_113,
    "media_type": "application/pdf",
    "pages": 18,
    "characters": 39_870,
    "chunks": 42,
    "language": "en",
    "private": False,
    "metadata": {"year": 2026},
    "source_url": None,
    "created_at": "2026-05-04T08:15:30Z",
    "updated_at": "2026-05-04T08:15:41Z",
    "created_by": "user:019a5c9e-1111-7c11-9f53-0c9d2f6f6b1e",
    "job_id": "019a5ca2-0b11-7a41-9c52-6d7e8f90a1b2",
}


def check_metadata(metadata: dict[str, Any], field: str = "metadata") -> None:
    """Raise InputError for metadata that is too large."""
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        raise InputError(f"{field} must not exceed {MAX_METADATA_BYTES // 1024} KiB as JSON.", field=field)


def document_out(row: Document) -> DocumentOut:
    """Return a document as it is shown."""
    return from_row(
        DocumentOut,
        row,
        stage=_stage(row),
        progress=ProgressOut(row.drafted, row.planned_chunks),
        error=Reason(row.error.get("code", "internal"), row.error.get("message", "")) if row.error else None,
        notes=row.notes or [],
        searchable=row.live_version is not None,
        private=row.user_id is not None,
    )


def _stage(row: Document) -> str | None:
    if row.state != "running":
        return None
    return "reading" if row.planned_chunks is None else "embedding"
