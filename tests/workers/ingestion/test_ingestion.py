"""Ingestion: each file is processed independently and once, whatever happens to the worker or to other files."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.postgres.connections import tenant_tx
from schema.queries.documents import ingestion as queries
from schema.queries.documents.file_removals import cancel_removals
from schema.queries.documents.uploads import schedule_removals
from schema.queries.jobs.submissions import Submission
from tests.conftest import TestTenant, make_tenant
from tests.workers.ingested_files import (
    chunks,
    embedded,
    ingestion,
    make_collection,
    states,
    store,
    upload,
    work,
)
from tests.workers.jobs import change, job_row, rows, stored_frames, worker_context
from workers.context import WorkerContext
from workers.ingestion import batch as batches
from workers.ingestion import files as file_runs
from workers.queue.job_core import JobCore, JobCoreSettings, open_job_core
from workers.queue.submit import submit
from workers.storage.settings import StorageSettings

TEXTS = [
    "The headrace carries water from the river to the mill wheel, high above the tailrace.",
    "A sluice slots at the intake lets the miller choose how much water flows into the channel.",
    "Invoices are due within thirty days; reminders are sent after forty-five days by post.",
    "Nhân viên được nghỉ mười hai ngày phép mỗi năm, cộng thêm ngày lễ theo quy định.",
]


def sample_text(number: int, paragraphs: int = 3) -> bytes:
    """A distinct text of several passages."""
    lines = [f"{TEXTS[(number + i) % len(TEXTS)]} Letter {number}, paragraph {i}. " * 3 for i in range(paragraphs)]
    return "\n\n".join(lines).encode()


@pytest.fixture(scope="module")
async def worker(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WorkerContext]:
    folder: Path = tmp_path_factory.mktemp("files")
    async with worker_context(database_url, redis_url, "ingestion", storage=StorageSettings(folder=folder)) as opened:
        yield opened


@pytest.fixture(scope="module")
async def core(database_url: str, redis_url: str) -> AsyncIterator[JobCore]:
    async with open_job_core(JobCoreSettings(database_url, redis_url)) as opened:
        yield opened


@pytest.fixture
def tenant(database_url: str) -> TestTenant:
    return make_tenant(database_url)


async def ingested(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, files: dict[str, bytes], **options: Any
) -> UUID:
    """Upload and ingest into the default collection; return the job's id."""
    found = rows(database_url, "SELECT id FROM collections WHERE tenant_id = %s AND name = 'default'", tenant.id)
    collection = found[0]["id"] if found else await make_collection(core, tenant)
    job_id = await upload(core, worker.ingestion.storage, tenant, collection, files, **options)
    await work(worker, database_url, job_id)
    return job_id


