"""What is remembered about the caller, over HTTP."""

import httpx
import psycopg

from schema.ids import new_id
from tests.api.people import bearer, make_user, signed_in
from tests.conftest import TestTenant


def remember(database_url: str, tenant: TestTenant, user_id: str, *texts: str) -> None:
    """Keep facts about a user."""
    sql = """INSERT INTO memories (tenant_id, id, user_id, text, embedder, embedding)
      VALUES (%s, %s, %s, %s, 'none', '[1]')"""
    with psycopg.connect(database_url) as db:
        for text in texts:
            db.execute(sql, (tenant.id, new_id(), user_id, text))


async def remembered(api: httpx.AsyncClient, headers: dict[str, str]) -> list[str]:
    return [item["text"] for item in (await api.get("/api/memories", headers=headers)).json()["items"]]


async def test_people_read_what_is_remembered_about_them_and_nobody_else(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    ada, ben = [await signed_in(api, database_url, tenant, role=role) for role in ("member", "owner")]
    remember(database_url, tenant, ada["user"]["id"], "Likes rivers.", "Lives in Hanoi.")
    assert ["Lives in Hanoi.", "Likes rivers."] == await remembered(api, bearer(ada["access_token"]))
    assert [] == await remembered(api, bearer(ben["access_token"]))


async def test_pages_show_every_memory_once(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> None:
    ada = await signed_in(api, database_url, tenant)
    remember(database_url, tenant, ada["user"]["id"], *(f"fact {number}" for number in range(5)))
    seen, params = list[str](), {"limit": "2"}
    while True:
        answer = await api.get("/api/memories", params=params, headers=bearer(ada["access_token"]))
        seen += [item["text"] for item in answer.json()["items"]]
        if (cursor := answer.json()["next_cursor"]) is None:
            break
        params["cursor"] = cursor
    assert [f"fact {number}" for number in range(4, -1, -1)] == seen


async def test_one_memory_is_forgotten_and_the_others_stay(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    ada = await signed_in(api, database_url, tenant)
    headers = bearer(ada["access_token"])
    remember(database_url, tenant, ada["user"]["id"], "Likes rivers.", "Lives in Hanoi.")
    (first, _) = (await api.get("/api/memories", headers=headers)).json()["items"]
    answers = [await api.delete(f"/api/memories/{first['id']}", headers=headers) for _ in range(2)]
    assert [204, 404] == [answer.status_code for answer in answers]
    assert ["Likes rivers."] == await remembered(api, headers)


async def test_everything_about_one_person_is_forgotten_at_once(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    ada, ben = [await signed_in(api, database_url, tenant) for _ in range(2)]
    for person in (ada, ben):
        remember(database_url, tenant, person["user"]["id"], "one", "two")
    assert 204 == (await api.delete("/api/memories", headers=bearer(ada["access_token"]))).status_code
    assert ([], ["two", "one"]) == (
        await remembered(api, bearer(ada["access_token"])),
        await remembered(api, bearer(ben["access_token"])),
    )


async def test_nobody_makes_others_forget(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, stranger: TestTenant
) -> None:
    ada = await signed_in(api, database_url, tenant)
    remember(database_url, tenant, ada["user"]["id"], "Likes rivers.")
    (memory,) = (await api.get("/api/memories", headers=bearer(ada["access_token"]))).json()["items"]
    owner = await signed_in(api, database_url, tenant, role="owner")
    elsewhere = await signed_in(api, database_url, stranger)
    for person in (owner, elsewhere):
        answer = await api.delete(f"/api/memories/{memory['id']}", headers=bearer(person["access_token"]))
        assert (404, "No such memory.") == (answer.status_code, answer.json()["detail"])
    assert ["Likes rivers."] == await remembered(api, bearer(ada["access_token"]))


async def test_a_key_of_the_tenant_is_told_that_memories_are_a_persons(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    remember(database_url, tenant, str(make_user(database_url, tenant.id)), "Likes rivers.")
    for method, path in (("GET", ""), ("DELETE", ""), ("DELETE", f"/{new_id()}")):
        answer = await api.request(method, f"/api/memories{path}")
        assert (403, "forbidden") == (answer.status_code, answer.json()["code"])
        assert "Sign in, or use a user's key." in answer.json()["detail"]
