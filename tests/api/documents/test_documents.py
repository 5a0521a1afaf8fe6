"""Documents over HTTP: listed, looked at, downloaded, changed, shared; each by those who may."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.api.documents.stored_documents import Person, Shelf
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant

Json = dict[str, Any]


async def listed(api: httpx.AsyncClient, query: str = "", **kwargs: Any) -> list[str]:
    answer = await api.get(f"/api/documents{query}", **kwargs)
    assert 200 == answer.status_code, answer.text
    return [item["name"] for item in answer.json()["items"]]


async def look(api: httpx.AsyncClient, document_id: UUID) -> Json:
    answer = await api.get(f"/api/documents/{document_id}")
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_a_new_document_waits_and_a_ready_one_says_what_it_came_to(api: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt", data=b"12345", metadata={"year": 2026}, by="key:x")
    new = await look(api, document_id)
    assert ("queued", None, {"done": 0, "total": None}) == (new["state"], new["stage"], new["progress"])
    assert (False, 1, None, 0, 5) == tuple(
        new[name] for name in ("searchable", "version", "live_version", "chunks", "size_bytes")
    )
    shelf.publish(document_id)
    ready = await look(api, document_id)
    told = ("state", "searchable", "live_version", "pages", "characters", "chunks", "language", "title", "notes")
    assert ["ready", True, 1, 2, 9, 3, "en", "A title", ["a"]] == [ready[name] for name in told]
    same = ("collection", "media_type", "private", "metadata", "created_by", "source_url", "error")
    assert ["default", "text/plain", False, {"year": 2026}, "key:x", None, None] == [ready[name] for name in same]
    assert str(shelf.version(document_id)["job_id"]) == ready["job_id"]


async def test_one_that_runs_says_how_far_it_is_and_one_that_failed_why(api: httpx.AsyncClient, shelf: Shelf) -> None:
    first, second = await shelf.upload("a.txt", "b.txt")
    shelf.set(first, state="running")
    assert "reading" == (await look(api, first))["stage"]
    shelf.draft(first, chunks=7, drafted=3)
    running = await look(api, first)
    assert ("embedding", {"done": 3, "total": 7}) == (running["stage"], running["progress"])
    shelf.set(second, state="failed", error='{"code": "encrypted", "message": "It has a password."}')
    failed = await look(api, second)
    assert ("failed", {"code": "encrypted", "message": "It has a password."}) == (failed["state"], failed["error"])


async def test_while_a_new_version_waits_the_old_one_is_searched(api: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt", data=b"old")
    shelf.publish(document_id)
    assert [document_id] == await shelf.upload("a.txt", data=b"newer")
    found = await look(api, document_id)
    assert ("queued", 2, 1, True, 5, 3) == tuple(
        found[name] for name in ("state", "version", "live_version", "searchable", "size_bytes", "chunks")
    )
    here = f"/api/documents/{document_id}/content"
    assert (b"old", b"newer") == ((await api.get(here)).content, (await api.get(f"{here}?version=2")).content)
    assert 404 == (await api.get(f"{here}?version=3")).status_code


async def test_the_list_is_paged_newest_first_and_filtered(api: httpx.AsyncClient, shelf: Shelf) -> None:
    a, b, c = await shelf.upload("Công nợ.txt", "b.txt", "c.txt")
    (other,) = await shelf.upload("d.txt", collection="law")
    shelf.publish(a)
    shelf.set(b, state="failed")
    assert ["d.txt", "c.txt", "b.txt", "Công nợ.txt"] == await listed(api)
    first = (await api.get("/api/documents?limit=3")).json()
    rest = (await api.get("/api/documents", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert (["Công nợ.txt"], None) == ([item["name"] for item in rest["items"]], rest["next_cursor"])
    assert ["d.txt"] == await listed(api, "?collection=law")
    assert ["b.txt", "Công nợ.txt"] == await listed(api, "?state=ready&state=failed")
    assert ["Công nợ.txt"] == await listed(api, "?search=CONG NO")
    assert ["Công nợ.txt"] == await listed(api, "?search=a title")
    assert ["d.txt"] == await listed(api, f"?job_id={shelf.version(other)['job_id']}")
    assert ["c.txt"] == await listed(api, "?collection=default&search=c.&state=queued&private=false")
    assert [] == await listed(api, "?private=true")
    assert 404 == (await api.get("/api/documents?collection=nobody")).status_code
    for query in ("?cursor=x", "?state=lost", "?limit=101"):
        assert 400 == (await api.get(f"/api/documents{query}")).status_code
    assert c


async def test_its_passages_are_paged_in_order(api: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt")
    here = f"/api/documents/{document_id}/chunks"
    assert {"items": [], "next_cursor": None} == (await api.get(here)).json()
    shelf.publish(document_id, ["one", "two", "three"])
    first = (await api.get(f"{here}?limit=2")).json()
    said = {"text": "one", "heading": "Head", "page": 1, "page_end": None, "start": 0, "stop": 3, "place": 0}
    assert said == first["items"][0]
    rest = (await api.get(here, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert (["three"], None) == ([item["text"] for item in rest["items"]], rest["next_cursor"])


async def test_its_bytes_come_as_a_file_that_no_browser_opens(api: httpx.AsyncClient, shelf: Shelf) -> None:
    data = bytes(range(256)) * 3000
    (document_id,) = await shelf.upload('Giá "rẻ"; 5%.html', data=data, media_type="text/html")
    answer = await api.get(f"/api/documents/{document_id}/content")
    assert (200, data) == (answer.status_code, answer.content)
    assert f"{len(data)}" == answer.headers["content-length"]
    assert "text/html" == answer.headers["content-type"].partition(";")[0]
    assert ("nosniff", "default-src 'none'; sandbox") == (
        answer.headers["x-content-type-options"],
        answer.headers["content-security-policy"],
    )
    said = "attachment; filename=\"Gi_ _r___ 5_.html\"; filename*=UTF-8''Gi%C3%A1%20%22r%E1%BA%BB%22%3B%205%25.html"
    assert said == answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("name", "media_type"), [("a\r\nSet-Cookie: x=y", "text/x\r\nSet-Cookie: x=y"), ("é\u202e", "")]
)
async def test_no_name_or_type_gets_into_the_headers_as_more_than_that(
    api: httpx.AsyncClient, shelf: Shelf, name: str, media_type: str
) -> None:
    (document_id,) = await shelf.upload(name, media_type=media_type)
    answer = await api.get(f"/api/documents/{document_id}/content")
    assert (200, "application/octet-stream") == (answer.status_code, answer.headers["content-type"])
    assert "set-cookie" not in answer.headers


async def test_bytes_that_are_lost_are_told_as_that(api: httpx.AsyncClient, shelf: Shelf) -> None:
    (document_id,) = await shelf.upload("a.txt")
    (shelf.folder / shelf.stored()[0]).unlink()
    answer = await api.get(f"/api/documents/{document_id}/content")
    assert (404, True) == (answer.status_code, "Upload it again" in answer.json()["detail"])


async def test_what_is_said_of_a_document_can_be_changed(
    api: httpx.AsyncClient, shelf: Shelf, tenant: TestTenant
) -> None:
    actor = (await api.get("/api/auth/me")).json()
    (document_id,) = await shelf.upload("a.txt", metadata={"a": 1}, by=f"key:{actor['key']['id']}")
    here = f"/api/documents/{document_id}"
    before = shelf.rows("SELECT version FROM knowledge WHERE tenant_id = %s", tenant.id)[0]["version"]
    changed = (await api.patch(here, json={"metadata": {"b": [2]}})).json()
    assert ({"b": [2]}, "") == (changed["metadata"], changed["title"])
    changed = (await api.patch(here, json={"title": " Wheels "})).json()
    assert ({"b": [2]}, "Wheels") == (changed["metadata"], changed["title"])
    after = shelf.rows("SELECT version FROM knowledge WHERE tenant_id = %s", tenant.id)[0]["version"]
    assert before + 2 == after  # answers that were kept from before are not given again
    for wrong, field in (
        ({"metadata": {"x": "y" * 17_000}}, "metadata"),
        ({"name": "b"}, "name"),
        ({"title": 7}, "title"),
    ):
        answer = await api.patch(here, json=wrong)
        assert (400, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
    assert 409 == (await api.patch(here, json={"private": True})).status_code
    assert 200 == (await api.patch(here, json={"private": False})).status_code


async def test_a_private_document_is_its_persons_until_they_share_it(
    api: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    ada, bob, owner = people["ada"], people["bob"], people["owner"]
    (document_id,) = await shelf.upload("a.txt", by=ada.actor, user_id=ada.id, private=True)
    shelf.publish(document_id)
    here = f"/api/documents/{document_id}"
    for path in ("", "/content", "/chunks"):
        seen = [(await api.get(here + path, headers=who.headers)).status_code for who in (ada, bob, owner)]
        assert [200, 404, 200] == seen, path
    assert (["a.txt"], []) == tuple([await listed(api, "?private=true", headers=who.headers) for who in (ada, bob)])
    answers = [await api.patch(here, json={"private": False}, headers=who.headers) for who in (bob, owner, ada)]
    assert [404, 403, 200] == [answer.status_code for answer in answers]
    assert False is answers[-1].json()["private"]
    assert 200 == (await api.get(here, headers=bob.headers)).status_code
    for table in ("documents", "chunks", "chunk_vectors"):
        assert [] == shelf.rows(f"SELECT 1 FROM {table} WHERE tenant_id = %s AND user_id IS NOT NULL", shelf.tenant.id)
    assert [f"document:{document_id}"] == [
        row["target"] for row in audit_entries(shelf.database_url, shelf.tenant.id, "document.shared")
    ]
    assert 409 == (await api.patch(here, json={"private": True}, headers=ada.headers)).status_code


async def test_a_private_document_is_not_shared_over_a_shared_one_of_its_name(
    api: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    ada = people["ada"]
    await shelf.upload("a.txt")
    (mine,) = await shelf.upload("a.txt", by=ada.actor, user_id=ada.id, private=True)
    answer = await api.patch(f"/api/documents/{mine}", json={"private": False, "title": "x"}, headers=ada.headers)
    assert (409, ["private"]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
    mine_now = (await api.get(f"/api/documents/{mine}", headers=ada.headers)).json()
    assert (True, "") == (mine_now["private"], mine_now["title"])


async def test_a_shared_document_is_changed_by_who_uploaded_it_or_an_owner(
    api: httpx.AsyncClient, shelf: Shelf, people: dict[str, Person]
) -> None:
    ada, statuses = people["ada"], {}
    key = (await api.post("/api/auth/keys", json={"name": "k"}, headers=ada.headers)).json()
    by_key = f"key:{key['id']}"
    for name, who in people.items():
        for by in (ada.actor, by_key):
            (document_id,) = await shelf.upload(f"{uuid4()}.txt", by=by)
            here = f"/api/documents/{document_id}"
            calls = [
                await api.patch(here, json={"title": "t"}, headers=who.headers),
                await api.post(f"{here}/cancel", headers=who.headers),
                await api.post(f"{here}/retry", headers=who.headers),
                await api.post("/api/documents/retry", json={"ids": [str(document_id)]}, headers=who.headers),
                await api.post("/api/documents/delete", json={"ids": [str(document_id)]}, headers=who.headers),
            ]
            statuses[name, by] = [call.status_code for call in calls]
    right, wrong = [200, 200, 202, 202, 200], [403] * 5
    assert {(name, by): right if name in ("ada", "owner") else wrong for name, by in statuses} == statuses


async def test_another_tenants_document_is_not_there(api: httpx.AsyncClient, shelf: Shelf, database_url: str) -> None:
    (document_id,) = await shelf.upload("a.txt")
    stranger = make_tenant(database_url, role="owner")
    for method, path in (
        *(("GET", ""), ("GET", "/content"), ("GET", "/chunks"), ("PATCH", ""), ("DELETE", "")),
        *(("POST", "/cancel"), ("POST", "/retry")),
    ):
        sent = {"title": "x"} if method == "PATCH" else None
        here = f"/api/documents/{document_id}{path}"
        assert 404 == (await api.request(method, here, json=sent, headers=stranger.headers)).status_code, path
    assert [] == await listed(api, headers=stranger.headers)
    for body in ({"ids": [str(document_id)]}, {"collection": "default"}):
        for entry in ("retry", "delete"):
            answer = await api.post(f"/api/documents/{entry}", json=body, headers=stranger.headers)
            assert 404 == answer.status_code, (entry, body)
    assert ["a.txt"] == await listed(api)
