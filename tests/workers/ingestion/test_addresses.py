"""Documents that a job fetches by address: each once, what hasn't changed not again, and within the egress rules."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.queries.jobs.submissions import Submission, Submitter
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.http_server import CounterpartServer, Exchange
from tests.workers.ingested_files import chunks, embedded, make_collection, states, work
from tests.workers.jobs import change, job_row, rows, worker_context
from tools.egress import EgressPolicy
from workers.context import WorkerContext
from workers.ingestion import addresses
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.storage.settings import StorageSettings
from workers.uploads.limits import UploadLimits

KEY = f"key:{new_id()}"
LIMITS = UploadLimits(max_file=50_000)


class Site(CounterpartServer):
    """A server of texts, each with an ETag if `tags`; `asked` has what it was asked for, with the ETag that came along."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = {"/a.txt": "Twelve days of leave a year.", "/b.txt": "Invoices are due within thirty days."}
        self.tags = True
        self.asked: list[tuple[str, str | None]] = []

    async def handle(self, exchange: Exchange) -> None:
        path, sent = exchange.path, exchange.record.headers.get("if-none-match")
        self.asked.append((path, sent))
        text = self.texts.get(path)
        if text is None:
            exchange.answer(404, {})
            return
        tag = f'"{len(text)}-{hash(text)}"'
        if self.tags and sent == tag:
            exchange.write(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n")
            exchange.finish()
            return
        head = ["HTTP/1.1 200 OK", f"content-length: {len(text.encode())}", *([f"etag: {tag}"] if self.tags else [])]
        exchange.write("\r\n".join(head).encode() + b"\r\n\r\n" + text.encode())
        exchange.finish()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as server:
        yield server


@pytest.fixture(scope="module")
async def worker(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[WorkerContext]:
    settings: dict[str, Any] = {"storage": StorageSettings(folder=tmp_path_factory.mktemp("files")), "uploads": LIMITS}
    settings["egress"] = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1"})
    async with worker_context(database_url, redis_url, "ingestion", **settings) as opened:
        yield opened


class Place:
    """A tenant with a collection, whose jobs are worked on here."""

    def __init__(self, core: JobCore, worker: WorkerContext, url: str, tenant: TestTenant, collection: UUID) -> None:
        self.core, self.worker, self.url, self.tenant, self.collection = core, worker, url, tenant, collection

    async def submit(self, urls: Sequence[str], **fetch: Any) -> UUID:
        job_id = new_id()
        asked = {"urls": list(urls), "collection": str(self.collection), **fetch}
        job = Submission(
            tenant_id=self.tenant.id,
            job_id=job_id,
            kind=KINDS["ingestion"],
            payload={"fetch": asked, "by": KEY, "manages": False},
            model="minilm",
            submitted_by=Submitter(KEY, None),
        )
        await submit(self.core, job)
        return job_id

    async def fetch(self, *urls: str, **fetch: Any) -> dict[str, Any]:
        """Fetch and ingest; return the job's row."""
        job_id = await self.submit(urls, **fetch)
        await work(self.worker, self.url, job_id)
        return dict(job_row(self.url, job_id))

    def stored(self) -> list[Path]:
        return [path for path in self.worker.settings.storage.folder.glob(f"{self.tenant.id}/*") if path.is_file()]


@pytest.fixture
async def place(core: JobCore, worker: WorkerContext, database_url: str) -> Place:
    tenant = make_tenant(database_url)
    return Place(core, worker, database_url, tenant, await make_collection(core, tenant))


async def test_what_is_at_the_addresses_is_ingested(place: Place, site: Site) -> None:
    job = await place.fetch(f"{site.url}/a.txt", f"{site.url}/b.txt", metadata={"from": "site"})
    assert ("succeeded", "2 of 2 files are ready.") == (job["state"], job["result"]["text"])
    assert {"a.txt": ["Twelve days of leave a year."], "b.txt": [site.texts["/b.txt"]]} == chunks(
        place.url, place.tenant
    )
    found = rows(place.url, "SELECT * FROM documents WHERE tenant_id = %s ORDER BY name", place.tenant.id)
    assert [(f"{site.url}/{name}", {"from": "site"}) for name in ("a.txt", "b.txt")] == [
        (row["source_url"], row["metadata"]) for row in found
    ]
    sql = "SELECT * FROM audit_log WHERE tenant_id = %s AND action = 'document.uploaded'"
    (entry,) = rows(place.url, sql, place.tenant.id)
    assert (KEY, 2, f"job:{job['id']}") == (entry["actor"], entry["detail"]["files"], entry["target"])


@pytest.mark.parametrize("tags", [True, False])
async def test_what_has_not_changed_is_neither_stored_nor_embedded_again(place: Place, site: Site, tags: bool) -> None:
    site.tags = tags
    urls = [f"{site.url}/a.txt", f"{site.url}/b.txt"]
    await place.fetch(*urls)
    once, stored = embedded(place.url, place.tenant), place.stored()
    again = await place.fetch(*urls)
    assert ("succeeded", "Nothing has changed.") == (again["state"], again["result"]["text"])
    assert (2, []) == (again["result"]["data"]["unchanged"], again["result"]["data"]["refused"])
    assert (once, stored) == (embedded(place.url, place.tenant), place.stored())
    assert [tags] * 2 == [sent is not None for _, sent in site.asked[2:]], "asked by its ETag where it had one"


async def test_only_what_has_changed_becomes_a_new_version(place: Place, site: Site) -> None:
    urls = [f"{site.url}/a.txt", f"{site.url}/b.txt"]
    await place.fetch(*urls)
    site.texts["/a.txt"] = "Fourteen days of leave a year."
    job = await place.fetch(*urls)
    assert "1 of 1 files is ready, 1 unchanged." == job["result"]["text"]
    assert {"a.txt": ["Fourteen days of leave a year."], "b.txt": [site.texts["/b.txt"]]} == chunks(
        place.url, place.tenant
    )


async def test_a_document_that_was_deleted_is_fetched_whatever_its_etag(place: Place, site: Site) -> None:
    await place.fetch(f"{site.url}/a.txt")
    change(place.url, "DELETE FROM documents WHERE tenant_id = %s", place.tenant.id)
    await place.fetch(f"{site.url}/a.txt")
    assert [("/a.txt", None)] * 2 == site.asked
    assert ["a.txt"] == list(chunks(place.url, place.tenant))


async def test_a_document_that_could_not_be_read_is_fetched_whatever_its_etag(place: Place, site: Site) -> None:
    await place.fetch(f"{site.url}/a.txt")
    failed = "UPDATE document_versions SET state = 'failed' WHERE tenant_id = %s"
    change(place.url, failed, place.tenant.id)
    job = await place.fetch(f"{site.url}/a.txt")
    assert [("/a.txt", None)] * 2 == site.asked
    assert "1 of 1 files is ready." == job["result"]["text"]


async def test_an_address_that_fails_fails_alone(place: Place, site: Site) -> None:
    job = await place.fetch(f"{site.url}/a.txt", f"{site.url}/gone.txt?key=hidden")
    assert ("succeeded", "1 of 1 files is ready, 1 refused.") == (job["state"], job["result"]["text"])
    (refused,) = job["result"]["data"]["refused"]
    assert (f"{site.url}/gone.txt", "egress_failed") == (refused["name"], refused["code"])
    assert "404" in refused["message"]


async def test_a_job_without_any_address_that_answers_fails_with_the_reason(place: Place, site: Site) -> None:
    job = await place.fetch(f"{site.url}/gone.txt")
    assert ("failed", "nothing_ingested") == (job["state"], job["error"]["code"])
    assert "404" in job["error"]["message"]


async def test_what_may_no_longer_be_reached_is_not_called(place: Place, site: Site) -> None:
    change(place.url, "DELETE FROM egress_grants WHERE tenant_id = %s", place.tenant.id)
    job = await place.fetch(f"{site.url}/a.txt")
    assert ("failed", "nothing_ingested") == (job["state"], job["error"]["code"])
    assert [] == site.asked


async def test_a_document_of_somebody_else_is_not_changed(place: Place, site: Site) -> None:
    await place.fetch(f"{site.url}/a.txt")
    change(place.url, "UPDATE documents SET created_by = 'user:y' WHERE tenant_id = %s", place.tenant.id)
    site.texts["/a.txt"] = "Something else."
    job = await place.fetch(f"{site.url}/a.txt", f"{site.url}/b.txt")
    assert [("a.txt", "not_yours")] == [(one["name"], one["code"]) for one in job["result"]["data"]["refused"]]
    assert ["Twelve days of leave a year."] == chunks(place.url, place.tenant)["a.txt"]


async def test_a_full_storage_fails_the_job_and_keeps_nothing(place: Place, site: Site) -> None:
    change(place.url, "UPDATE tenants SET max_storage_bytes = 10 WHERE id = %s", place.tenant.id)
    job = await place.fetch(f"{site.url}/a.txt")
    assert ("failed", "storage_full") == (job["state"], job["error"]["code"])
    assert [] == place.stored()


async def test_a_later_attempt_goes_on_with_what_was_fetched(
    place: Place, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is lost after the rows were written: the next one ingests them, and fetches nothing."""
    fetched, lost = addresses.fetch_addresses, asyncio.Event()

    async def then_die(*given: Any) -> Any:
        await fetched(*given)
        lost.set()
        await asyncio.Event().wait()

    job_id = await place.submit([f"{site.url}/a.txt", f"{site.url}/gone.txt"])
    monkeypatch.setattr("workers.ingestion.batch.fetch_addresses", then_die)
    attempt = asyncio.create_task(work(place.worker, place.url, job_id))
    await lost.wait()
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    monkeypatch.undo()
    change(
        place.url,
        """UPDATE jobs SET state = 'dispatched', dispatch_seq = dispatch_seq + 1, run_at = now() WHERE id = %s""",
        job_id,
    )
    await work(place.worker, place.url, job_id)
    job = job_row(place.url, job_id)
    assert ("succeeded", "1 of 1 files is ready, 1 refused.") == (job["state"], job["result"]["text"])
    assert {"a.txt": "ready"} == states(place.url, job_id)
    assert 2 == len(site.asked)


async def test_an_attempt_that_lost_its_job_adds_no_document(
    place: Place, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all = addresses.put_all

    async def then_lose(*given: Any) -> None:
        await put_all(*given)
        change(place.url, "UPDATE jobs SET attempt = attempt + 1 WHERE tenant_id = %s", place.tenant.id)

    monkeypatch.setattr(addresses, "put_all", then_lose)
    await place.fetch(f"{site.url}/a.txt")
    assert [] == rows(place.url, "SELECT * FROM documents WHERE tenant_id = %s", place.tenant.id)
