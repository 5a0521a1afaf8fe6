"""People of a tenant: who may make whom, and what ends with whom."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from schema.identity.rights import MEMBER, VIEWER
from schema.vault import PLATFORM
from tests.api.people import PASSWORD, audit_entries, bearer, log_in, make_user, signed_in, some_email, status_of
from tests.conftest import TestTenant
from tests.waiting import eventually
from workers.queue.job_core import JobCore

Json = dict[str, Any]
NEW = "nine paddle boards"


@pytest.fixture(autouse=True)
async def nobody_has_guessed(core: JobCore) -> None:
    """All tests come from one address."""
    await core.redis.call("FLUSHDB")


@pytest.fixture
async def boss(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Json:
    """The only owner of the tenant; `api` is signed in as them."""
    said = await signed_in(api, database_url, tenant, role="owner")
    api.headers.update(bearer(said["access_token"]))
    return said


async def make(api: httpx.AsyncClient, **body: Any) -> Json:
    answer = await api.post("/api/users", json={"email": some_email(), **body})
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def test_a_user_is_found_where_its_location_says(api: httpx.AsyncClient, boss: Json) -> None:
    answer = await api.post("/api/users", json={"email": "Ada@Example.com", "name": "Ada", "password": PASSWORD})
    found = await api.get(answer.headers["location"])
    spent = {"day_usd": 0, "month_usd": 0, "day_tokens": 0}
    assert (201, answer.json() | {"spent": spent}) == (answer.status_code, found.json())
    assert ("ada@example.com", "Ada", "member", "active", True) == tuple(
        found.json()[name] for name in ("email", "name", "role", "state", "has_password")
    )
    assert "argon2" not in found.text


async def test_a_new_user_signs_in(api: httpx.AsyncClient, boss: Json, tenant: TestTenant) -> None:
    user = await make(api, password=PASSWORD, role="viewer")
    assert "viewer" == (await log_in(api, tenant, user["email"])).json()["user"]["role"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"email": "ada"}, 400, "email"),
        ({"email": "a da@example.com"}, 400, "email"),
        ({"email": "ada@example.com@x"}, 400, "email"),
        ({"email": "ada@example.com", "role": "king"}, 400, "role"),
        ({"email": "ada@example.com", "role": "admin"}, 403, "role"),
        ({"email": "ada@example.com", "password": "short"}, 400, "password"),
        ({"email": "ada.l@example.com", "password": "ada.l@example.com"}, 400, "password"),
        ({"name": "Ada"}, 400, "email"),
        ({"email": "ada@example.com", "state": "active"}, 400, "state"),
    ],
)
async def test_a_wrong_user_is_refused_by_field(
    api: httpx.AsyncClient, boss: Json, body: Json, status: int, field: str
) -> None:
    answer = await api.post("/api/users", json=body)
    assert (status, field) == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_an_email_is_one_persons(api: httpx.AsyncClient, boss: Json) -> None:
    user = await make(api)
    answer = await api.post("/api/users", json={"email": user["email"].upper()})
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])


async def test_members_do_not_see_who_else_is_there(api: httpx.AsyncClient, boss: Json, tenant: TestTenant) -> None:
    user = await make(api, password=PASSWORD)
    token = (await log_in(api, tenant, user["email"])).json()["access_token"]
    assert 403 == (await api.get("/api/users", headers=bearer(token))).status_code
    assert 403 == (await api.post("/api/users", json={"email": "a@b.c"}, headers=bearer(token))).status_code


async def test_people_of_another_tenant_are_not_there(
    api: httpx.AsyncClient, boss: Json, stranger: TestTenant, database_url: str
) -> None:
    other = make_user(database_url, stranger.id)
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PATCH", {"password": NEW}), ("DELETE", None)):
        for user_id in (other, uuid4()):
            answer = await api.request(method, f"/api/users/{user_id}", json=body)
            assert (404, "No such user. GET /api/users lists the users of your tenant.") == (
                answer.status_code,
                answer.json()["detail"],
            )
    assert str(other) not in (await api.get("/api/users")).text


async def test_lists_are_filtered_searched_and_paged(api: httpx.AsyncClient, boss: Json) -> None:
    ada = await make(api, email="ada@mill.example", name="Ada Wheel", role="viewer")
    bob = await make(api, email="bob@mill.example", name="Bob")
    await api.patch(f"/api/users/{bob['id']}", json={"state": "disabled"})

    async def ids(**params: Any) -> list[str]:
        return [item["id"] for item in (await api.get("/api/users", params=params)).json()["items"]]

    assert [bob["id"]] == await ids(state="disabled")
    assert [ada["id"]] == await ids(role="viewer")
    assert [ada["id"]] == await ids(search="WHEEL")
    assert [ada["id"], bob["id"]] == await ids(search="mill.example")
    assert [] == await ids(search="%")
    first = (await api.get("/api/users", params={"limit": 2})).json()
    rest = (await api.get("/api/users", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    emails = [item["email"] for item in first["items"] + rest["items"]]
    assert (3, sorted(emails), None) == (len(set(emails)), emails, rest["next_cursor"])


async def test_a_change_is_written_down(
    api: httpx.AsyncClient, boss: Json, tenant: TestTenant, database_url: str
) -> None:
    user = await make(api)
    answer = await api.patch(f"/api/users/{user['id']}", json={"role": "viewer", "name": "Ada"})
    assert ("viewer", "Ada") == (answer.json()["role"], answer.json()["name"])
    assert 204 == (await api.delete(f"/api/users/{user['id']}")).status_code
    assert 404 == (await api.get(f"/api/users/{user['id']}")).status_code
    actors = [
        (entry["actor"], entry["target"])
        for action in ("user.created", "user.changed", "user.deleted")
        for entry in audit_entries(database_url, tenant.id, action)
    ]
    assert [(f"user:{boss['user']['id']}", f"user:{user['id']}")] * 3 == actors


async def test_disabling_somebody_ends_their_sign_ins(api: httpx.AsyncClient, boss: Json, tenant: TestTenant) -> None:
    user = await make(api, password=PASSWORD)
    tokens = (await log_in(api, tenant, user["email"])).json()
    assert 200 == await status_of(api, tokens["access_token"])
    await api.patch(f"/api/users/{user['id']}", json={"state": "disabled"})
    await eventually(lambda: status_of(api, tokens["access_token"]), 401)
    await api.patch(f"/api/users/{user['id']}", json={"state": "active"})
    assert 401 == await status_of(api, tokens["access_token"])
    answer = await api.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert 401 == answer.status_code


async def test_a_password_that_an_owner_sets_ends_the_sign_ins(
    api: httpx.AsyncClient, boss: Json, tenant: TestTenant, database_url: str
) -> None:
    user = await make(api, password=PASSWORD)
    tokens = (await log_in(api, tenant, user["email"])).json()
    assert 200 == (await api.patch(f"/api/users/{user['id']}", json={"password": NEW})).status_code
    assert 401 == await status_of(api, tokens["access_token"])
    assert 401 == (await log_in(api, tenant, user["email"])).status_code
    assert 200 == (await log_in(api, tenant, user["email"], NEW)).status_code
    assert 1 == len(audit_entries(database_url, tenant.id, "password.changed"))
    assert [] == audit_entries(database_url, tenant.id, "user.changed")


@pytest.mark.parametrize("change", [{"role": "member"}, {"state": "disabled"}, None])
async def test_the_last_active_owner_stays(api: httpx.AsyncClient, boss: Json, change: Json | None) -> None:
    gone = await make(api, role="owner")
    await api.patch(f"/api/users/{gone['id']}", json={"state": "disabled"})
    path = f"/api/users/{boss['user']['id']}"
    answer = await (api.patch(path, json=change) if change else api.delete(path))
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])
    await api.patch(f"/api/users/{gone['id']}", json={"state": "active"})
    answer = await (api.patch(path, json=change) if change else api.delete(path))
    assert answer.status_code in (200, 204)


async def test_owners_who_demote_each_other_at_once_leave_one(
    api: httpx.AsyncClient, boss: Json, database_url: str, tenant: TestTenant
) -> None:
    others = [(await make(api, role="owner"))["id"] for _ in range(3)]
    answers = await asyncio.gather(
        *(api.patch(f"/api/users/{user_id}", json={"role": "viewer"}) for user_id in [*others, boss["user"]["id"]])
    )
    assert {200, 409} >= {answer.status_code for answer in answers} - {403}
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT count(*) FROM users WHERE tenant_id = %s AND role = 'owner'", (tenant.id,)).fetchone()
    assert (1,) == row


NARROW: list[tuple[list[str], list[str]]] = [
    (["users.read", "users.manage"], []),
    ([*MEMBER, "users.read", "users.manage"], ["viewer", "member"]),
    ([*VIEWER, "users.read", "users.manage", "keys.manage"], ["viewer"]),
]


@pytest.mark.parametrize(
    ("scopes", "within_reach"), NARROW, ids=["users only", "a member's rights", "a viewer's rights"]
)
async def test_a_narrowed_key_acts_on_nobody_who_may_do_more(
    api: httpx.AsyncClient, boss: Json, scopes: list[str], within_reach: list[str]
) -> None:
    people = {role: await make(api, role=role, password=PASSWORD) for role in ("viewer", "member", "owner")}
    created = await api.post("/api/auth/keys", json={"name": "hr", "scopes": scopes})
    api.headers.update(bearer(created.json()["key"]))
    for role, user in people.items():
        expected = 200 if role in within_reach else 403
        path = f"/api/users/{user['id']}"
        for change in ({"password": NEW}, {"name": "x"}, {"role": role}, {"state": "disabled"}, {"state": "active"}):
            assert (role, change, expected) == (role, change, (await api.patch(path, json=change)).status_code)
        added = await api.post("/api/users", json={"email": some_email(), "role": role, "password": PASSWORD})
        assert (role, 201 if expected == 200 else 403) == (role, added.status_code)
        higher = await api.patch(path, json={"role": "owner"})
        assert (403, "role") == (higher.status_code, higher.json()["errors"][0]["field"])
        assert (role, 204 if expected == 200 else 403) == (role, (await api.delete(path)).status_code)


async def test_a_narrowed_key_is_told_which_right_it_lacks(api: httpx.AsyncClient, boss: Json) -> None:
    scopes = [*MEMBER, "users.manage"]
    scopes.remove("chat")
    key = (await api.post("/api/auth/keys", json={"name": "hr", "scopes": scopes})).json()["key"]
    answer = await api.post("/api/users", json={"email": some_email(), "role": "member"}, headers=bearer(key))
    assert (403, "'chat'") == (answer.status_code, answer.json()["detail"].split()[-1].rstrip("."))


async def test_a_password_that_somebody_else_sets_revokes_the_keys(
    api: httpx.AsyncClient, boss: Json, tenant: TestTenant, database_url: str
) -> None:
    user = await make(api, password=PASSWORD, role="owner")
    token = (await log_in(api, tenant, user["email"])).json()["access_token"]
    keys = [(await api.post("/api/auth/keys", json={"name": "x"}, headers=bearer(token))).json() for _ in range(2)]
    keys.append((await api.post("/api/auth/keys", json={"name": "y"}, headers=bearer(keys[0]["key"]))).json())
    mine = (await api.post("/api/auth/keys", json={"name": "mine"})).json()["key"]
    assert [200] * 3 == [await status_of(api, key["key"]) for key in keys]
    assert 200 == (await api.patch(f"/api/users/{user['id']}", json={"password": NEW})).status_code
    for key in keys:
        await eventually(lambda secret=key["key"]: status_of(api, secret), 401)
    assert 200 == await status_of(api, mine)
    (entry,) = audit_entries(database_url, tenant.id, "password.changed")
    assert (f"user:{boss['user']['id']}", f"user:{user['id']}") == (entry["actor"], entry["target"])
    assert {"logins_ended": 1, "keys_revoked": 3} == entry["detail"]


async def test_nobody_sets_their_own_password_without_the_current_one(api: httpx.AsyncClient, boss: Json) -> None:
    key = (await api.post("/api/auth/keys", json={"name": "mine"})).json()["key"]
    for secret in (boss["access_token"], key):
        path = f"/api/users/{boss['user']['id']}"
        answer = await api.patch(path, json={"password": NEW}, headers=bearer(secret))
        assert (403, "password") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_an_owner_has_no_power_over_an_admin(
    api: httpx.AsyncClient, boss: Json, tenant: TestTenant, database_url: str
) -> None:
    admin = make_user(database_url, tenant.id, role="admin")
    assert 403 == (await api.patch(f"/api/users/{admin}", json={"password": NEW})).status_code
    assert 403 == (await api.delete(f"/api/users/{admin}")).status_code


async def test_admins_make_admins_in_the_platforms_tenant_only(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    platform = TestTenant(PLATFORM, "platform", "")
    there = await signed_in(api, database_url, platform, role="admin")
    here = await signed_in(api, database_url, tenant, role="admin")
    body = {"email": some_email(), "role": "admin"}
    assert 201 == (await api.post("/api/users", json=body, headers=bearer(there["access_token"]))).status_code
    assert 403 == (await api.post("/api/users", json=body, headers=bearer(here["access_token"]))).status_code


async def test_a_new_password_of_ones_own_ends_the_other_sign_ins(
    api: httpx.AsyncClient, boss: Json, tenant: TestTenant, database_url: str
) -> None:
    other = (await log_in(api, tenant, boss["user"]["email"])).json()
    answer = await api.post("/api/users/me/password", json={"current_password": PASSWORD, "new_password": NEW})
    assert 204 == answer.status_code, answer.text
    assert 200 == await status_of(api, boss["access_token"])
    assert 401 == await status_of(api, other["access_token"])
    assert 200 == (await log_in(api, tenant, boss["user"]["email"], NEW)).status_code
    assert ["ok"] == [entry["result"] for entry in audit_entries(database_url, tenant.id, "password.changed")]


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [("not the password", NEW, "current_password"), (PASSWORD, "short", "new_password")],
)
async def test_a_wrong_change_of_password_is_refused_by_field(
    api: httpx.AsyncClient, boss: Json, current: str, new: str, field: str
) -> None:
    answer = await api.post("/api/users/me/password", json={"current_password": current, "new_password": new})
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_a_stolen_token_can_not_guess_the_password(api: httpx.AsyncClient, boss: Json) -> None:
    body = {"current_password": "not the password", "new_password": NEW}
    statuses = [(await api.post("/api/users/me/password", json=body)).status_code for _ in range(6)]
    assert [400] * 5 + [429] == statuses


async def test_a_key_can_not_change_a_password(api: httpx.AsyncClient, boss: Json) -> None:
    key = (await api.post("/api/auth/keys", json={"name": "mine"})).json()["key"]
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert 403 == (await api.post("/api/users/me/password", json=body, headers=bearer(key))).status_code
