"""Documents on the wire, and how a row becomes one."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from schema.errors import InputError
from schema.events import Reason
from schema.states import FileState

MOST_METADATA = 16 * 1024
"""Bytes of one document's metadata as JSON."""

Metadata = Annotated[
    dict[str, Any],
    Meta(description="Whatever you want to find it by; at most 16 KiB as JSON.", examples=[{"year": 2026}]),
]


class ProgressOut(msgspec.Struct, frozen=True):
    """How many of its chunks are embedded; `total` is null until it is known how many there will be."""

    done: int
    total: int | None


class DocumentOut(msgspec.Struct, frozen=True, kw_only=True):
    """A document. `state`, `stage`, `progress`, `error`, `notes`, `size_bytes`, `media_type` and `job_id` are of its newest
    `version`; `pages`, `characters` and `chunks` of the `live_version`, which searches see. `stage` is `reading` or
    `embedding` while it runs; `notes` say what was left out."""

    id: UUID
    name: str
    title: str
    collection: str
    state: FileState
    stage: str | None
    progress: ProgressOut
    error: Reason | None
    notes: list[str]
    searchable: bool
    version: int
    live_version: int | None
    size_bytes: int
    media_type: str
    pages: int | None
    characters: int
    chunks: int
    language: str | None
    private: bool
    metadata: dict[str, Any]
    source_url: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    job_id: UUID


class DocumentsOut(msgspec.Struct, frozen=True):
    """A page of documents, those first that were uploaded last."""

    items: list[DocumentOut]
    next_cursor: str | None


class ChunkOut(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as it is searched; `start` and `stop` are its span in the document's text, in characters."""

    place: int
    text: str
    heading: str
    page: int | None
    page_end: int | None
    start: int
    stop: int


class ChunksOut(msgspec.Struct, frozen=True):
    """A page of passages, in the document's order."""

    items: list[ChunkOut]
    next_cursor: str | None


class DocumentChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a document. `metadata` takes the place of what was there; `private` can only be taken away."""

    title: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    private: bool | UnsetType = UNSET


class ChosenIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents: those of `ids`, or those of a `collection`, of which the rest chooses some."""

    ids: Annotated[list[UUID], Meta(min_length=1, max_length=1000)] | None = None
    collection: Annotated[str, Meta(max_length=64)] | None = None
    states: Annotated[list[FileState], Meta(min_length=1)] | None = None
    search: Annotated[str, Meta(max_length=300)] | None = None


class DeletedOut(msgspec.Struct, frozen=True):
    """How many documents are gone. `more`: there are others that fit; call again."""

    deleted: int
    more: bool


def check_metadata(metadata: dict[str, Any], field: str = "metadata") -> None:
    """Raise InputError for metadata that is too large."""
    if len(msgspec.json.encode(metadata)) > MOST_METADATA:
        raise InputError(
            f"{field} has more than {MOST_METADATA // 1024} KiB as JSON; keep what you search by.", field=field
        )


def document_of(row: DictRow) -> DocumentOut:
    """Return a document as it is shown."""
    same = {name: row[name] for name in DocumentOut.__struct_fields__ if name in row}
    reason = row["error"] and Reason(row["error"].get("code", "internal"), row["error"].get("message", ""))
    return DocumentOut(
        **same
        | {
            "stage": _stage(row),
            "progress": ProgressOut(row["drafted"], row["cut_into"]),
            "error": reason or None,
            "notes": row["notes"] or [],
            "searchable": row["live_version"] is not None,
            "private": row["user_id"] is not None,
        }
    )


def _stage(row: DictRow) -> str | None:
    if row["state"] != "running":
        return None
    return "reading" if row["cut_into"] is None else "embedding"
