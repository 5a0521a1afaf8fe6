"""Tenants over the admin's routes: made, looked at, changed, suspended, deleted."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from api.app import create_app
from api.auth.slugs import RESERVED_SLUGS
from api.auth.tenant_scope import SLUG
from api.http.paging import write_cursor
from api.settings import ApiSettings
from schema.postgres.connections import tenant_tx
from schema.queries.tenants.audit import list_audit
from schema.vault import PLATFORM
from tests.conftest import TestTenant, make_tenant
from workers.queue.job_core import JobCore

TENANTS = "/api/admin/tenants"
JSON = {"Content-Type": "application/json"}


def slug() -> str:
    return f"t-{uuid4().hex[:10]}"


async def make(admin: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await admin.post(TENANTS, json={"slug": slug(), "name": "Acme"} | fields)
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def audit_entries(core: JobCore, tenant_id: UUID) -> list[dict[str, Any]]:
    async with tenant_tx(core.pool, tenant_id) as db:
        return [msgspec.structs.asdict(row) for row in await list_audit(db, tenant_id, limit=50)]


async def test_a_new_tenant_can_ask_at_once_with_the_key_of_the_answer(admin: httpx.AsyncClient) -> None:
    made = await make(admin, models=["offline/*"])
    key = {"Authorization": f"Bearer {made['api_key']}"}
    own = (await admin.get("/api/tenant", headers=key)).json()
    assert (made["slug"], ["offline/*"], []) == (own["slug"], own["models"], own["services"])
    answer = await admin.post("/api/chat", json={"message": "hi"}, headers=key | {"Prefer": "respond-async"})
    assert 202 == answer.status_code


async def test_the_owner_of_a_new_tenant_signs_in(admin: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    made = await make(admin, owner={"email": "Ada@Example.com", "name": "Ada", "password": "a long pass phrase"})
    login = {"tenant": made["slug"], "email": "ada@example.com", "password": "a long pass phrase"}
    answer = await api.post("/api/auth/login", json=login)
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    users = (await api.get("/api/users", headers=token)).json()["items"]
    assert [(made["owner_id"], "owner")] == [(user["id"], user["role"]) for user in users]


async def test_a_tenant_is_found_by_slug_and_by_id_and_shows_no_key(admin: httpx.AsyncClient) -> None:
    made = await make(admin, models=["ollama/*", "openai/gpt-4o"], agents=["sql-*"])
    by_slug = await admin.get(f"{TENANTS}/{made['slug']}")
    assert by_slug.json() == (await admin.get(f"{TENANTS}/{made['id']}")).json()
    assert {"model": 2, "agent": 1, "tool": 0} == by_slug.json()["grants"]
    assert made["api_key"] not in by_slug.text


async def test_a_tenant_needs_no_key(admin: httpx.AsyncClient) -> None:
    assert "api_key" not in await make(admin, key=False)


async def test_limits_are_kept_to_the_nano_dollar_and_null_takes_one_away(admin: httpx.AsyncClient) -> None:
    made = await make(
        admin, limits={"requests_per_minute": 60, "budget_day_usd": 0.000000001, "budget_month_usd": 25.5}
    )
    assert (60, 1e-9, 25.5) == tuple(
        made["limits"][name] for name in ("requests_per_minute", "budget_day_usd", "budget_month_usd")
    )
    change = {"limits": {"requests_per_minute": None, "budget_warn_percent": 90}, "max_running": 7, "name": "Other"}
    changed = (await admin.patch(f"{TENANTS}/{made['slug']}", json=change)).json()
    assert (None, 90, 25.5) == tuple(
        changed["limits"][name] for name in ("requests_per_minute", "budget_warn_percent", "budget_month_usd")
    )
    assert (7, "Other") == (changed["max_running"], changed["name"])


async def test_rates_of_reads_and_searches_have_generous_defaults_and_can_be_changed(admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    assert (30_000, 3000) == (made["limits"]["reads_per_minute"], made["limits"]["searches_per_minute"])
    change = {"limits": {"reads_per_minute": None, "searches_per_minute": 5}}
    changed = (await admin.patch(f"{TENANTS}/{made['slug']}", json=change)).json()
    assert (None, 5) == (changed["limits"]["reads_per_minute"], changed["limits"]["searches_per_minute"])


async def test_a_change_of_nothing_changes_nothing(admin: httpx.AsyncClient) -> None:
    made = await make(admin, retention_days=30)
    answer = await admin.patch(f"{TENANTS}/{made['id']}", json={})
    assert (200, 30) == (answer.status_code, answer.json()["retention_days"])


async def test_a_slug_is_taken_once(admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    answer = await admin.post(TENANTS, json={"slug": made["slug"], "name": "Second"})
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"slug": "A"}, "slug"),
        ({"slug": "a"}, "slug"),
        ({"slug": "acme\n"}, "slug"),
        ({"slug": "ácme"}, "slug"),
        ({"slug": "sessions"}, "slug"),
        ({"slug": "platform"}, "slug"),
        ({"slug": str(uuid4())}, "slug"),
        ({"slug": "x" * 64}, "slug"),
        ({"name": " "}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"models": ["gpt-4o"]}, "models[0]"),
        ({"models": ["openai/*", "openai/g*t"]}, "models[1]"),
        ({"agents": ["a b"]}, "agents[0]"),
        ({"tools": ["a\0"]}, "tools[0]"),
        ({"default_model": "openai/gpt-4o", "models": ["ollama/*"]}, "default_model"),
        ({"limits": {"budget_day_usd": -1}}, "limits.budget_day_usd"),
        ({"limits": {"budget_day_usd": 1e300}}, "limits.budget_day_usd"),
        ({"limits": {"budget_day_usd": 0.0000000001}}, "limits.budget_day_usd"),
        ({"limits": {"budget_day_usd": True}}, "limits.budget_day_usd"),
        ({"limits": {"requests_per_minute": 2**31}}, "limits.requests_per_minute"),
        ({"limits": {"tokens_per_minute": 0}}, "limits.tokens_per_minute"),
        ({"limits": {"max_storage_bytes": 2**53}}, "limits.max_storage_bytes"),
        ({"limits": {"budget_warn_percent": None}}, "limits.budget_warn_percent"),
        ({"max_running": 10**30}, "max_running"),
        ({"weight": 0}, "weight"),
        ({"retention_days": 0}, "retention_days"),
        ({"audit_days": 1.5}, "audit_days"),
        ({"state": "active"}, "state"),
        ({"owner": {"email": "nobody"}}, "owner.email"),
        ({"owner": {"email": "ada@example.com", "password": "short"}}, "owner.password"),
    ],
)
async def test_what_can_not_be_a_tenant_is_refused_with_the_field(
    admin: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await admin.post(TENANTS, json={"slug": slug(), "name": "Acme"} | fields)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
async def test_what_is_no_number_in_json_is_refused(admin: httpx.AsyncClient, number: str) -> None:
    body = f'{{"slug": "{slug()}", "name": "Acme", "limits": {{"budget_day_usd": {number}}}}}'
    assert 400 == (await admin.post(TENANTS, content=body, headers=JSON)).status_code


async def test_nothing_is_left_of_a_tenant_that_could_not_be_made(admin: httpx.AsyncClient) -> None:
    name = slug()
    wrong = {"slug": name, "name": "Acme", "tools": ["a b"]}
    assert 400 == (await admin.post(TENANTS, json=wrong)).status_code
    assert 404 == (await admin.get(f"{TENANTS}/{name}")).status_code


async def test_pages_show_every_tenant_once_and_never_the_platform(admin: httpx.AsyncClient) -> None:
    mark = uuid4().hex[:6]
    made = sorted([(await make(admin, name=f"Mill {mark}"))["slug"] for _ in range(3)])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "search": f"mILL {mark}"} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get(TENANTS, params=params)).json()
        seen += [item["slug"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert made == seen
    assert [] == (await admin.get(TENANTS, params={"search": "platform"})).json()["items"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"search": "a\0"}, "search"),
        ({"cursor": write_cursor("tenants", "a\0")}, "cursor"),
        ({"cursor": "x"}, "cursor"),
        ({"state": "gone"}, "state"),
        ({"search": "x" * 301}, "search"),
    ],
)
async def test_a_wrong_question_is_refused_with_the_field(
    admin: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    answer = await admin.get(TENANTS, params=params)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


@pytest.mark.parametrize(
    "name", ["nobody", "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e", "%ff", "A", "ünder", "x" * 500, "{" + "0" * 34 + "}"]
)
async def test_a_tenant_that_is_not_there_is_not_found(admin: httpx.AsyncClient, name: str) -> None:
    for path in ("", "/grants", "/usage", "/audit", "/metrics"):
        answer = await admin.get(f"{TENANTS}/{name}{path}")
        assert (404, "No such tenant. GET /api/admin/tenants lists all tenants.") == (
            answer.status_code,
            answer.json()["detail"],
        )
    assert 404 == (await admin.patch(f"{TENANTS}/{name}", json={})).status_code


async def test_a_suspended_tenant_is_refused_until_it_is_resumed(admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    key = {"Authorization": f"Bearer {made['api_key']}"}
    assert "suspended" == (await admin.post(f"{TENANTS}/{made['slug']}/suspend")).json()["state"]
    refused = await admin.get("/api/tenant", headers=key)
    assert (403, "tenant_suspended") == (refused.status_code, refused.json()["code"])
    listed = (await admin.get(TENANTS, params={"state": "suspended", "limit": 100})).json()["items"]
    assert made["slug"] in [item["slug"] for item in listed]
    assert "active" == (await admin.post(f"{TENANTS}/{made['slug']}/resume")).json()["state"]


async def test_a_tenant_is_deleted_only_when_it_is_named_again(admin: httpx.AsyncClient) -> None:
    made = await make(admin)
    path = f"{TENANTS}/{made['id']}"
    for params in ({}, {"confirm": "true"}, {"confirm": "\0"}):
        answer = await admin.delete(path, params=params)
        assert (400, "confirm") == (answer.status_code, answer.json()["errors"][0]["field"])
    for _ in range(2):
        answer = await admin.delete(path, params={"confirm": made["slug"]})
        assert (202, "deleting") == (answer.status_code, answer.json()["state"])
    key = {"Authorization": f"Bearer {made['api_key']}"}
    assert 403 == (await admin.get("/api/tenant", headers=key)).status_code
    assert 409 == (await admin.post(f"{path}/resume")).status_code
    assert 409 == (await admin.patch(path, json={"name": "back"})).status_code
    assert 409 == (await admin.put(f"{path}/grants/tool/x")).status_code


async def test_the_platforms_own_tenant_stays_as_it_is(admin: httpx.AsyncClient) -> None:
    for name in ("platform", str(PLATFORM)):
        path = f"{TENANTS}/{name}"
        answers = [
            await admin.patch(path, json={"name": "Mine"}),
            await admin.post(f"{path}/suspend"),
            await admin.delete(path, params={"confirm": "platform"}),
            await admin.put(f"{path}/grants/tool/x"),
        ]
        assert [409] * 4 == [answer.status_code for answer in answers]


async def test_only_admins_come_here(api: httpx.AsyncClient, owner: TestTenant) -> None:
    for headers in ({}, owner.headers):
        for path in (TENANTS, f"{TENANTS}/{owner.slug}", "/api/admin/models", "/api/admin/audit"):
            answer = await api.get(path, headers=headers)
            assert (403, "forbidden") == (answer.status_code, answer.json()["code"])
        assert 403 == (await api.post(TENANTS, json={"slug": slug(), "name": "Mine"}, headers=headers)).status_code


async def test_every_change_is_written_down_without_its_secrets(admin: httpx.AsyncClient, core: JobCore) -> None:
    owner = {"email": "Ada@Example.com", "password": "a long pass phrase"}
    made = await make(admin, owner=owner, limits={"budget_day_usd": 3})
    path, tenant_id = f"{TENANTS}/{made['slug']}", UUID(made["id"])
    await admin.patch(path, json={"max_running": 3, "default_model": None})
    await admin.put(f"{path}/grants/model/openai/*")
    await admin.post(f"{path}/suspend")
    await admin.delete(path, params={"confirm": made["slug"]})
    written = await audit_entries(core, tenant_id)
    expected = ["tenant.created", "tenant.changed", "grant.stored", "tenant.suspended", "tenant.deleted"]
    assert expected == [entry["action"] for entry in reversed(written)]
    assert {"max_running": 3, "default_model": None} == written[3]["detail"]
    assert all(entry["actor"].startswith("key:") and entry["request_id"] for entry in written)
    assert [] == [secret for secret in (owner["password"], made["api_key"]) if secret in str(written)]
    platform = [
        one for one in await audit_entries(core, PLATFORM) if (one["detail"] or {}).get("tenant_id") == made["id"]
    ]
    assert expected == [entry["action"] for entry in reversed(platform)]


async def test_of_two_who_make_the_same_tenant_one_is_told(admin: httpx.AsyncClient) -> None:
    body = {"slug": slug(), "name": "Acme"}
    answers = await asyncio.gather(*(admin.post(TENANTS, json=body) for _ in range(5)))
    assert [201, 409, 409, 409, 409] == sorted(answer.status_code for answer in answers)


def test_no_tenant_can_be_called_like_a_path_of_ours(settings: ApiSettings) -> None:
    paths = {route.path for route in create_app(settings).routes}
    heads = {part for path in paths for part in path.removeprefix("/api").split("/")[1:2]}
    assert set() == {head for head in heads if SLUG.fullmatch(head)} - RESERVED_SLUGS


async def test_a_key_of_one_tenant_sees_nothing_of_another(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, database_url: str
) -> None:
    other = make_tenant(database_url, role="owner")
    made = await make(admin)
    assert other.slug == (await api.get("/api/tenant", headers=other.headers)).json()["slug"]
    assert 403 == (await api.get(f"{TENANTS}/{made['slug']}", headers=other.headers)).status_code
