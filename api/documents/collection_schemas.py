"""Request and response structs of collections, and conversion of rows."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from api.http.paging import NextCursor
from api.http.rows import from_row
from schema.queries.documents.collections import CHUNK_CHARACTERS, CHUNK_OVERLAP, Collection, CollectionContents

Description = Annotated[str, Meta(max_length=2000, description="What the collection is for.")]
Embedder = Annotated[
    str, Meta(max_length=200, description="Embedder: one that this installation offers (`HEADRACE_EMBEDDERS`).")
]
CHUNKING = "How documents are split into passages."


class ChunkingIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How documents are split into passages."""

    characters: Annotated[int, Meta(ge=200, le=8000, description="Approximate length of a passage in characters.")] = (
        CHUNK_CHARACTERS
    )
    overlap: Annotated[
        int,
        Meta(ge=0, le=4000, description="Characters repeated from the previous passage; less than half its length."),
    ] = CHUNK_OVERLAP


class CollectionIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new collection."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            examples=["manuals"],
            description="Name: letters a to z, digits, `.`, `_` and `-`, starting with a letter or digit. Cannot be changed.",
        ),
    ]
    description: Description = ""
    chunking: Annotated[ChunkingIn, Meta(description=CHUNKING)] = ChunkingIn()
    embedder: Embedder | None = None


class CollectionChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a collection. Fields that are omitted are not changed."""

    description: Description | UnsetType = UNSET
    chunking: Annotated[ChunkingIn | UnsetType, Meta(description=CHUNKING)] = UNSET
    embedder: Embedder | UnsetType = UNSET


class ChunkingOut(msgspec.Struct, frozen=True):
    """How documents are split into passages."""

    characters: Annotated[int, Meta(description="Approximate length of a passage in characters.")]
    overlap: Annotated[int, Meta(description="Characters repeated from the previous passage.")]


class StatesOut(msgspec.Struct, frozen=True, kw_only=True):
    """Number of documents by the state of their newest version."""

    queued: Annotated[int, Meta(description="Waiting to be ingested.")] = 0
    running: Annotated[int, Meta(description="Being ingested.")] = 0
    ready: Annotated[int, Meta(description="Ingested.")] = 0
    failed: Annotated[int, Meta(description="Could not be ingested.")] = 0
    cancelled: Annotated[int, Meta(description="Cancelled before they were ingested.")] = 0


class ReembeddingOut(msgspec.Struct, frozen=True, kw_only=True):
    """How far the change to another embedder has come."""

    embedder: Annotated[str, Meta(description="The new embedder.")]
    done: Annotated[int, Meta(description="Number of passages that it has embedded.")]
    total: Annotated[int, Meta(description="Number of passages of the collection.")]


class CollectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A collection of documents, with figures of the documents that you can see."""

    id: Annotated[UUID, Meta(description="Id of the collection.")]
    name: Annotated[str, Meta(description="Name, unique in the tenant.")]
    description: Annotated[str, Meta(description="What the collection is for.")]
    chunking: Annotated[ChunkingOut, Meta(description=CHUNKING)]
    embedder: Annotated[str, Meta(description="The embedder.")]
    space: Annotated[
        str | None, Meta(description="Model that made the vectors being searched; null before there are any.")
    ]
    reembedding: Annotated[ReembeddingOut | None, Meta(description="A change of embedder in progress; null if none.")]
    documents: Annotated[int, Meta(description="Number of documents.")]
    states: Annotated[StatesOut, Meta(description="Number of documents by state.")]
    chunks: Annotated[int, Meta(description="Number of searchable passages.")]
    pages: Annotated[int, Meta(description="Number of searchable pages.")]
    characters: Annotated[int, Meta(description="Length of the searchable text in characters.")]
    bytes: Annotated[int, Meta(description="Size of all stored files in bytes, earlier versions included.")]
    created_at: Annotated[datetime, Meta(description="When the collection was created.")]
    updated_at: Annotated[datetime, Meta(description="When its settings were last changed.")]
    created_by: Annotated[str | None, Meta(description="User or key that created it.")]


class CollectionChangedOut(CollectionOut, frozen=True, kw_only=True):
    """A collection after a change."""

    job_id: Annotated[UUID | None, Meta(description="Job that embeds the passages again; null if none is needed.")]


class CollectionsOut(msgspec.Struct, frozen=True):
    """A page of collections, by name."""

    items: Annotated[list[CollectionOut], Meta(description="The collections of this page.")]
    next_cursor: NextCursor
    embedders: Annotated[
        list[str], Meta(description="Embedders that a collection can have here; the first is the default.")
    ]


COLLECTION_EXAMPLE: dict[str, Any] = {
    "id": "019a5ca1-7e10-7b31-8f42-5a6172839405",
    "name": "manuals",
    "description": "Operating manuals of our machines.",
    "chunking": {"characters": CHUNK_CHARACTERS, "overlap": CHUNK_OVERLAP},
    "embedder": "minilm",
    "space": "numpy/all-MiniLM-L6-v2",
    "reembedding": None,
    "documents": 12,
    "states": {"queued": 0, "running": 1, "ready": 10, "failed": 1, "cancelled": 0},
    "chunks": 431,
    "pages": 187,
    "characters": 402_315,
    "bytes": 5_812_440,
    "created_at": "2026-05-04T08:10:00Z",
    "updated_at": "2026-05-04T08:10:00Z",
    "created_by": "user:019a5c9e-1111-7c11-9f53-0c9d2f6f6b1e",
}


def collection_out(row: Collection, contents: CollectionContents) -> CollectionOut:
    """Return a collection as it is shown, with what is in it (`measure_collections`)."""
    reembedding = None
    if row.next_embedder is not None:
        reembedding = ReembeddingOut(embedder=row.next_embedder, done=contents.done, total=contents.chunks)
    return from_row(
        CollectionOut,
        row,
        chunking=ChunkingOut(row.chunk_characters, row.chunk_overlap),
        reembedding=reembedding,
        states=from_row(StatesOut, contents),
        documents=contents.documents,
        chunks=contents.chunks,
        pages=contents.pages,
        characters=contents.characters,
        bytes=contents.bytes,
    )
