"""Refused changes are in the audit log, and nobody can fill it with them."""

from uuid import uuid4

import httpx
import pytest

from api.audit.refusals import PER_CALLER, PER_TENANT, WINDOW_S, RefusalBounds
from schema.vault import PLATFORM
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant


@pytest.fixture
def member(database_url: str) -> TestTenant:
    """A tenant that is held with a member's key."""
    return make_tenant(database_url, role="member")


async def test_a_refused_change_is_in_the_log_of_the_callers_tenant(
    api: httpx.AsyncClient, database_url: str, member: TestTenant
) -> None:
    answer = await api.post("/api/users", json={"email": "a@b.example"}, headers=member.headers)
    assert 403 == answer.status_code
    (entry,) = audit_entries(database_url, member.id, "request.refused")
    assert ("POST /api/users", "denied", None) == (entry["target"], entry["result"], entry["detail"])
    assert answer.headers["X-Request-ID"] == entry["request_id"]
    assert entry["actor"].startswith("key:")


async def test_what_is_refused_behind_the_guard_is_in_the_log_too(
    api: httpx.AsyncClient, database_url: str, owner: TestTenant
) -> None:
    """An owner may manage users, but make nobody an admin."""
    body = {"email": f"{uuid4().hex}@example.com", "role": "admin"}
    assert 403 == (await api.post("/api/users", json=body, headers=owner.headers)).status_code
    assert ["POST /api/users"] == [
        entry["target"] for entry in audit_entries(database_url, owner.id, "request.refused")
    ]


async def test_what_only_admins_may_do_is_in_the_platforms_log_too(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, database_url: str, owner: TestTenant
) -> None:
    path = f"/api/admin/tenants/{owner.slug}/egress/tools/{uuid4().hex}.internal"
    assert 403 == (await api.put(path, headers=owner.headers)).status_code
    for tenant_id, detail in ((owner.id, None), (PLATFORM, {"tenant_id": str(owner.id)})):
        (entry,) = [
            one for one in audit_entries(database_url, tenant_id, "request.refused") if one["target"] == f"PUT {path}"
        ]
        assert (detail, "denied") == (entry["detail"], entry["result"])
    items = (await admin.get("/api/admin/audit?action=request.refused&result=denied&limit=1")).json()["items"]
    assert [f"PUT {path}"] == [item["target"] for item in items]


async def test_reading_without_the_right_is_not_recorded(
    api: httpx.AsyncClient, database_url: str, member: TestTenant
) -> None:
    assert 403 == (await api.get("/api/audit", headers=member.headers)).status_code
    assert 401 == (await api.post("/api/users", json={}, headers={"Authorization": "Bearer hr_no"})).status_code
    assert [] == audit_entries(database_url, member.id, "request.refused")


async def test_nobody_can_fill_the_log(api: httpx.AsyncClient, database_url: str, member: TestTenant) -> None:
    for _ in range(PER_CALLER + 5):
        assert 403 == (await api.post("/api/users", json={}, headers=member.headers)).status_code
    assert PER_CALLER == len(audit_entries(database_url, member.id, "request.refused"))


def test_a_new_window_says_how_many_were_left_out() -> None:
    now = 0.0
    bounds, tenant, other = RefusalBounds(lambda: now), uuid4(), uuid4()
    assert [0] * PER_CALLER + [None] * 3 == [bounds.admit(tenant, "key:1") for _ in range(PER_CALLER + 3)]
    assert 3 == bounds.admit(tenant, "key:2")
    assert 0 == bounds.admit(other, "key:1")
    many = [bounds.admit(tenant, f"user:{n}") for n in range(200)]
    assert PER_TENANT - PER_CALLER - 1 == many.count(0)
    now = WINDOW_S
    assert many.count(None) == bounds.admit(tenant, "key:1")
    assert 0 == bounds.admit(tenant, "key:1")


async def test_what_an_admin_does_to_a_tenant_is_in_both_logs(
    admin: httpx.AsyncClient, database_url: str, owner: TestTenant
) -> None:
    here = f"/api/admin/tenants/{owner.slug}"
    made = await admin.post(f"{here}/users", json={"email": f"{uuid4().hex}@example.com", "role": "member"})
    changes = [
        ("grant.stored", await admin.put(f"{here}/grants/model/openai%2Fgpt-x")),
        ("egress_grant.stored", await admin.put(f"{here}/egress/tools/127.0.0.1")),
        ("egress_grant.deleted", await admin.delete(f"{here}/egress/tools/127.0.0.1")),
        ("tenant.changed", await admin.patch(here, json={"max_running": 7})),
        ("tenant.suspended", await admin.post(f"{here}/suspend")),
        ("tenant.resumed", await admin.post(f"{here}/resume")),
        ("user.created", made),
        ("user.deleted", await admin.delete(f"{here}/users/{made.json()['id']}")),
        ("key.created", await admin.post(f"{here}/keys", json={"name": "second"})),
    ]
    for action, answer in changes:
        assert answer.is_success, (action, answer.text)
        (own,) = audit_entries(database_url, owner.id, action)
        (platforms,) = [
            entry
            for entry in audit_entries(database_url, PLATFORM, action)
            if (entry["detail"] or {}).get("tenant_id") == str(owner.id)
        ]
        same = ("actor", "target", "result", "request_id")
        assert [own[name] for name in same] == [platforms[name] for name in same]
        assert {**(own["detail"] or {}), "tenant_id": str(owner.id)} == platforms["detail"]


async def test_what_an_owner_does_is_in_the_tenants_log_only(
    api: httpx.AsyncClient, database_url: str, owner: TestTenant
) -> None:
    name = f"key {uuid4().hex}"
    assert 201 == (await api.post("/api/auth/keys", json={"name": name}, headers=owner.headers)).status_code
    (entry,) = audit_entries(database_url, owner.id, "key.created")
    assert [] == [
        one for one in audit_entries(database_url, PLATFORM, "key.created") if one["target"] == entry["target"]
    ]
