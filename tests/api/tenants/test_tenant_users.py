"""People and keys of a tenant in an admin's hands."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from schema.vault import PLATFORM
from tests.conftest import TestTenant


def path(tenant: TestTenant, rest: str) -> str:
    return f"/api/admin/tenants/{tenant.slug}/{rest}"


async def add(admin: httpx.AsyncClient, tenant: TestTenant, **fields: Any) -> dict[str, Any]:
    answer = await admin.post(path(tenant, "users"), json={"email": f"{uuid4().hex[:8]}@example.com"} | fields)
    assert 201 == answer.status_code, answer.text
    shown = (await admin.get(answer.headers["location"])).json()
    assert answer.json() == {name: value for name, value in shown.items() if name != "spent"}
    return answer.json()


async def test_an_admin_makes_changes_and_removes_a_tenants_people(
    admin: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant
) -> None:
    made = await add(admin, tenant, role="viewer", password="a long pass phrase")
    user = path(tenant, f"users/{made['id']}")
    changed = (await admin.patch(user, json={"role": "member", "state": "disabled"})).json()
    assert ("member", "disabled", True) == tuple(changed[name] for name in ("role", "state", "has_password"))
    listed = (await admin.get(path(tenant, "users"), params={"state": "disabled"})).json()["items"]
    assert [made["id"]] == [item["id"] for item in listed]
    assert [] == (await admin.get(path(stranger, "users"))).json()["items"]
    assert 404 == (await admin.get(path(stranger, f"users/{made['id']}"))).status_code
    assert 204 == (await admin.delete(user)).status_code
    assert 404 == (await admin.patch(user, json={"name": "Ada"})).status_code


async def test_the_last_owner_of_a_tenant_stays(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    made = await add(admin, tenant, role="owner")
    assert 409 == (await admin.delete(path(tenant, f"users/{made['id']}"))).status_code


async def test_an_admins_key_for_a_tenant_acts_for_the_tenant_until_it_is_revoked(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    made = (await admin.post(path(tenant, "keys"), json={"name": "billing", "role": "owner"})).json()
    assert (None, "owner") == (made["user_id"], made["role"])
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert tenant.slug == (await api.get("/api/tenant", headers=headers)).json()["slug"]
    listed = await admin.get(path(tenant, "keys"))
    assert made["id"] in [item["id"] for item in listed.json()["items"]]
    assert made["key"] not in listed.text
    key = path(tenant, f"keys/{made['id']}")
    assert [204, 204] == [(await admin.delete(key)).status_code for _ in range(2)]
    assert 404 == (await admin.delete(path(tenant, f"keys/{uuid4()}"))).status_code


async def test_there_are_no_admins_in_a_tenant(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    for answer in (
        await admin.post(path(tenant, "keys"), json={"name": "root", "role": "admin"}),
        await admin.post(path(tenant, "users"), json={"email": "ada@example.com", "role": "admin"}),
    ):
        assert (403, "role") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_the_installation_can_have_more_admins(admin: httpx.AsyncClient) -> None:
    platform = TestTenant(PLATFORM, "platform", "")
    made = await admin.post(path(platform, "keys"), json={"name": "second", "role": "admin"})
    assert (201, "admin") == (made.status_code, made.json()["role"])
    assert "admin" == (await add(admin, platform, role="admin"))["role"]


async def test_what_an_admin_did_stands_in_the_tenants_log(admin: httpx.AsyncClient, owner: TestTenant) -> None:
    await add(admin, owner)
    await admin.post(path(owner, "keys"), json={"name": "billing"})
    log = (await admin.get("/api/audit", headers=owner.headers)).json()["items"]
    assert ["key.created", "user.created"] == [item["action"] for item in log]


async def test_only_admins_reach_into_a_tenant(api: httpx.AsyncClient, owner: TestTenant, stranger: TestTenant) -> None:
    for place in (path(stranger, "users"), path(stranger, "keys"), path(owner, "users")):
        assert 403 == (await api.get(place, headers=owner.headers)).status_code
        assert 403 == (await api.post(place, json={"name": "x"}, headers=owner.headers)).status_code


async def test_nobody_is_added_to_a_tenant_that_is_being_deleted(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    await admin.delete(f"/api/admin/tenants/{tenant.slug}", params={"confirm": tenant.slug})
    for place, body in (("users", {"email": "ada@example.com"}), ("keys", {"name": "late"})):
        assert 409 == (await admin.post(path(tenant, place), json=body)).status_code


@pytest.mark.parametrize("scopes", [["tenants.manage"], ["tenants.manage", "users.manage", "keys.manage", "keys.own"]])
async def test_an_admins_narrowed_key_makes_nobody_who_may_do_more(
    admin: httpx.AsyncClient, tenant: TestTenant, scopes: list[str]
) -> None:
    made = await add(admin, tenant, role="member", password="a long pass phrase")
    wide = (
        await admin.post(path(TestTenant(PLATFORM, "platform", ""), "keys"), json={"name": "x", "role": "admin"})
    ).json()
    body = {"name": "onboarding", "role": "admin", "scopes": scopes, "for_tenant": True}
    headers = {"Authorization": f"Bearer {wide['key']}"}
    narrow = (await admin.post("/api/auth/keys", json=body, headers=headers)).json()["key"]
    admin.headers.update({"Authorization": f"Bearer {narrow}"})
    slug = f"new-{uuid4().hex[:8]}"
    answers = [
        await admin.patch(path(tenant, f"users/{made['id']}"), json={"password": "another long one"}),
        await admin.post(path(tenant, "users"), json={"email": "x@example.com", "role": "owner"}),
        await admin.delete(path(tenant, f"users/{made['id']}")),
        await admin.post("/api/admin/tenants", json={"slug": slug, "name": "New"}),
        await admin.post(
            "/api/admin/tenants",
            json={
                "slug": slug,
                "name": "New",
                "key": False,
                "owner": {"email": "x@example.com", "password": "a long one"},
            },
        ),
    ]
    assert [403] * 5 == [answer.status_code for answer in answers]
    assert 201 == (await admin.post("/api/admin/tenants", json={"slug": slug, "name": "New", "key": False})).status_code
    key = await admin.post(path(tenant, "keys"), json={"name": "k", "role": "owner"})
    assert key.status_code == 403 or set(key.json()["scopes"]) <= {*scopes, "self"}
