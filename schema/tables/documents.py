"""Collections, documents and their versions, their chunks and vectors, and the removal of stored files.

A document keeps its live version until the next one is complete. The chunks of a new version are prepared in `chunk_drafts`,
which is not searched; one transaction moves them to `chunks` and `chunk_vectors` and deletes the old ones
(`schema/queries/documents/document_publish.py`).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, LargeBinary, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlmodel import Field

from schema.states import FILE_STATES
from schema.tables.base import Table
from schema.tables.columns import json, tenant_key, timestamp, within_tenant

WORDS = (
    "(setweight(to_tsvector('headrace'::regconfig, (heading)::text), 'A'::\"char\") "
    "|| to_tsvector('headrace'::regconfig, (text)::text))"
)


def zero(*, big: bool = False) -> Any:
    """A counter that starts at 0."""
    return (
        Field(sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
        if big
        else Field(sa_column_kwargs={"server_default": text("0")})
    )


class Collection(Table, table=True):
    """A named set of documents with its chunk settings and embedder. `space` is the vector space that is searched;
    `next_space` the one that is being filled after a change of the embedder."""

    __tablename__ = "collections"
    __table_args__ = (Index("collections_name", "tenant_id", "name", unique=True),)

    tenant_id: UUID = tenant_key()
    id: UUID = Field(primary_key=True)
    name: str
    description: str = Field(sa_column_kwargs={"server_default": text("''")})
    chunk_characters: int
    chunk_overlap: int
    embedder: str
    space: int | None = Field(default=None, sa_type=SmallInteger, foreign_key="vector_spaces.id")
    next_embedder: str | None = None
    next_space: int | None = Field(default=None, sa_type=SmallInteger, foreign_key="vector_spaces.id")
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class Document(Table, table=True):
    """A document. With a `user_id` it is private to that user. `live_version` is the one that is searched, NULL before the
    first is ready; `pages`, `characters` and `chunks` are that version's."""

    __tablename__ = "documents"
    __table_args__ = (
        within_tenant(["collection_id"], "collections", keys=["id"]),
        within_tenant(["user_id"], "users", keys=["id"]),
        Index(
            "documents_name",
            "tenant_id",
            "collection_id",
            "name",
            text("coalesce(user_id, '00000000-0000-0000-0000-000000000000'::uuid)"),
            unique=True,
        ),
        Index("documents_of_collection", "tenant_id", "collection_id", "id"),
        Index("documents_of_owner", "tenant_id", "user_id", "id", postgresql_where=text("user_id IS NOT NULL")),
        Index("documents_private", "tenant_id", "id", postgresql_where=text("user_id IS NOT NULL")),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    collection_id: UUID
    user_id: UUID | None = None
    name: str
    title: str = Field(sa_column_kwargs={"server_default": text("''")})
    language: str | None = None
    properties: dict[str, Any] = Field(
        sa_column=Column("metadata", JSONB, nullable=False)
    )  # `metadata` is SQLAlchemy's
    source_url: str | None = None
    source_etag: str | None = None
    newest_version: int
    live_version: int | None = None
    pages: int | None = None
    characters: int = zero()
    chunks: int = zero()
    created_at: datetime = timestamp(default=True)
    updated_at: datetime = timestamp(default=True)
    created_by: str | None = None


class DocumentVersion(Table, table=True):
    """A version of a document: its stored file and the state of its ingestion (`schema/states.py`). `job_id` and `attempt` say
    who ingests it; `tries` counts its claims. `embedded` counts the newly embedded texts; the vectors of others were known."""

    __tablename__ = "document_versions"
    __table_args__ = (
        within_tenant(["document_id"], "documents", keys=["id"]),
        CheckConstraint(
            "state IN ({})".format(", ".join(f"'{state}'" for state in FILE_STATES)), name="versions_state"
        ),
        Index("document_versions_job", "tenant_id", "job_id", "state"),
        Index(
            *("document_versions_unready", "tenant_id", "state", "document_id"),
            postgresql_where=text("state <> 'ready'"),
        ),
        Index("document_versions_running", "tenant_id", "sha256", postgresql_where=text("state = 'running'")),
    )

    tenant_id: UUID = tenant_key(references=False)
    document_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    job_id: UUID
    place: int
    state: str
    attempt: int | None = None
    tries: int = zero()
    stored_as: str
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: bytes = Field(sa_type=LargeBinary)
    media_type: str
    error: dict[str, Any] | None = json()
    notes: list[str] | None = json()
    chunks: int | None = None
    drafted: int = zero()
    embedded: int = zero()
    created_at: datetime = timestamp(default=True)
    deadline_at: datetime | None = timestamp()
    started_at: datetime | None = timestamp()
    finished_at: datetime | None = timestamp()


class ChunkDraft(Table, table=True):
    """A chunk of a version that is not live yet, with its vector. A new attempt reuses the drafts of a killed worker."""

    __tablename__ = "chunk_drafts"
    __table_args__ = (
        within_tenant(["document_id", "version"], "document_versions", keys=["document_id", "version"]),
        Index("chunk_drafts_digest", "tenant_id", "digest"),
    )

    tenant_id: UUID = tenant_key(references=False)
    document_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True)
    place: int = Field(primary_key=True)
    text: str
    heading: str
    page: int | None = None
    page_end: int | None = None
    start: int
    stop: int
    digest: bytes = Field(sa_type=LargeBinary)
    space: int = Field(sa_type=SmallInteger)
    embedding: Any = Field(sa_type=HALFVEC(), nullable=False)


