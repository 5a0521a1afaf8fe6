"""Documents that are stopped, read again, deleted: what becomes of their state, their rows and their bytes."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from api.documents import delete, retry
from schema.errors import Unavailable
from schema.postgres.connections import fetch_all, tenant_tx
from schema.queries.documents import documents
from schema.queries.documents.ingestion import claim_file
from tests.api.documents.stored_documents import Person, Shelf
from tests.waiting import PATIENCE_S
from tests.workers.jobs import change, claim, job_row

Json = dict[str, Any]
WAITING = """SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
  AND query LIKE '%%UPDATE document_versions%%'"""
PARTS = ("documents", "document_versions", "chunk_drafts", "chunks", "chunk_vectors", "file_removals")


async def test_one_that_waits_or_runs_is_cancelled_and_an_ended_one_stays(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    waits, runs, ready, failed = await shelf.upload("a", "b", "c", "d")
    shelf.draft(runs, chunks=5, drafted=2)
    shelf.publish(ready)
    shelf.set(failed, state="failed")
    states = []
    for document_id in (waits, runs, ready, failed):
        answer = await client.post(f"/api/documents/{document_id}/cancel")
        assert 200 == answer.status_code, answer.text
        states.append(answer.json()["state"])
    assert ["cancelled", "cancelled", "ready", "failed"] == states
    assert 0 == shelf.count("chunk_drafts")
    assert "queued" == (await client.get(f"/api/jobs/{shelf.version(waits)['job_id']}")).json()["state"]


async def take(shelf: Shelf, job_id: UUID) -> None:
    """Have a worker claim the job, though the tenant has as many in flight as it may: other tests have left some."""
    sql = "UPDATE jobs SET state = 'dispatched', dispatch_seq = dispatch_seq + 1 WHERE id = %s AND state = 'queued'"
    change(shelf.database_url, sql, job_id)
    await claim(shelf.core, shelf.database_url, job_id)


@pytest.mark.parametrize("state", ["failed", "cancelled", "ready"])
async def test_one_that_ended_is_read_again_by_a_job_of_its_own(
    client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person], state: str
) -> None:
    (document_id,) = await shelf.upload(f"{state}.txt")
    old = shelf.version(document_id)
    shelf.publish(document_id)
    facts = {"state": state, "error": '{"code": "x", "message": "y"}', "tries": 3, "attempt": 2, "embedded": 3}
    shelf.set(document_id, **facts, deadline_at="2020-01-01", started_at="2020-01-01", finished_at="2020-01-01")
    answer = await client.post(f"/api/documents/{document_id}/retry")
    assert 202 == answer.status_code, answer.text
    said, new = answer.json(), shelf.version(document_id)
    assert (str(new["job_id"]), 1, False) == (said["job_id"], said["documents"], said["more"])
    assert f"/api/jobs/{said['job_id']}" == answer.headers["location"]
    clean = {"state": "queued", "tries": 0, "attempt": None, "error": None, "embedded": 0, "drafted": 0, "chunks": None}
    clean |= dict.fromkeys(("deadline_at", "started_at", "finished_at", "notes"))
    assert clean == {name: new[name] for name in clean}
    assert (1, old["stored_as"]) == (new["version"], new["stored_as"])
    job = job_row(shelf.database_url, new["job_id"])
    assert ("ingestion", people["owner"].id) == (job["kind"], job["user_id"])
    assert 3 == shelf.count("chunks")  # which are searched until then
    await take(shelf, job["id"])
    claimed = await claim_file(shelf.core.pool, shelf.tenant.id, job["id"], 1, limit_s=10)
    assert claimed is not None
    assert document_id == claimed.document_id


async def test_one_that_is_about_to_be_read_is_not_queued_twice(client: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt")
    before, jobs = shelf.version(document_id), shelf.count("jobs")
    for state in ("queued", "running"):
        shelf.set(document_id, state=state)
        answer = await client.post(f"/api/documents/{document_id}/retry")
        assert (409, True) == (answer.status_code, state in answer.json()["detail"])
    assert (before["job_id"], jobs) == (shelf.version(document_id)["job_id"], shelf.count("jobs"))


async def test_of_many_who_want_it_read_again_at_once_one_is_served(client: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt")
    shelf.set(document_id, state="failed")
    jobs = shelf.count("jobs")
    async with shelf.tx() as db:
        await fetch_all(
            db, "SELECT 1 FROM document_versions WHERE document_id = %(id)s FOR UPDATE", {"id": document_id}
        )
        tries = [asyncio.create_task(client.post(f"/api/documents/{document_id}/retry")) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            while len(shelf.rows(WAITING)) < 3:
                await asyncio.sleep(0.02)
    statuses = [answer.status_code for answer in await asyncio.gather(*tries)]
    assert ([202, 409, 409], jobs + 1) == (sorted(statuses), shelf.count("jobs"))


async def test_the_end_of_its_first_job_does_not_touch_one_that_another_reads(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    first, second = await shelf.upload("a.txt", "b.txt")
    job_id = shelf.version(first)["job_id"]
    shelf.set(first, state="failed")
    shelf.set(second, state="running")
    await client.post(f"/api/documents/{first}/retry")
    change(shelf.database_url, "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE id = %s", job_id)
    assert ("queued", "cancelled") == (shelf.version(first)["state"], shelf.version(second)["state"])


async def test_the_same_key_is_the_same_job(client: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt")
    shelf.set(document_id, state="failed")
    for path, body in ((f"{document_id}/retry", None), ("retry", {"states": ["failed"]})):
        key = {"Idempotency-Key": uuid4().hex}
        shelf.set(document_id, state="failed")
        sent = [await client.post(f"/api/documents/{path}", json=body, headers=key) for _ in range(2)]
        assert [202, 202] == [answer.status_code for answer in sent]
        assert sent[0].json() == sent[1].json()
        assert 1 == sent[0].json()["documents"]
    reused = await client.post("/api/documents/retry", json={"states": ["ready"]}, headers=key)
    assert 422 == reused.status_code


async def test_many_are_read_again_by_one_job(
    client: httpx.AsyncClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await shelf.upload("a", "b", "c")
    (law,) = await shelf.upload("d", collection="law")
    for document_id in (*ids, law):
        shelf.set(document_id, state="failed")
    shelf.set(ids[2], state="cancelled")

    async def again(**body: Any) -> Json:
        answer = await client.post("/api/documents/retry", json=body)
        assert 202 == answer.status_code, answer.text
        return answer.json()

    assert 1 == (await again(collection="law"))["documents"]
    assert {"job_id": None, "documents": 0, "more": False} == await again(collection="law")
    monkeypatch.setattr(retry, "MAX_RETRIED", 1)
    some = await again()
    assert (1, True) == (some["documents"], some["more"])
    monkeypatch.undo()
    rest = await again(states=["failed", "cancelled"])
    assert (2, False) == (rest["documents"], rest["more"])
    states = {(await client.get(f"/api/documents/{one}")).json()["state"] for one in (*ids, law)}
    assert {"queued"} == states
    for wrong in ({"ids": [str(ids[0])], "collection": "law"}, {"states": ["running"]}, {"states": []}):
        assert 400 == (await client.post("/api/documents/retry", json=wrong)).status_code
    for missing in ({"ids": [str(uuid4())]}, {"collection": "nobody"}):
        assert 404 == (await client.post("/api/documents/retry", json=missing)).status_code


async def test_a_member_reads_again_and_deletes_by_filter_only_what_is_theirs(
    api: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    ada, bob = people["ada"], people["bob"]
    (hers,) = await shelf.upload("a", by=ada.actor)
    (his,) = await shelf.upload("b", by=bob.actor)
    (secret,) = await shelf.upload("c", by=bob.actor, user_id=bob.id, private=True)
    for document_id in (hers, his, secret):
        shelf.set(document_id, state="failed")
    answer = await api.post("/api/documents/retry", json={}, headers=ada.headers)
    assert 1 == answer.json()["documents"]
    states = [shelf.version(document_id)["state"] for document_id in (hers, his, secret)]
    assert ["queued", "failed", "failed"] == states
    answer = await api.post("/api/documents/delete", json={"collection": "default"}, headers=ada.headers)
    assert {"deleted": 1, "more": False} == answer.json()
    assert ["b", "c"] == [
        row["name"] for row in shelf.rows("SELECT name FROM documents WHERE tenant_id = %s ORDER BY 1", shelf.tenant.id)
    ]


async def test_a_deleted_document_leaves_neither_rows_nor_bytes(client: httpx.AsyncClient, shelf: Shelf) -> None:
    gone, kept = await shelf.upload("a.txt", "b.txt", data=b"12345")
    for document_id in (gone, kept):
        shelf.publish(document_id)
    await shelf.upload("a.txt", data=b"123")
    shelf.draft(gone, chunks=2, drafted=2)
    before = shelf.rows("SELECT * FROM knowledge WHERE tenant_id = %s", shelf.tenant.id)[0]
    assert 204 == (await client.delete(f"/api/documents/{gone}")).status_code
    assert 404 == (await client.delete(f"/api/documents/{gone}")).status_code
    assert [1, 1, 0, 3, 3, 0] == [shelf.count(table) for table in PARTS]
    assert [shelf.version(kept)["stored_as"]] == shelf.stored()
    after = shelf.rows("SELECT * FROM knowledge WHERE tenant_id = %s", shelf.tenant.id)[0]
    assert (5, 1, 3) == (after["stored_bytes"], after["documents"], after["chunks"])
    assert after["version"] > before["version"]


async def test_bytes_that_the_storage_does_not_remove_are_noted(client: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt")
    stored = shelf.stored()
    folder = shelf.folder / str(shelf.tenant.id)
    folder.rename(folder.with_suffix(".away"))
    folder.write_bytes(b"a file where the folder was")
    assert 204 == (await client.delete(f"/api/documents/{document_id}")).status_code
    noted = shelf.rows("SELECT stored_as FROM file_removals WHERE tenant_id = %s AND due_at <= now()", shelf.tenant.id)
    assert (0, stored) == (shelf.count("documents"), [row["stored_as"] for row in noted])


async def test_many_are_deleted_in_batches(
    client: httpx.AsyncClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await shelf.upload("a", "b", "c", "d", "e")
    for document_id in ids[:4]:
        shelf.publish(document_id)
    monkeypatch.setattr("schema.queries.documents.document_deletion.MAX_BATCH_CHUNKS", 6)
    monkeypatch.setattr(delete, "MAX_DELETED", 3)
    answer = await client.post("/api/documents/delete", json={"collection": "default", "states": ["ready"]})
    assert {"deleted": 3, "more": True} == answer.json()
    sent = {"ids": [str(ids[0]), str(ids[4]), str(ids[0])]}
    assert {"deleted": 2, "more": False} == (await client.post("/api/documents/delete", json=sent)).json()
    assert ([0] * 6, []) == ([shelf.count(table) for table in PARTS], shelf.stored())
    for wrong in ({}, {"states": ["ready"]}, {"ids": [str(ids[0])], "search": "a"}):
        assert 400 == (await client.post("/api/documents/delete", json=wrong)).status_code, wrong
    assert 404 == (await client.post("/api/documents/delete", json=sent)).status_code


async def test_a_worker_loses_a_file_that_is_cancelled_or_deleted(client: httpx.AsyncClient, shelf: Shelf) -> None:
    first, second = await shelf.upload("a", "b")
    job_id = shelf.version(first)["job_id"]
    await take(shelf, job_id)
    claimed = await claim_file(shelf.core.pool, shelf.tenant.id, job_id, 1, limit_s=10)
    assert claimed is not None
    await client.post(f"/api/documents/{first}/cancel")
    await client.delete(f"/api/documents/{second}")
    assert None is await claim_file(shelf.core.pool, shelf.tenant.id, job_id, 1, limit_s=10)
    async with tenant_tx(shelf.core.pool, shelf.tenant.id) as db:
        assert not await documents.cancel_document(db, shelf.tenant.id, second)


async def test_a_transaction_that_met_another_crosswise_is_tried_again() -> None:
    tries = []

    async def crossed(times: int) -> int:
        tries.append(times)
        if len(tries) <= times:
            raise psycopg.errors.DeadlockDetected
        return len(tries)

    assert 3 == await delete.retry_on_deadlock(lambda: crossed(2))
    with pytest.raises(Unavailable):
        await delete.retry_on_deadlock(lambda: crossed(99))
