"""Documents for tests without a worker: uploaded as the API does it, and made ready by SQL."""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import Db, tenant_tx
from schema.queries.documents.collections import add_collection, find_collection
from schema.queries.documents.uploads import NewFile, file_statements
from schema.queries.jobs.submissions import Submission, Submitter
from tests.conftest import TestTenant
from tests.workers.jobs import change, rows
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.storage.contract import new_name

SPACE = "test/two"


@dataclass(frozen=True)
class Person:
    """Somebody of a tenant."""

    id: UUID
    headers: dict[str, str]

    @property
    def actor(self) -> str:
        return f"user:{self.id}"


@dataclass(frozen=True)
class Shelf:
    """Where a tenant's documents of a test are: the stores, and the folder of the bytes, without which none are kept."""

    core: JobCore
    database_url: str
    folder: Path
    tenant: TestTenant
    keeps: bool = True

    async def upload(
        self,
        *names: str,
        collection: str = "default",
        by: str = "system",
        user_id: UUID | None = None,
        private: bool = False,
        data: bytes = b"words",
        media_type: str = "text/plain",
        metadata: dict[str, Any] | None = None,
    ) -> list[UUID]:
        """Upload files in one job and return their documents in this order."""
        tenant_id, job_id = self.tenant.id, new_id()
        async with tenant_tx(self.core.pool, tenant_id) as db:
            row = await find_collection(db, tenant_id, collection) or await add_collection(
                db, tenant_id, new_id(), collection, embedder="minilm", created_by=by, max_collections=1000
            )
            assert row is not None
        files = [
            NewFile(
                document_id=new_id(),
                name=name,
                stored_as=self._store(data),
                size_bytes=len(data),
                sha256=hashlib.sha256(data).digest(),
                media_type=media_type,
                metadata=metadata or {},
            )
            for name in names
        ]
        owner = user_id if private else None
        work = file_statements(tenant_id, job_id, row.id, owner, files, by=by)
        about: dict[str, Any] = {"kind": KINDS["ingestion"], "payload": {}, "model": "minilm"}
        by_whom = Submitter(by, user_id, user_id)
        await submit(
            self.core,
            Submission(tenant_id=tenant_id, job_id=job_id, submitted_by=by_whom, extra_statements=work, **about),
        )
        sql = "SELECT document_id AS id FROM document_versions WHERE tenant_id = %s AND job_id = %s ORDER BY place"
        return [found["id"] for found in self.rows(sql, tenant_id, job_id)]

    def tx(self) -> AbstractAsyncContextManager[Db]:
        """A transaction of the tenant."""
        return tenant_tx(self.core.pool, self.tenant.id)

    def publish(self, document_id: UUID, texts: Sequence[str] = ("one", "two", "three"), **facts: Any) -> None:
        """Make the newest version of a document live, with a chunk and a vector for each text."""
        with psycopg.connect(self.database_url) as db:
            db.execute("SELECT open_vector_space(%s, 2)", (SPACE,))
            values = {"id": document_id, "texts": list(texts), "space": SPACE}
            for sql in PUBLISH:
                db.execute(sql, values)
            for column, value in facts.items():
                db.execute(f"UPDATE documents SET {column} = %s WHERE id = %s", (value, document_id))

    def draft(self, document_id: UUID, *, chunks: int, drafted: int) -> None:
        """Let a document be under way: cut into so many chunks, of which so many are drafted."""
        with psycopg.connect(self.database_url) as db:
            db.execute("SELECT open_vector_space(%s, 2)", (SPACE,))
            values = {"id": document_id, "chunks": chunks, "drafted": drafted, "space": SPACE}
            for sql in DRAFT:
                db.execute(sql, values)

    def set(self, document_id: UUID, **columns: Any) -> None:
        """Set columns of a document's newest version."""
        changes = ", ".join(f"{column} = %s" for column in columns)
        sql = f"UPDATE document_versions SET {changes} WHERE document_id = %s"
        change(self.database_url, sql, *columns.values(), document_id)

    def version(self, document_id: UUID) -> DictRow:
        """The newest version of a document."""
        sql = "SELECT * FROM document_versions WHERE document_id = %s ORDER BY version DESC LIMIT 1"
        (row,) = self.rows(sql, document_id)
        return row

    def count(self, table: str) -> int:
        """How many rows of a table the tenant has."""
        (row,) = self.rows(f"SELECT count(*) AS number FROM {table} WHERE tenant_id = %s", self.tenant.id)
        return row["number"]

    def stored(self) -> list[str]:
        """The names of the bytes that are in the storage."""
        found = (self.folder / str(self.tenant.id)).glob("*")
        return sorted(f"{self.tenant.id}/{path.name}" for path in found)

    def rows(self, sql: str, *values: Any) -> list[DictRow]:
        """What the owner of the tables sees."""
        return rows(self.database_url, sql, *values)

    def _store(self, data: bytes) -> str:
        name = new_name(self.tenant.id)
        if not self.keeps:
            return name
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)
        return name


