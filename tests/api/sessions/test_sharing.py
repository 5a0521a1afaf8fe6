"""Sessions that stay on top, and those that others of the tenant may read."""

import httpx
import pytest

from tests.api.conftest import calling
from tests.conftest import TestTenant

PASSWORD = "seven mill wheels"


@pytest.fixture
async def people(application: httpx.AsyncClient, owner: TestTenant) -> list[httpx.AsyncClient]:
    """Two members of a tenant, signed in."""
    found: list[httpx.AsyncClient] = []
    for email in ("an@example.com", "binh@example.com"):
        body = {"email": email, "password": PASSWORD, "role": "member"}
        assert 201 == (await application.post("/api/users", json=body, headers=owner.headers)).status_code
        signed_in = {"tenant": owner.slug, "email": email, "password": PASSWORD}
        answer = await application.post("/api/auth/login", json=signed_in)
        assert 200 == answer.status_code, answer.text
        found.append(calling(application, answer.json()["access_token"]))
    return found


async def test_a_shared_session_is_read_by_others_of_the_tenant_until_it_is_not(
    people: list[httpx.AsyncClient], application: httpx.AsyncClient, stranger: TestTenant, owner: TestTenant
) -> None:
    author, reader = people
    session_id = (await author.post("/api/sessions", json={"title": "Rivers"})).json()["id"]
    path = f"/api/sessions/{session_id}"
    assert 404 == (await reader.get(f"{path}/shared")).status_code
    assert 404 == (await reader.patch(path, json={"shared": True})).status_code
    assert (await author.patch(path, json={"shared": True})).json()["shared_at"]
    told = await reader.get(f"{path}/shared")
    assert (200, "Rivers", []) == (told.status_code, told.json()["title"], told.json()["messages"])
    for elsewhere in (path, f"{path}/messages", f"{path}/export"):
        assert 404 == (await reader.get(elsewhere)).status_code
    assert 404 == (await reader.post(f"{path}/fork")).status_code
    assert [] == (await reader.get("/api/sessions")).json()["items"]
    assert 404 == (await application.get(f"{path}/shared", headers=stranger.headers)).status_code
    assert (await author.patch(path, json={"shared": False})).json()["shared_at"] is None
    assert 404 == (await reader.get(f"{path}/shared")).status_code
    entries = (await application.get("/api/audit?action=session", headers=owner.headers)).json()["items"]
    assert ["session.unshared", "session.shared"] == [entry["action"] for entry in entries]


async def test_pinned_sessions_are_listed_alone(api: httpx.AsyncClient) -> None:
    first, second = [(await api.post("/api/sessions", json={"title": title})).json()["id"] for title in ("a", "b")]
    pinned = (await api.patch(f"/api/sessions/{first}", json={"pinned": True})).json()
    assert ("a", True) == (pinned["title"], pinned["pinned_at"] is not None)
    again = (await api.patch(f"/api/sessions/{first}", json={"pinned": True, "title": "c"})).json()
    assert (pinned["pinned_at"], "c") == (again["pinned_at"], again["title"])
    assert [first] == [one["id"] for one in (await api.get("/api/sessions?pinned=true")).json()["items"]]
    assert {first, second} <= {one["id"] for one in (await api.get("/api/sessions")).json()["items"]}
    assert 400 == (await api.get("/api/sessions?pinned=true&search=c")).status_code
    assert (await api.patch(f"/api/sessions/{first}", json={"pinned": False})).json()["pinned_at"] is None
    assert [] == (await api.get("/api/sessions?pinned=true")).json()["items"]