async def test_files_become_passages_with_vectors(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    files = {"a.txt": sample_text(1), "b.md": b"# Rules\n\n## Leave\n\nTwelve days of leave a year."}
    job_id = await ingested(core, worker, database_url, tenant, files)
    assert {"a.txt": "ready", "b.md": "ready"} == states(database_url, job_id)
    found = chunks(database_url, tenant)
    assert ["Rules\n\nLeave\n\nTwelve days of leave a year."] == found["b.md"]
    assert len(found["a.txt"]) > 1
    (heading,) = {
        row["heading"] for row in rows(database_url, "SELECT heading FROM chunks WHERE text LIKE '%%Twelve%%'")
    }
    assert "Rules > Leave" == heading
    job = job_row(database_url, job_id)
    assert ("succeeded", "2 of 2 files are ready.") == (job["state"], job["result"]["text"])


async def test_the_stream_has_events_for_each_file_and_overall_progress(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job_id = await ingested(
        core, worker, database_url, tenant, {"a.txt": sample_text(1), "bad.pdf": b"%PDF-1.7 broken"}
    )
    frames = await stored_frames(core, tenant, job_id)
    types = [frame.type for frame in frames]
    assert 1 == types.count("document.ready") == types.count("document.failed")
    progress = [frame.data for frame in frames if frame.type == "job.progress"]
    assert b'"done":2,"total":2' in progress[-1]


async def test_a_bad_file_fails_alone(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    files = {"good.txt": sample_text(2), "empty.txt": b"   \n ", "cut.pdf": b"%PDF-1.4\n1 0 obj\n<<"}
    job_id = await ingested(core, worker, database_url, tenant, files)
    found = states(database_url, job_id)
    assert "ready" == found["good.txt"]
    assert "failed empty" == found["empty.txt"]
    assert found["cut.pdf"].startswith("failed ")
    assert "succeeded" == job_row(database_url, job_id)["state"]


async def test_a_job_whose_files_all_fail_fails_with_a_reason(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    job_id = await ingested(core, worker, database_url, tenant, {"empty.txt": b" "})
    job = job_row(database_url, job_id)
    assert ("failed", "nothing_ingested") == (job["state"], job["error"]["code"])


async def test_the_same_bytes_are_embedded_once(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    await ingested(core, worker, database_url, tenant, {"first.txt": sample_text(3)})
    once = embedded(database_url, tenant)
    await ingested(core, worker, database_url, tenant, {f"copy {n}.txt": sample_text(3) for n in range(20)})
    found = chunks(database_url, tenant)
    assert once == embedded(database_url, tenant)
    assert 21 == len(found)
    assert all(found["first.txt"] == texts for texts in found.values())


async def test_a_new_version_replaces_the_old_in_one_step(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingested(core, worker, database_url, tenant, {"a.txt": b"The old rule: ten days of leave."})
    before_publish: list[dict[str, list[str]]] = []
    publish = file_runs.publish

    async def spy(*args: Any, **options: Any) -> Any:
        before_publish.append(chunks(database_url, tenant))
        return await publish(*args, **options)

    monkeypatch.setattr(file_runs, "publish", spy)
    await ingested(core, worker, database_url, tenant, {"a.txt": b"The new rule: twelve days of leave."})
    assert [{"a.txt": ["The old rule: ten days of leave."]}] == before_publish
    assert {"a.txt": ["The new rule: twelve days of leave."]} == chunks(database_url, tenant)
    versions = rows(database_url, "SELECT version FROM document_versions WHERE tenant_id = %s", tenant.id)
    assert [2] == [row["version"] for row in versions]
    due = rows(database_url, "SELECT stored_as FROM file_removals WHERE tenant_id = %s", tenant.id)
    assert 1 == len(due)


async def test_a_failed_version_leaves_the_old_one_live(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    await ingested(core, worker, database_url, tenant, {"a.txt": b"What stands here stays."})
    job_id = await ingested(core, worker, database_url, tenant, {"a.txt": b"  "})
    assert {"a.txt": "failed empty"} == states(database_url, job_id)
    assert {"a.txt": ["What stands here stays."]} == chunks(database_url, tenant)


async def test_a_new_attempt_embeds_only_what_is_missing(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a file is drafted when the attempt is lost; the next one continues from there."""
    monkeypatch.setattr(file_runs, "BATCH_TEXTS", 2)
    collection = await make_collection(core, tenant)
    job_id = await upload(
        core, worker.ingestion.storage, tenant, collection, {"a.txt": sample_text(5), "b.txt": sample_text(6, 12)}
    )
    add, calls = queries.add_embedded, 0

    async def fail_after_four(*args: Any, **options: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise ConnectionError("the worker dies")
        return await add(*args, **options)

    monkeypatch.setattr(queries, "add_embedded", fail_after_four)
    await work(worker, database_url, job_id)  # an internal error: the job fails and is retried manually
    before = embedded(database_url, tenant)
    assert before > 0
    monkeypatch.setattr(queries, "add_embedded", add)
    change(database_url, "UPDATE jobs SET state = 'queued', finished_at = NULL WHERE id = %s", job_id)
    change(
        database_url,
        "UPDATE jobs SET state = 'dispatched', dispatch_seq = dispatch_seq + 1 WHERE id = %s",
        job_id,
    )
    await work(worker, database_url, job_id)
    assert {"a.txt": "ready", "b.txt": "ready"} == states(database_url, job_id)
    distinct = {text for texts in chunks(database_url, tenant).values() for text in texts}
    assert len(distinct) == embedded(database_url, tenant)


async def test_a_cancelled_file_ends_and_the_others_continue(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_runs, "BATCH_TEXTS", 1)
    collection = await make_collection(core, tenant)
    job_id = await upload(
        core,
        worker.ingestion.storage,
        tenant,
        collection,
        {"long.txt": sample_text(7, 30), "short.txt": sample_text(8)},
    )
    task = asyncio.create_task(work(worker, database_url, job_id))
    sql = "SELECT drafted FROM document_versions v WHERE job_id = %s AND drafted > 2 AND place = 0"
    while not rows(database_url, sql, job_id):
        assert not task.done()
        await asyncio.sleep(0.05)
    cancelled = "UPDATE document_versions SET state = 'cancelled' WHERE job_id = %s AND place = 0"
    await asyncio.to_thread(
        change, database_url, cancelled, job_id
    )  # the task, which needs this loop, may have locked the row
    await task
    assert {"long.txt": "cancelled", "short.txt": "ready"} == states(database_url, job_id)
    assert "succeeded" == job_row(database_url, job_id)["state"]


async def test_deleting_the_collection_ends_the_job_cleanly(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_runs, "BATCH_TEXTS", 1)
    collection = await make_collection(core, tenant)
    job_id = await upload(
        core, worker.ingestion.storage, tenant, collection, {f"{n}.txt": sample_text(n, 12) for n in range(6)}
    )
    task = asyncio.create_task(work(worker, database_url, job_id))
    while not rows(database_url, "SELECT 1 FROM chunk_drafts WHERE tenant_id = %s", tenant.id):
        assert not task.done()
        await asyncio.sleep(0.05)
    async with tenant_tx(core.pool, tenant.id) as db:
        await db.execute("DELETE FROM collections WHERE id = %s", (collection,))
    await task
    assert "succeeded" == job_row(database_url, job_id)["state"]
    assert {} == chunks(database_url, tenant)
    (knowledge,) = rows(database_url, "SELECT * FROM knowledge WHERE tenant_id = %s", tenant.id)
    assert (0, 0, 0) == (knowledge["stored_bytes"], knowledge["documents"], knowledge["chunks"])


async def test_a_file_that_kills_its_workers_fails(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    collection = await make_collection(core, tenant)
    job_id = await upload(
        core, worker.ingestion.storage, tenant, collection, {"killer.txt": sample_text(1), "good.txt": sample_text(2)}
    )
    change(
        database_url,
        "UPDATE document_versions SET tries = %s WHERE job_id = %s AND place = 0",
        batches.MAX_TRIES,
        job_id,
    )
    await work(worker, database_url, job_id)
    assert {"killer.txt": "failed worker_lost", "good.txt": "ready"} == states(database_url, job_id)


async def test_a_file_past_its_deadline_fails(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FILE_TIMEOUT_S", 0.0)
    job_id = await ingested(core, worker, database_url, tenant, {"slow.txt": sample_text(1)})
    assert {"slow.txt": "failed took_too_long"} == states(database_url, job_id)


async def test_a_missing_file_fails_with_that_reason(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    collection = await make_collection(core, tenant)
    job_id = await upload(core, worker.ingestion.storage, tenant, collection, {"lost.txt": sample_text(1)})
    (row,) = rows(database_url, "SELECT stored_as FROM document_versions WHERE job_id = %s", job_id)
    await worker.ingestion.storage.delete([row["stored_as"]])
    await work(worker, database_url, job_id)
    assert {"lost.txt": "failed bytes_missing"} == states(database_url, job_id)


async def test_cancelling_a_job_cancels_its_files(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    collection = await make_collection(core, tenant)
    job_id = await upload(core, worker.ingestion.storage, tenant, collection, {"a.txt": sample_text(1)})
    change(database_url, "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE id = %s", job_id)
    assert {"a.txt": "cancelled"} == states(database_url, job_id)
    change(database_url, "UPDATE jobs SET state = 'queued', finished_at = NULL WHERE id = %s", job_id)
    assert {"a.txt": "queued"} == states(database_url, job_id)


async def test_two_jobs_with_the_same_files_embed_them_once(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:
    collection = await make_collection(core, tenant)
    jobs = [
        await upload(
            core, worker.ingestion.storage, tenant, collection, {f"{name} {n}.txt": sample_text(n) for n in range(8)}
        )
        for name in ("one", "two")
    ]
    await asyncio.gather(*(work(worker, database_url, job_id) for job_id in jobs))
    distinct = {text for texts in chunks(database_url, tenant).values() for text in texts}
    assert len(distinct) == embedded(database_url, tenant)
    assert 16 == len(chunks(database_url, tenant))


async def test_a_committed_upload_cancels_the_removal_of_its_files(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:

    collection = await make_collection(core, tenant)
    kept, left = [
        await store(worker.ingestion.storage, tenant, name, sample_text(1)) for name in ("kept.txt", "left.txt")
    ]
    async with tenant_tx(core.pool, tenant.id) as db:
        await schedule_removals(db, tenant.id, [kept.stored_as, left.stored_as])

    job = ingestion(tenant, new_id(), collection, [kept])
    await submit(
        core, replace(job, extra_statements=(cancel_removals(tenant.id, [kept.stored_as]), *job.extra_statements))
    )
    due = rows(database_url, "SELECT stored_as FROM file_removals WHERE tenant_id = %s", tenant.id)
    assert [left.stored_as] == [row["stored_as"] for row in due]


async def test_a_collection_switches_to_another_embedder_once_all_passages_have_vectors(
    core: JobCore, worker: WorkerContext, database_url: str, tenant: TestTenant
) -> None:

    await ingested(core, worker, database_url, tenant, {f"{n}.txt": sample_text(n, 6) for n in range(5)})
    (collection,) = rows(database_url, "SELECT * FROM collections WHERE tenant_id = %s", tenant.id)
    worker.ingestion.embedders._batchers["stand-in"] = HalfSizeEmbedder()
    change(database_url, "UPDATE collections SET next_embedder = 'stand-in' WHERE id = %s", collection["id"])
    job_id = new_id()
    payload = {"reembed": str(collection["id"])}
    await submit(
        core,
        Submission(tenant_id=tenant.id, job_id=job_id, kind=KINDS["ingestion"], payload=payload, model="stand-in"),
    )
    await work(worker, database_url, job_id)
    (after,) = rows(database_url, "SELECT * FROM collections WHERE tenant_id = %s", tenant.id)
    assert ("stand-in", None, None) == (after["embedder"], after["next_embedder"], after["next_space"])
    assert after["space"] != collection["space"]
    spaces = rows(
        database_url, "SELECT space, count(*) AS n FROM chunk_vectors WHERE tenant_id = %s GROUP BY space", tenant.id
    )
    passages = sum(map(len, chunks(database_url, tenant).values()))
    assert [{"space": after["space"], "n": passages}] == spaces
    frames = b"".join(frame.data for frame in await stored_frames(core, tenant, job_id))
    assert b"passages" in frames


class HalfSizeEmbedder:
    """A fake embedder with half as many dimensions."""

    class embedder:
        space = "stand-in/halves"

        @staticmethod
        async def measure() -> int:
            return 192

    async def embed(self, texts: list[str], *, lane: str = "", purpose: str = "query") -> list[list[float]]:
        return [[1.0 if i == len(text) % 192 else 0.0 for i in range(192)] for text in texts]

    async def aclose(self) -> None:
        return None
