"""Helpers to upload files without HTTP, and to inspect the results of their ingestion."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import tenant_tx
from schema.queries.documents.ingestion import FileClaim
from schema.queries.documents.uploads import NewFile, file_statements
from schema.queries.jobs.submissions import Submission
from tests.conftest import TestTenant
from tests.workers.jobs import rows
from workers.context import WorkerContext
from workers.ingestion.batch import ingest
from workers.queue.attempts import attempt_job
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.storage.contract import Storage, new_name


async def make_collection(core: JobCore, tenant: TestTenant, name: str = "default", **changes: Any) -> UUID:
    """Insert a collection with small chunks; return its id."""
    collection_id = new_id()
    facts = {"chunk_characters": 300, "chunk_overlap": 50, "embedder": "minilm", **changes}
    async with tenant_tx(core.pool, tenant.id) as db:
        await db.execute(
            """INSERT INTO collections (tenant_id, id, name, chunk_characters, chunk_overlap, embedder)
            VALUES (%s, %s, %s, %s, %s, %s)""",
            (
                tenant.id,
                collection_id,
                name,
                *(facts[key] for key in ("chunk_characters", "chunk_overlap", "embedder")),
            ),
        )
    return collection_id


async def store(storage: Storage, tenant: TestTenant, name: str, content: bytes, **facts: Any) -> NewFile:
    """Store a file, as an upload does."""
    stored_as = new_name(tenant.id)
    async with storage.staging.temporary_folder() as folder:
        path = folder / "file"
        path.write_bytes(content)
        await storage.put(stored_as, path)
    return NewFile(
        document_id=new_id(),
        name=name,
        stored_as=stored_as,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).digest(),
        media_type="text/plain",
        **facts,
    )


async def upload(
    core: JobCore,
    storage: Storage,
    tenant: TestTenant,
    collection_id: UUID,
    files: Mapping[str, bytes],
    *,
    user_id: UUID | None = None,
) -> UUID:
    """Submit a job that ingests the files; return its id."""
    stored = [await store(storage, tenant, name, content) for name, content in files.items()]
    job_id = new_id()
    await submit(core, ingestion(tenant, job_id, collection_id, stored, user_id=user_id))
    return job_id


def ingestion(
    tenant: TestTenant, job_id: UUID, collection_id: UUID, files: Sequence[NewFile], *, user_id: UUID | None = None
) -> Submission:
    """Return the submission of an ingestion job."""
    return Submission(
        tenant_id=tenant.id,
        job_id=job_id,
        kind=KINDS["ingestion"],
        payload={"collection": str(collection_id), "files": len(files)},
        model="minilm",
        extra_statements=file_statements(tenant.id, job_id, collection_id, user_id, files, by="test"),
    )


async def work(worker: WorkerContext, database_url: str, job_id: UUID) -> None:
    """Run an attempt of a job here, as its doorbell would."""
    (job,) = rows(database_url, "SELECT tenant_id, dispatch_seq FROM jobs WHERE id = %s", job_id)
    assert worker.ingestion is not None
    await attempt_job(worker.queue, partial(ingest, worker.ingestion), job["tenant_id"], job_id, job["dispatch_seq"])


def states(database_url: str, job_id: UUID) -> dict[str, str]:
    """Return the state of each file of a job by name, with the error code if it failed."""
    found = rows(
        database_url,
        """SELECT d.name, v.state, v.error ->> 'code' AS code FROM document_versions v
        JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id WHERE v.job_id = %s""",
        job_id,
    )
    return {row["name"]: f"{row['state']} {row['code']}" if row["code"] else row["state"] for row in found}


def chunks(database_url: str, tenant: TestTenant) -> dict[str, list[str]]:
    """Return the searchable texts by document, in order."""
    found = rows(
        database_url,
        """SELECT d.name, k.text FROM chunks k JOIN documents d ON d.tenant_id = k.tenant_id AND d.id = k.document_id
        JOIN chunk_vectors v ON v.tenant_id = k.tenant_id AND v.chunk_id = k.id
        WHERE k.tenant_id = %s ORDER BY d.name, k.place""",
        tenant.id,
    )
    texts: dict[str, list[str]] = {}
    for row in found:
        texts.setdefault(row["name"], []).append(row["text"])
    return texts


def embedded(database_url: str, tenant: TestTenant) -> int:
    """Return how many texts were embedded for existing versions."""
    (row,) = rows(database_url, "SELECT sum(embedded) AS n FROM document_versions WHERE tenant_id = %s", tenant.id)
    return row["n"] or 0


def file_of(row: Mapping[str, Any], tenant: TestTenant, job_id: UUID, attempt: int = 1) -> FileClaim:
    """Return the claim of a file."""
    return FileClaim(tenant.id, job_id, attempt, row["document_id"], row["version"])
