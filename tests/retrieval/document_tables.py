"""Inserts documents straight into the tables, without upload or ingestion, so that searches can be tested and measured."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.queries.documents.vector_spaces import to_pgvector

MINILM = "numpy/all-MiniLM-L6-v2"


@dataclass(frozen=True, kw_only=True)
class DocumentRows:
    """A document: its passages, each with a vector or none at all."""

    name: str
    passages: Sequence[str]
    vectors: Sequence[Sequence[float]] = ()
    headings: Sequence[str] = ()
    user_id: UUID | None = None
    language: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None


class DocumentTables:
    """A tenant's documents. `database_url` connects as the tables' owner."""

    def __init__(self, database_url: str, tenant_id: UUID) -> None:
        self.database_url, self.tenant_id = database_url, tenant_id

    def space(self, name: str, dimensions: int) -> int:
        """Open a vector space and return its id."""
        with self._connect() as db:
            row = db.execute("SELECT open_vector_space(%s, %s) AS id", (name, dimensions)).fetchone()
        assert row is not None
        return row["id"]

    def collection(self, name: str, *, space: int | None = None, embedder: str = MINILM, **columns: Any) -> UUID:
        """Add a collection."""
        collection_id = new_id()
        about = {"chunk_characters": 1000, "chunk_overlap": 200, "space": space, "embedder": embedder, **columns}
        with self._connect() as db:
            _insert(db, "collections", tenant_id=self.tenant_id, id=collection_id, name=name, **about)
        return collection_id

    def add(self, collection_id: UUID, *documents: DocumentRows, space: int | None = None) -> dict[str, list[UUID]]:
        """Insert documents as if they had been ingested; return the ids of their chunks by name."""
        with self._connect() as db:
            return {document.name: self._add(db, collection_id, document, space) for document in documents}

    def document_id(self, name: str) -> UUID:
        """Return the id of a document."""
        sql = "SELECT id FROM documents WHERE tenant_id = %s AND name = %s"
        with self._connect() as db:
            row = db.execute(sql, (self.tenant_id, name)).fetchone()
        assert row is not None
        return row["id"]

    def embed(self, space: int, vectors: Mapping[UUID, Sequence[float]]) -> None:
        """Add the vectors of chunks in another space."""
        sql = """INSERT INTO chunk_vectors (tenant_id, chunk_id, space, document_id, collection_id, user_id, embedding)
          SELECT tenant_id, id, %s, document_id, collection_id, user_id, %s::halfvec FROM chunks WHERE id = %s"""
        with self._connect() as db:
            for chunk_id, values in vectors.items():
                db.execute(sql, (space, to_pgvector(values), chunk_id))

    def _add(
        self, db: psycopg.Connection[dict[str, Any]], collection_id: UUID, document: DocumentRows, space: int | None
    ) -> list[UUID]:
        document_id, owner = new_id(), {"tenant_id": self.tenant_id, "user_id": document.user_id}
        about: dict[str, Any] = {"name": document.name, "language": document.language}
        about |= {"created_at": document.created_at} if document.created_at else {}
        about |= {"metadata": Jsonb(dict(document.metadata)), "newest_version": 1, "live_version": 1}
        chunks = len(document.passages)
        _insert(db, "documents", id=document_id, collection_id=collection_id, chunks=chunks, **owner, **about)
        ids, start = [new_id() for _ in document.passages], 0
        own = {"document_id": document_id, "collection_id": collection_id, **owner}
        for place, (chunk_id, text) in enumerate(zip(ids, document.passages, strict=True)):
            heading = document.headings[place] if document.headings else ""
            span = {"start": start, "stop": start + len(text), "digest": hashlib.sha256(text.encode()).digest()}
            start += len(text)
            _insert(db, "chunks", id=chunk_id, place=place, page=place + 1, text=text, heading=heading, **span, **own)
            if document.vectors:
                embedding = to_pgvector(document.vectors[place])
                _insert(db, "chunk_vectors", chunk_id=chunk_id, space=space, embedding=embedding, **own)
        return ids

    def _connect(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(self.database_url, row_factory=dict_row)


def _insert(db: psycopg.Connection[dict[str, Any]], table: str, **columns: Any) -> None:
    places = ", ".join(["%s"] * len(columns))
    db.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", list(columns.values()))
