"""Collections over HTTP: made, measured, changed, embedded anew, deleted with all that is in them."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from api.documents import collections
from schema.queries.documents.reembedding import set_next_space
from tests.api.documents.stored_documents import SPACE, Person, Shelf
from tests.api.people import audit_entries
from tests.conftest import make_tenant
from tests.workers.jobs import change, job_row

Json = dict[str, Any]
HELD = ("documents", "chunks", "pages", "characters", "bytes")
PARTS = ("collections", "documents", "document_versions", "chunk_drafts", "chunks", "chunk_vectors", "file_removals")


async def make(client: httpx.AsyncClient, name: str = "", **said: Any) -> Json:
    answer = await client.post("/api/collections", json={"name": name or f"c-{uuid4().hex[:8]}", **said})
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def look(client: httpx.AsyncClient, name: str) -> Json:
    answer = await client.get(f"/api/collections/{name}")
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_one_that_was_made_is_found_and_has_what_was_said_or_is_usual(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    usual = await make(client, "manuals", description="How to.")
    told = ("name", "description", "chunking", "embedder", "space", "reembedding", "documents")
    assert ["manuals", "How to.", {"characters": 1000, "overlap": 200}, "minilm", None, None, 0] == [
        usual[name] for name in told
    ]
    other = await make(client, "2026.law", chunking={"characters": 300, "overlap": 149}, embedder="ollama/bge-m3")
    assert ({"characters": 300, "overlap": 149}, "ollama/bge-m3") == (other["chunking"], other["embedder"])
    assert usual == await look(client, "manuals")
    assert 409 == (await client.post("/api/collections", json={"name": "manuals"})).status_code
    assert ["manuals", "2026.law"] == [
        row["target"] for row in audit_entries(shelf.database_url, shelf.tenant.id, "collection.created")
    ]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": ""}, "name"),
        ({"chunking": {"characters": 199}}, "chunking.characters"),
        ({"chunking": {"characters": 8001}}, "chunking.characters"),
        ({"chunking": {"characters": 300, "overlap": 150}}, "chunking.overlap"),
        ({"chunking": {"characters": 300}}, "chunking.overlap"),
        ({"chunking": {"overlap": -1}}, "chunking.overlap"),
        ({"embedder": "openai/other"}, "embedder"),
        ({"embedder": ""}, "embedder"),
    ],
)
async def test_what_does_not_fit_is_refused(client: httpx.AsyncClient, said: Json, field: str) -> None:
    made = await make(client)
    answers = [await client.post("/api/collections", json={"name": "x", **said})]
    if "name" not in said:
        answers.append(await client.patch(f"/api/collections/{made['name']}", json=said))
    for answer in answers:
        assert (400, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])


async def test_it_says_what_is_in_it(client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]) -> None:
    ada, bob = people["ada"], people["bob"]
    first, second = await shelf.upload("a", "b", data=b"12345", by=ada.actor)
    (secret,) = await shelf.upload("c", data=b"123", by=ada.actor, user_id=ada.id, private=True)
    await shelf.upload("d", collection="law")
    for document_id in (first, secret):
        shelf.publish(document_id)
    await shelf.upload("a", data=b"1234567", by=ada.actor)
    shelf.set(second, state="failed")
    whole = await look(client, "default")
    assert [3, 6, 4, 18, 20] == [whole[name] for name in HELD]
    assert {"queued": 1, "running": 0, "ready": 1, "failed": 1, "cancelled": 0} == whole["states"]
    assert SPACE == whole["space"]
    seen = (await client.get("/api/collections/default", headers=bob.headers)).json()
    assert [2, 3, 2, 9, 17] == [seen[name] for name in HELD]
    every = (await client.get("/api/collections")).json()["items"]
    assert [whole, await look(client, "law")] == every
    assert every == (await client.get("/api/admin/knowledge/collections")).json()["items"]


async def test_the_list_is_paged_by_name(client: httpx.AsyncClient) -> None:
    for name in ("b", "a", "C"):
        await make(client, name)
    first = (await client.get("/api/collections?limit=2")).json()
    rest = (await client.get("/api/collections", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert (["C", "a"], ["b"], None) == (
        [item["name"] for item in first["items"]],
        [item["name"] for item in rest["items"]],
        rest["next_cursor"],
    )


async def test_other_chunks_hold_for_what_is_read_from_then_on(client: httpx.AsyncClient, shelf: Shelf) -> None:
    ready, failed = await shelf.upload("a", "b")
    (waiting,) = await shelf.upload("c")
    shelf.publish(ready)
    shelf.set(failed, state="failed")
    jobs = shelf.count("jobs")
    sent = {"chunking": {"characters": 500, "overlap": 50}, "description": "d"}
    changed = (await client.patch("/api/collections/default", json=sent)).json()
    assert ({"characters": 500, "overlap": 50}, "d", None) == (
        changed["chunking"],
        changed["description"],
        changed["job_id"],
    )
    assert (jobs, "ready") == (shelf.count("jobs"), shelf.version(ready)["state"])
    key = {"Idempotency-Key": uuid4().hex}
    answers = [await client.post("/api/collections/default/reingest", headers=key) for _ in range(2)]
    assert [202, 202] == [answer.status_code for answer in answers]
    said = answers[0].json()
    assert (2, said) == (said["documents"], answers[1].json())
    assert [said["job_id"]] * 2 == [str(shelf.version(one)["job_id"]) for one in (ready, failed)]
    assert [0, 1] == sorted(shelf.version(one)["place"] for one in (ready, failed))
    assert said["job_id"] != str(shelf.version(waiting)["job_id"])
    nothing = await client.post("/api/collections/default/reingest")
    assert (202, {"job_id": None, "documents": 0, "more": False}) == (nothing.status_code, nothing.json())


async def test_another_embedder_is_a_job_and_searches_go_on_with_the_old_one(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    (document_id,) = await shelf.upload("a")
    shelf.publish(document_id)
    here = "/api/collections/default"
    changed = (await client.patch(here, json={"embedder": "ollama/bge-m3"})).json()
    assert ("minilm", SPACE) == (changed["embedder"], changed["space"])
    assert {"embedder": "ollama/bge-m3", "done": 0, "total": 3} == changed["reembedding"]
    job = job_row(shelf.database_url, changed["job_id"])
    assert ("ingestion", {"reembed": changed["id"]}) == (job["kind"], job["payload"])
    assert "ready" == shelf.version(document_id)["state"]
    with psycopg.connect(shelf.database_url) as db:
        db.execute("SELECT open_vector_space('test/next', 2)")
        sql = """INSERT INTO chunk_vectors SELECT tenant_id, chunk_id, (SELECT id FROM vector_spaces WHERE name = 'test/next'),
          document_id, collection_id, user_id, '[0, 1]' FROM chunk_vectors WHERE document_id = %s LIMIT 2"""
        db.execute(sql, (document_id,))
        db.execute("UPDATE collections SET next_space = (SELECT id FROM vector_spaces WHERE name = 'test/next')")
    assert {"embedder": "ollama/bge-m3", "done": 2, "total": 3} == (await look(client, "default"))["reembedding"]
    again = (await client.patch(here, json={"embedder": "ollama/bge-m3"})).json()
    assert (2, True) == (again["reembedding"]["done"], again["job_id"] not in (None, changed["job_id"]))
    stayed = (await client.patch(here, json={"embedder": "minilm"})).json()
    assert (None, None) == (stayed["reembedding"], stayed["job_id"])
    unchanged = (await client.patch(here, json={"embedder": "minilm"})).json()
    assert (None, 3) == (unchanged["job_id"], shelf.count("jobs"))


async def test_a_job_for_an_embedder_that_was_called_off_finds_nothing_to_do(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    made = await make(client)
    here = f"/api/collections/{made['name']}"
    await client.patch(here, json={"embedder": "ollama/bge-m3"})
    await client.patch(here, json={"embedder": "minilm"})
    async with shelf.tx() as db:
        assert not await set_next_space(db, shelf.tenant.id, made["id"], "ollama/bge-m3", 1)


async def test_a_deleted_collection_leaves_nothing_and_others_stay(
    client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = people["ada"]
    monkeypatch.setattr(collections, "PAGE", 2)
    first, second = await shelf.upload("a", "b")
    (secret,) = await shelf.upload("c", by=ada.actor, user_id=ada.id, private=True)
    (kept,) = await shelf.upload("d", collection="law")
    for document_id in (first, secret, kept):
        shelf.publish(document_id)
    shelf.draft(second, chunks=3, drafted=2)
    assert 204 == (await client.delete("/api/collections/default")).status_code
    assert 404 == (await client.delete("/api/collections/default")).status_code
    assert [1, 1, 1, 0, 3, 3, 0] == [shelf.count(table) for table in PARTS]
    assert [shelf.version(kept)["stored_as"]] == shelf.stored()
    assert [] == [item for item in (await client.get("/api/documents")).json()["items"] if item["collection"] != "law"]
    assert 1 == len(await shelf.upload("a"))  # the next upload makes it again


async def test_what_is_uploaded_while_a_collection_is_deleted_goes_with_it(
    client: httpx.AsyncClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shelf.upload("a")
    emptied = collections.documents.list_editable_documents

    async def and_then_another(*args: Any, **kwargs: Any) -> Any:
        found = await emptied(*args, **kwargs)
        if not found:
            await shelf.upload("late")
        return found

    monkeypatch.setattr(collections.documents, "list_editable_documents", and_then_another)
    assert 204 == (await client.delete("/api/collections/default")).status_code
    assert ([0] * 7, []) == ([shelf.count(table) for table in PARTS], shelf.stored())


async def test_members_read_collections_and_owners_change_them(
    api: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person], database_url: str
) -> None:
    await shelf.upload("a")
    stranger = make_tenant(database_url, role="owner")
    here, statuses = "/api/collections/default", {}
    authenticator = {**{name: who.headers for name, who in people.items()}, "stranger": stranger.headers}
    for name, headers in authenticator.items():
        calls = [
            await api.get(here, headers=headers),
            await api.post("/api/collections", json={"name": f"by-{name}"}, headers=headers),
            await api.patch(here, json={"description": name}, headers=headers),
            await api.post(f"{here}/reingest", headers=headers),
            await api.get("/api/admin/knowledge", headers=headers),
        ]
        statuses[name] = [call.status_code for call in calls]
    reads = [200, 403, 403, 403, 403]
    assert {
        **dict.fromkeys(("ada", "bob", "viewer"), reads),
        "owner": [200, 201, 200, 202, 200],
        "stranger": [404, 201, 404, 404, 200],
    } == statuses
    assert 403 == (await api.delete(here, headers=people["ada"].headers)).status_code
    assert 404 == (await api.delete(here, headers=stranger.headers)).status_code


async def test_a_tenant_has_so_many_and_no_more(
    client: httpx.AsyncClient, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "MAX_COLLECTIONS", 1)
    await make(client)
    answer = await client.post("/api/collections", json={"name": "second"})
    assert (409, True, 1) == (answer.status_code, "reached the maximum" in answer.text, shelf.count("collections"))


async def test_the_owners_page_counts_everything(
    client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    empty = (await client.get("/api/admin/knowledge")).json()
    assert ({"stored_bytes": 0, "limit_bytes": None}, 0, None) == (
        empty["storage"],
        empty["documents"],
        empty["oldest_waiting"],
    )
    ada = people["ada"]
    ready, failed = await shelf.upload("a", "b", data=b"12345")
    await shelf.upload("c", data=b"123", media_type="text/html", user_id=ada.id, private=True)
    shelf.publish(ready)
    for document_id, hours in ((failed, 1), (ready, 25)):
        reason = '{"code": "encrypted", "message": "x"}'
        shelf.set(document_id, state="failed", error=reason)
        sql = "UPDATE document_versions SET finished_at = now() - make_interval(hours => %s) WHERE document_id = %s"
        change(shelf.database_url, sql, hours, document_id)
    change(shelf.database_url, "UPDATE tenants SET max_storage_bytes = 99 WHERE id = %s", shelf.tenant.id)
    told = (await client.get("/api/admin/knowledge")).json()
    assert ({"stored_bytes": 13, "limit_bytes": 99}, 3, 3) == (told["storage"], told["documents"], told["chunks"])
    assert {"queued": 1, "running": 0, "ready": 0, "failed": 2, "cancelled": 0} == told["states"]
    types = [{"media_type": "text/plain", "documents": 2, "bytes": 10}]
    assert [*types, {"media_type": "text/html", "documents": 1, "bytes": 3}] == told["types"]
    assert [{"name": SPACE, "dimensions": 2, "vectors": 3}] == told["spaces"]
    assert ({"encrypted": 1}, True) == (told["failures_24h"], told["oldest_waiting"] is not None)