class Chunk(Table, table=True):
    """A passage of a live version. `start` and `stop` are its span in the document's text; `words` is for full-text search:
    without accents, stemmed, with a higher weight for headings."""

    __tablename__ = "chunks"
    __table_args__ = (
        within_tenant(["document_id"], "documents", keys=["id"]),
        Index("chunks_of_document", "tenant_id", "document_id", "place"),
        Index("chunks_digest", "tenant_id", "digest"),
        Index("chunks_words", "tenant_id", "words", postgresql_using="gin"),
    )

    tenant_id: UUID = tenant_key(references=False)
    id: UUID = Field(primary_key=True)
    document_id: UUID
    collection_id: UUID
    user_id: UUID | None = None
    place: int
    text: str
    heading: str
    page: int | None = None
    page_end: int | None = None
    start: int
    stop: int
    digest: bytes = Field(sa_type=LargeBinary)
    words: Any = Field(sa_type=TSVECTOR, sa_column_args=[Computed(WORDS, persisted=True)], nullable=True)


class ChunkVector(Table, table=True):
    """The vector of a chunk in one space. Each space is a partition, divided by tenant into eight, each with an HNSW index
    (`open_vector_space`)."""

    __tablename__ = "chunk_vectors"
    __table_args__ = (
        within_tenant(["chunk_id"], "chunks", keys=["id"]),
        Index("chunk_vectors_of_document", "tenant_id", "document_id"),
        Index("chunk_vectors_of_collection", "tenant_id", "collection_id"),
        {"postgresql_partition_by": "LIST (space)"},
    )

    tenant_id: UUID = tenant_key(references=False)
    chunk_id: UUID = Field(primary_key=True)
    space: int = Field(sa_type=SmallInteger, primary_key=True)
    document_id: UUID
    collection_id: UUID
    user_id: UUID | None = None
    embedding: Any = Field(sa_type=HALFVEC(), nullable=False)


class VectorSpace(Table, table=True):
    """A set of comparable vectors: their engine and model (`numpy/all-MiniLM-L6-v2`), and their length."""

    __tablename__ = "vector_spaces"

    id: int = Field(sa_type=SmallInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str = Field(unique=True)
    dimensions: int


class DocumentTotals(Table, table=True):
    """Totals of a tenant's documents, updated by triggers. `version` increases when searchable content changes, which
    invalidates cached answers."""

    __tablename__ = "knowledge"

    tenant_id: UUID = tenant_key()
    stored_bytes: int = zero(big=True)
    documents: int = zero()
    chunks: int = zero(big=True)
    version: int = zero(big=True)


class FileRemoval(Table, table=True):
    """A stored file to be deleted at `due_at`, unless an upload is committed that refers to it."""

    __tablename__ = "file_removals"
    __table_args__ = (Index("file_removals_due", "due_at"),)

    tenant_id: UUID = tenant_key(references=False)
    stored_as: str = Field(primary_key=True)
    due_at: datetime = timestamp(nullable=False)
