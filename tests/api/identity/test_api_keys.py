"""API keys for clients: what they may do, who sees them, how they end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from schema.identity.api_keys import read_api_key
from tests.api.people import audit_entries, bearer, signed_in, status_of
from tests.conftest import TestTenant
from tests.waiting import eventually

Json = dict[str, Any]


@pytest.fixture
async def member(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Json:
    return await signed_in(api, database_url, tenant)


@pytest.fixture
async def boss(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Json:
    return await signed_in(api, database_url, tenant, role="owner")


async def make(api: httpx.AsyncClient, secret: str, **body: Any) -> httpx.Response:
    return await api.post("/api/auth/keys", json={"name": "ci", **body}, headers=bearer(secret))


async def made(api: httpx.AsyncClient, secret: str, **body: Any) -> Json:
    answer = await make(api, secret, **body)
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def whose(api: httpx.AsyncClient, secret: str) -> Json:
    return (await api.get("/api/auth/me", headers=bearer(secret))).json()


async def names(api: httpx.AsyncClient, secret: str) -> list[str]:
    items = (await api.get("/api/auth/keys", headers=bearer(secret))).json()["items"]
    return [item["name"] for item in items]


async def test_a_key_is_shown_once(api: httpx.AsyncClient, member: Json, database_url: str, tenant: TestTenant) -> None:
    answer = await make(api, member["access_token"])
    key = answer.json()["api_key"]
    assert answer.json()["key"] == key
    assert (201, "no-store") == (answer.status_code, answer.headers["cache-control"])
    listed = await api.get("/api/auth/keys", headers=bearer(member["access_token"]))
    parts = read_api_key(key)
    assert parts is not None
    assert f"hr_{parts.find}…" == listed.json()["items"][0]["prefix"]
    assert key not in listed.text
    assert parts.digest not in listed.text + answer.text
    (entry,) = audit_entries(database_url, tenant.id, "key.created")
    assert (f"user:{member['user']['id']}", f"key:{answer.json()['id']}") == (entry["actor"], entry["target"])
    assert key not in str(entry)


async def test_a_persons_key_acts_for_that_person(api: httpx.AsyncClient, member: Json) -> None:
    said = await whose(api, (await made(api, member["access_token"]))["key"])
    assert ("key", member["user"], "member") == (said["kind"], said["user"], said["role"])


async def test_a_key_that_a_key_made_acts_for_the_same_person(api: httpx.AsyncClient, member: Json) -> None:
    first = (await made(api, member["access_token"]))["key"]
    assert member["user"] == (await whose(api, (await made(api, first))["key"]))["user"]


async def test_a_key_is_refused_within_a_second_of_its_revocation(
    api: httpx.AsyncClient, member: Json, database_url: str, tenant: TestTenant
) -> None:
    key = await made(api, member["access_token"])
    assert 200 == await status_of(api, key["key"])
    path = f"/api/auth/keys/{key['id']}"
    assert 204 == (await api.delete(path, headers=bearer(member["access_token"]))).status_code
    await eventually(lambda: status_of(api, key["key"]), 401)
    assert 204 == (await api.delete(path, headers=bearer(member["access_token"]))).status_code
    assert 1 == len(audit_entries(database_url, tenant.id, "key.revoked"))
    (listed,) = (await api.get("/api/auth/keys", headers=bearer(member["access_token"]))).json()["items"]
    assert listed["revoked_at"] is not None


async def test_a_key_of_scopes_keeps_only_these(api: httpx.AsyncClient, member: Json) -> None:
    key = await made(api, member["access_token"], scopes=["jobs.read", "chat"])
    said = await whose(api, key["key"])
    assert (["chat", "jobs.read"], ["self", "jobs.read", "chat"]) == (said["scopes"], said["rights"])
    assert 403 == (await make(api, key["key"])).status_code


async def test_a_narrowed_key_makes_keys_that_are_as_narrow(api: httpx.AsyncClient, boss: Json) -> None:
    narrow = (await made(api, boss["access_token"], scopes=["keys.own", "keys.manage", "chat"]))["key"]
    said = await whose(api, (await made(api, narrow, for_tenant=True, role="owner"))["key"])
    assert {"self", "keys.own", "keys.manage", "chat"} == set(said["rights"])
    assert 403 == (await make(api, narrow, scopes=["users.manage"])).status_code


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"role": "owner"}, 403, "role"),
        ({"role": "admin"}, 403, "role"),
        ({"for_tenant": True}, 403, "for_tenant"),
        ({"scopes": ["users.manage"]}, 403, "scopes[0]"),
        ({"role": "viewer", "scopes": ["jobs.read", "chat"]}, 400, "scopes[1]"),
        ({"scopes": ["everything"]}, 400, "scopes[0]"),
        ({"scopes": []}, 400, "scopes"),
        ({"name": ""}, 400, "name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "expires_at"),
        ({"expires_at": "2050-01-01T00:00:00"}, 400, "expires_at"),
        ({"expires_at": "2050-01-01T00:00:00Z", "expires_in_days": 1}, 400, "expires_in_days"),
        ({"expires_in_days": 0}, 400, "expires_in_days"),
        ({"user_id": "00000000-0000-0000-0000-000000000000"}, 400, "user_id"),
    ],
)
async def test_a_key_can_do_no_more_than_its_maker(
    api: httpx.AsyncClient, member: Json, body: Json, status: int, field: str
) -> None:
    answer = await make(api, member["access_token"], **body)
    assert (status, field) == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_an_owner_makes_no_admins(api: httpx.AsyncClient, boss: Json) -> None:
    assert 403 == (await make(api, boss["access_token"], role="admin", for_tenant=True)).status_code


async def test_a_viewer_has_no_keys(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> None:
    viewer = await signed_in(api, database_url, tenant, role="viewer")
    assert 403 == (await make(api, viewer["access_token"])).status_code


async def test_a_key_expires(api: httpx.AsyncClient, member: Json, database_url: str) -> None:
    key = await made(api, member["access_token"], expires_in_days=7)
    left = datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left < timedelta(days=7, minutes=1)
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (key["id"],))
    assert 401 == await status_of(api, key["key"])


async def test_everybody_sees_their_own_keys_and_an_owner_all(
    api: httpx.AsyncClient, member: Json, boss: Json, tenant: TestTenant
) -> None:
    await made(api, member["access_token"], name="mine")
    await made(api, boss["access_token"], name="the tenant's", for_tenant=True)
    assert ["mine"] == await names(api, member["access_token"])
    assert {"mine", "the tenant's", "test"} == set(await names(api, boss["access_token"]))
    assert ["test"] == await names(api, tenant.key)


async def test_nobody_revokes_what_they_can_not_see(
    api: httpx.AsyncClient, member: Json, boss: Json, tenant: TestTenant, stranger: TestTenant
) -> None:
    key = await made(api, boss["access_token"], for_tenant=True)
    for secret in (member["access_token"], tenant.key, stranger.key):
        answer = await api.delete(f"/api/auth/keys/{key['id']}", headers=bearer(secret))
        assert (404, "No such API key. GET /api/auth/keys lists the keys that you can see.") == (
            answer.status_code,
            answer.json()["detail"],
        )
    assert 200 == await status_of(api, key["key"])


async def test_an_owner_revokes_the_key_of_another(api: httpx.AsyncClient, member: Json, boss: Json) -> None:
    key = await made(api, member["access_token"])
    answer = await api.delete(f"/api/auth/keys/{key['id']}", headers=bearer(boss["access_token"]))
    assert 204 == answer.status_code
    assert 401 == await status_of(api, key["key"])


async def test_pages_show_every_key_once(api: httpx.AsyncClient, member: Json) -> None:
    for number in range(5):
        await made(api, member["access_token"], name=str(number))
    seen: list[str] = []
    cursor: Json = {}
    while True:
        page = (
            await api.get("/api/auth/keys", params={"limit": 2, **cursor}, headers=bearer(member["access_token"]))
        ).json()
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert ["4", "3", "2", "1", "0"] == seen


async def test_a_key_ends_with_its_person(
    api: httpx.AsyncClient, member: Json, database_url: str, tenant: TestTenant
) -> None:
    key = (await made(api, member["access_token"]))["key"]
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE users SET state = 'disabled' WHERE id = %s", (member["user"]["id"],))
    assert 401 == await status_of(api, key)


async def test_a_key_does_not_outlive_the_key_that_made_it(api: httpx.AsyncClient, member: Json) -> None:
    short = await made(api, member["access_token"], expires_in_days=2)
    assert short["expires_at"] == (await made(api, short["key"]))["expires_at"]
    sooner = await made(api, short["key"], expires_in_days=1)
    assert sooner["expires_at"] < short["expires_at"]
    for wanted in ({"expires_in_days": 3}, {"expires_at": "2090-01-01T00:00:00Z"}):
        answer = await make(api, short["key"], **wanted)
        assert (403, *wanted) == (answer.status_code, answer.json()["errors"][0]["field"])
