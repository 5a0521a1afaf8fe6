"""A person's private documents are in their export and go with them; what they shared stays."""

from typing import Any

import httpx

from schema.queries.identity import privacy
from tests.api.documents.stored_documents import Person, Shelf
from tests.workers.jobs import rows

PARTS = ("documents", "document_versions", "chunks", "chunk_vectors", "chunk_drafts")


async def test_an_export_lists_the_documents_that_are_theirs_alone(
    client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    for name, who in people.items():
        mine: dict[str, Any] = {"by": who.actor, "user_id": who.id, "metadata": {"of": name}}
        await shelf.upload(f"{name} alone", **mine, private=True)
        await shelf.upload(f"{name} for all", **mine)
    ada = people["ada"]
    own = await client.get("/api/users/me/export", headers=ada.headers)
    found = own.json()["documents"]
    assert [("ada alone", {"of": "ada"})] == [(row["name"], row["metadata"]) for row in found]
    assert found == (await client.get(f"/api/users/{ada.id}/export")).json()["documents"]
    assert {"chunks", "document_versions"} < set(privacy.NOT_EXPORTED)


async def test_who_is_erased_takes_their_private_documents_along_and_their_bytes_are_noted(
    client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    ada, bob = people["ada"], people["bob"]
    hers: dict[str, Any] = {"by": ada.actor, "user_id": ada.id}
    ready, drafted = await shelf.upload("a", "b", **hers, private=True, data=b"12345")
    (shared,) = await shelf.upload("c", **hers, data=b"123")
    (his,) = await shelf.upload("a", by=bob.actor, user_id=bob.id, private=True, data=b"1")
    for document_id in (ready, shared, his):
        shelf.publish(document_id)
    shelf.draft(drafted, chunks=2, drafted=2)
    stored = {shelf.version(document_id)["stored_as"] for document_id in (ready, drafted)}
    (user,) = rows(shelf.database_url, "SELECT email FROM users WHERE id = %s", ada.id)
    answer = await client.post(f"/api/users/{ada.id}/erase", json={"confirm": user["email"]})
    assert (200, 2) == (answer.status_code, answer.json()["rows"]["documents"])
    assert [2, 2, 6, 6, 0] == [shelf.count(table) for table in PARTS]
    sql = "SELECT stored_as FROM file_removals WHERE tenant_id = %s AND due_at <= now()"
    assert stored == {row["stored_as"] for row in shelf.rows(sql, shelf.tenant.id)}
    (sums,) = shelf.rows("SELECT * FROM knowledge WHERE tenant_id = %s", shelf.tenant.id)
    assert (4, 2, 6) == (sums["stored_bytes"], sums["documents"], sums["chunks"])
    assert 404 == (await client.get(f"/api/documents/{ready}")).status_code
    assert 200 == (await client.get(f"/api/documents/{shared}")).status_code


async def test_a_key_that_may_not_read_documents_exports_nothing(
    client: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    sent = {"name": "k", "scopes": ["sessions.read", "jobs.read"]}
    key = (await client.post("/api/auth/keys", json=sent, headers=people["ada"].headers)).json()
    headers = {"Authorization": f"Bearer {key.get('key') or key['api_key']}"}
    assert 403 == (await client.get("/api/users/me/export", headers=headers)).status_code
