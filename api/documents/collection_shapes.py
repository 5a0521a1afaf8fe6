"""Collections on the wire, and how a row becomes one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from psycopg.rows import DictRow

from schema.queries.collections import CHUNK_CHARACTERS, CHUNK_OVERLAP

Description = Annotated[str, Meta(max_length=2000)]
Embedder = Annotated[str, Meta(max_length=200, description="One of this installation's: HEADRACE_EMBEDDERS.")]


class ChunkingIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How documents are cut: about so many characters a passage, of which so many are also the end of the one before."""

    characters: Annotated[int, Meta(ge=200, le=8000)] = CHUNK_CHARACTERS
    overlap: Annotated[int, Meta(ge=0, le=4000)] = CHUNK_OVERLAP


class CollectionIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new collection. Without an `embedder` it has the installation's first one."""

    name: Annotated[str, Meta(min_length=1, max_length=64, examples=["manuals"])]
    description: Description = ""
    chunking: ChunkingIn = ChunkingIn()
    embedder: Embedder | None = None


class CollectionChangeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes of a collection; its name stays for ever."""

    description: Description | UnsetType = UNSET
    chunking: ChunkingIn | UnsetType = UNSET
    embedder: Embedder | UnsetType = UNSET


class ChunkingOut(msgspec.Struct, frozen=True):
    """How documents are cut that are read from now on."""

    characters: int
    overlap: int


class StatesOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many documents there are by the state of their newest version."""

    queued: int = 0
    running: int = 0
    ready: int = 0
    failed: int = 0
    cancelled: int = 0


class ReembeddingOut(msgspec.Struct, frozen=True, kw_only=True):
    """The embedder that a collection is about to have, and how many of its passages are embedded by it."""

    embedder: str
    done: int
    total: int


class CollectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A collection and what is in it. `chunks`, `pages` and `characters` are of what is searched, `bytes` of all that is
    stored. `space` names what made the vectors that are searched; null before there are any."""

    id: UUID
    name: str
    description: str
    chunking: ChunkingOut
    embedder: str
    space: str | None
    reembedding: ReembeddingOut | None
    documents: int
    states: StatesOut
    chunks: int
    pages: int
    characters: int
    bytes: int
    created_at: datetime
    updated_at: datetime
    created_by: str | None


class CollectionChangedOut(CollectionOut, frozen=True, kw_only=True):
    """The same, with the job that embeds its passages anew, if this change needs one."""

    job_id: UUID | None


class CollectionsOut(msgspec.Struct, frozen=True):
    """A page of collections, by name."""

    items: list[CollectionOut]
    next_cursor: str | None


def collection_fields(row: DictRow, held: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a collection from its row and from what is in it (`measure_collections`)."""
    given = {**held, **row}
    reembedding = row["next_embedder"] and ReembeddingOut(
        embedder=row["next_embedder"], done=held["done"], total=held["chunks"]
    )
    return {name: given[name] for name in CollectionOut.__struct_fields__ if name in given} | {
        "chunking": ChunkingOut(row["chunk_characters"], row["chunk_overlap"]),
        "reembedding": reembedding or None,
        "states": StatesOut(**{name: held[name] for name in StatesOut.__struct_fields__}),
    }