async def shelve(core: JobCore, database_url: str, tenant: TestTenant, *names: str) -> list[UUID]:
    """Give a tenant documents with a chunk each, one that is under way, and bytes that are to go."""
    shelf = Shelf(core, database_url, Path(), tenant, keeps=False)
    *live, drafted = await shelf.upload(*names or ("live",), "drafted")
    for document_id in live:
        shelf.publish(document_id, ["text"])
    shelf.draft(drafted, chunks=1, drafted=1)
    change(database_url, "UPDATE jobs SET state = 'succeeded' WHERE tenant_id = %s AND kind = 'ingestion'", tenant.id)
    change(database_url, "INSERT INTO file_removals VALUES (%s, 'n', now())", tenant.id)
    return live


PUBLISH = (
    "DELETE FROM chunks WHERE document_id = %(id)s",
    """WITH made AS (
      INSERT INTO chunks (tenant_id, id, document_id, collection_id, user_id, place, text, heading, page, start, stop, digest)
      SELECT d.tenant_id, uuidv7(), d.id, d.collection_id, d.user_id, t.place - 1, t.text, 'Head', 1, 0, length(t.text),
        sha256(t.text::bytea)
      FROM documents d, unnest(%(texts)s::text[]) WITH ORDINALITY AS t (text, place) WHERE d.id = %(id)s RETURNING *)
    INSERT INTO chunk_vectors (tenant_id, chunk_id, space, document_id, collection_id, user_id, embedding)
    SELECT m.tenant_id, m.id, s.id, m.document_id, m.collection_id, m.user_id, '[1, 0]'
    FROM made m, vector_spaces s WHERE s.name = %(space)s""",
    """UPDATE documents SET live_version = newest_version, chunks = cardinality(%(texts)s::text[]), pages = 2, characters = 9,
      language = 'en', title = 'A title' WHERE id = %(id)s""",
    """UPDATE document_versions v SET state = 'ready', finished_at = now(), chunks = d.chunks, drafted = d.chunks,
      notes = '["a"]'
    FROM documents d WHERE d.id = %(id)s AND v.document_id = d.id AND v.version = d.newest_version""",
    """UPDATE collections SET space = (SELECT id FROM vector_spaces WHERE name = %(space)s)
    WHERE id = (SELECT collection_id FROM documents WHERE id = %(id)s)""",
)

DRAFT = (
    """UPDATE document_versions SET state = 'running', attempt = 1, chunks = %(chunks)s, drafted = %(drafted)s
    WHERE document_id = %(id)s""",
    """INSERT INTO chunk_drafts (tenant_id, document_id, version, place, text, heading, start, stop, digest, space, embedding)
    SELECT v.tenant_id, v.document_id, v.version, n, 'draft', '', 0, 5, sha256('draft'), s.id, '[1, 0]'
    FROM document_versions v, vector_spaces s, generate_series(0, %(drafted)s - 1) AS n
    WHERE v.document_id = %(id)s AND s.name = %(space)s""",
)
