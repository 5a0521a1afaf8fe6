"""Budgets of keys and users: owners set them, whoever may see a key or user sees them, and a call beyond them is refused."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from schema.identity.budgets import read_budgets
from schema.postgres.connections import pool_for, tenant_tx
from schema.queries.schedules.schedules import find_owner
from tests.api.usage.test_usage import TODAY, Ledger
from tests.conftest import TestTenant
from tests.workers.jobs import change, rows

CHAT = {"message": "hi", "model": "offline/extractive"}


@pytest.fixture
def ledger(database_url: str, owner: TestTenant) -> Ledger:
    return Ledger(database_url, owner)


async def make_key(api: httpx.AsyncClient, headers: dict[str, str], **fields: Any) -> tuple[str, dict[str, str]]:
    made = (await api.post("/api/auth/keys", json={"name": "k", **fields}, headers=headers)).json()
    return made["id"], {"Authorization": f"Bearer {made['key']}"}


async def test_an_owner_sets_a_keys_budgets_and_sees_what_is_spent(
    api: httpx.AsyncClient, owner: TestTenant, database_url: str
) -> None:
    key_id, key = await make_key(api, owner.headers, for_tenant=True)
    path, budgets = f"/api/auth/keys/{key_id}", {"budget_day_usd": 50, "budget_month_usd": 900, "tokens_per_day": 5}
    changed = await api.patch(path, json=budgets, headers=owner.headers)
    assert (200, budgets) == (changed.status_code, {name: changed.json()[name] for name in budgets})
    shown = (await api.get(path, headers=key)).json()
    assert budgets | {"spent": {"day_usd": 0, "month_usd": 0, "day_tokens": 0}} == {
        name: shown[name] for name in (*budgets, "spent")
    }
    refused = await api.post("/api/chat", json=CHAT, headers=key)
    assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
    assert "of this API key's 5 tokens a day are left" in refused.json()["detail"]
    assert '"key_tokens_day";q=5;w=86400;qu="tokens"' in refused.headers["RateLimit-Policy"]
    assert "Retry-After" not in refused.headers  # no waiting helps
    await api.patch(path, json={"tokens_per_day": None}, headers=owner.headers)
    assert 202 == (await api.post("/api/chat", json=CHAT, headers=key | {"Prefer": "respond-async"})).status_code
    log = rows(
        database_url, "SELECT detail FROM audit_log WHERE action = 'key.budget_set' AND target = %s", f"key:{key_id}"
    )
    assert {"tokens_per_day": None} in [row["detail"] for row in log]


async def test_a_users_budget_holds_for_all_their_keys(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant
) -> None:
    ada, headers = ledger.person("ada@example.com")
    path = f"/api/users/{ada}"
    changed = await api.patch(path, json={"tokens_per_day": 2}, headers=owner.headers)
    assert (200, 2) == (changed.status_code, changed.json()["tokens_per_day"])
    _, other = await make_key(api, headers)
    for key in (headers, other):
        refused = await api.post("/api/chat", json=CHAT, headers=key)
        assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
        assert "of this user's 2 tokens a day" in refused.json()["detail"]
    assert {"day_usd": 0, "month_usd": 0, "day_tokens": 0} == (await api.get(path, headers=owner.headers)).json()[
        "spent"
    ]


async def test_what_was_spent_before_counts(api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant) -> None:
    bob, headers = ledger.person("bob@example.com")
    ledger.add(TODAY, 2_000_000_000, user=bob)  # 30 tokens
    await api.patch(f"/api/users/{bob}", json={"tokens_per_day": 30}, headers=owner.headers)
    refused = await api.post("/api/chat", json=CHAT, headers=headers)
    assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
    spent = (await api.get(f"/api/users/{bob}", headers=owner.headers)).json()["spent"]
    assert {"day_usd": 2, "month_usd": 2, "day_tokens": 30} == spent


async def test_members_see_their_keys_budgets_and_set_none(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant, stranger: TestTenant
) -> None:
    _, headers = ledger.person("eve@example.com")
    key_id, _ = await make_key(api, headers)
    path, body = f"/api/auth/keys/{key_id}", {"budget_day_usd": 1}
    assert 403 == (await api.patch(path, json=body, headers=headers)).status_code
    assert 200 == (await api.get(path, headers=headers)).status_code
    _, somebody = ledger.person("sam@example.com")
    for other in (somebody, stranger.headers):
        assert 404 == (await api.get(path, headers=other)).status_code
    for wrong in ({}, {"budget_day_usd": -1}, {"tokens_per_day": 1.5}, {"budget_month_usd": 1e-10}, {"day": 1}):
        assert 400 == (await api.patch(path, json=wrong, headers=owner.headers)).status_code
    missing = await api.patch(f"/api/auth/keys/{UUID(int=1)}", json=body, headers=owner.headers)
    assert (404, "not_found") == (missing.status_code, missing.json()["code"])


NEW_PROVIDER = {"issuer": "https://id.example", "audience": "a", "jwks_url": "https://id.example/keys"}
WAYS_AROUND: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/auth/keys", {"name": "child"}),
    ("POST", "/api/auth/keys", {"name": "child", "for_tenant": True}),
    ("PATCH", "/api/auth/keys/{key}", {"tokens_per_day": None}),
    ("POST", "/api/users", {"email": "new@example.com", "password": "seven mill wheels"}),
    ("PATCH", "/api/users/{user}", {"tokens_per_day": None}),
    ("POST", "/api/auth/providers", NEW_PROVIDER),
    ("POST", "/api/api-keys", {"service_name": "openai", "api_key": "sk-1"}),
]


@pytest.mark.parametrize(("method", "path", "body"), WAYS_AROUND)
async def test_a_key_with_a_budget_makes_and_changes_nothing_that_could_give_it_more(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant, method: str, path: str, body: dict[str, Any]
) -> None:
    user, _ = ledger.person("ann@example.com")
    key_id, key = await make_key(api, owner.headers, role="owner", for_tenant=True)
    await api.patch(f"/api/auth/keys/{key_id}", json={"tokens_per_day": 0}, headers=owner.headers)
    refused = await api.request(method, path.format(key=key_id, user=user), json=body, headers=key)
    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    assert "This API key has a budget" in refused.json()["detail"]
    assert 0 == (await api.get(f"/api/auth/keys/{key_id}", headers=key)).json()["tokens_per_day"]


async def test_an_admins_key_with_a_budget_changes_no_price_and_makes_no_tenant(
    admin: httpx.AsyncClient,
) -> None:
    made = await admin.post("/api/auth/keys", json={"name": "k", "role": "admin", "for_tenant": True})
    key_id, key = made.json()["id"], {"Authorization": f"Bearer {made.json()['key']}"}
    assert 200 == (await admin.get("/api/admin/models", headers=key)).status_code
    await admin.patch(f"/api/auth/keys/{key_id}", json={"budget_day_usd": 0})
    for method, path, body in (
        ("PUT", "/api/admin/models/openai/gpt-4o", {"input_usd": 0, "output_usd": 0}),
        ("DELETE", "/api/admin/models/openai/gpt-4o", None),
        ("POST", "/api/admin/tenants", {"slug": "another", "name": "Another"}),
    ):
        assert 403 == (await admin.request(method, path, json=body, headers=key)).status_code


async def test_a_key_of_a_user_with_a_budget_makes_keys_that_share_it_and_none_beside_it(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant, database_url: str
) -> None:
    ada, headers = ledger.person("ada@example.com")
    change(database_url, "UPDATE users SET role = 'owner' WHERE id = %s", ada)
    change(database_url, "UPDATE api_keys SET role = 'owner' WHERE user_id = %s", ada)
    await api.patch(f"/api/users/{ada}", json={"tokens_per_day": 0}, headers=owner.headers)
    _, child = await make_key(api, headers)
    assert 429 == (await api.post("/api/chat", json=CHAT, headers=child)).status_code
    beside = await api.post("/api/auth/keys", json={"name": "k", "for_tenant": True}, headers=headers)
    raised = await api.patch(f"/api/users/{ada}", json={"tokens_per_day": None}, headers=child)
    assert [403, 403] == [beside.status_code, raised.status_code]
    assert "The user of this API key has a budget" in raised.json()["detail"]


async def test_a_key_with_a_budget_revokes_its_users_keys(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant
) -> None:
    _, headers = ledger.person("ivy@example.com")
    key_id, key = await make_key(api, headers)
    await api.patch(f"/api/auth/keys/{key_id}", json={"tokens_per_day": 0}, headers=owner.headers)
    assert 204 == (await api.delete(f"/api/auth/keys/{key_id}", headers=key)).status_code


async def test_a_budget_that_is_used_up_allows_no_retry(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant
) -> None:
    _, headers = ledger.person("kim@example.com")
    key_id, key = await make_key(api, headers)
    path = f"/api/auth/keys/{key_id}"
    await api.patch(path, json={"tokens_per_day": 5000}, headers=owner.headers)
    job = (await api.post("/api/chat", json=CHAT, headers=key | {"Prefer": "respond-async"})).json()["job_id"]
    await api.post(f"/api/jobs/{job}/cancel", headers=key)
    await api.patch(path, json={"tokens_per_day": 0}, headers=owner.headers)
    for where, body in ((f"/api/jobs/{job}/retry", None), ("/api/jobs/retry", {"ids": [job]})):
        refused = await api.post(where, json=body, headers=key)
        assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
    await api.patch(path, json={"tokens_per_day": 5000}, headers=owner.headers)
    assert 202 == (await api.post(f"/api/jobs/{job}/retry", headers=key)).status_code


async def test_batches_and_schedules_of_a_users_key_have_the_keys_budget_too(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant, database_url: str
) -> None:
    joe, headers = ledger.person("joe@example.com")
    key_id, _ = await make_key(api, headers)
    await api.patch(f"/api/users/{joe}", json={"tokens_per_day": 7}, headers=owner.headers)
    await api.patch(f"/api/auth/keys/{key_id}", json={"tokens_per_day": 5}, headers=owner.headers)
    async with pool_for(database_url, "headrace_app", max_size=1) as pool, tenant_tx(pool, owner.id) as db:
        found = await find_owner(db, owner.id, user_id=joe, actor=f"key:{key_id}")
        signed_in = await find_owner(db, owner.id, user_id=joe, actor=f"user:{joe}")
    assert found is not None
    assert signed_in is not None
    assert {"user": 7, "key": 5} == {budget.of: budget.tokens_per_day for budget in read_budgets(found.budgets)}
    assert ["user"] == [budget.of for budget in read_budgets(signed_in.budgets)]


async def test_a_chat_reserves_the_max_tokens_that_it_sends(
    api: httpx.AsyncClient, owner: TestTenant, admin: httpx.AsyncClient
) -> None:
    price = {"input_usd": 1000, "output_usd": 2000}
    assert 200 == (await admin.put("/api/admin/models/offline/extractive", json=price)).status_code
    key_id, key = await make_key(api, owner.headers, for_tenant=True)
    await api.patch(f"/api/auth/keys/{key_id}", json={"budget_day_usd": 0.06}, headers=owner.headers)
    later = key | {"Prefer": "respond-async"}
    short = await api.post("/api/chat", json={**CHAT, "max_tokens": 5}, headers=later)
    assert 202 == short.status_code, short.text
    refused = await api.post("/api/chat", json={**CHAT, "max_tokens": 50}, headers=later)
    assert "may have 50 tokens at first" in refused.json()["detail"]
    assert refused.json()["detail"].endswith("Send a smaller max_tokens (max_output_tokens for /v1/responses).")
    await api.patch(f"/api/auth/keys/{key_id}", json={"budget_day_usd": 0.001}, headers=owner.headers)
    least = await api.post("/api/chat", json={**CHAT, "max_tokens": 1}, headers=later)
    assert "may have 1 token at first" in least.json()["detail"]
    assert least.json()["detail"].endswith("Send less at once, or choose a cheaper model.")


async def test_everybody_sees_the_budgets_that_hold_for_them(
    api: httpx.AsyncClient, ledger: Ledger, owner: TestTenant
) -> None:
    mia, headers = ledger.person("mia@example.com")
    key_id, key = await make_key(api, headers)
    assert [] == (await api.get("/api/auth/me", headers=key)).json()["budgets"]
    ledger.add(TODAY, 2_000_000_000, user=mia)  # 30 tokens
    await api.patch(f"/api/users/{mia}", json={"budget_month_usd": 9}, headers=owner.headers)
    await api.patch(f"/api/auth/keys/{key_id}", json={"tokens_per_day": 5}, headers=owner.headers)
    seen = (await api.get("/api/auth/me", headers=key)).json()["budgets"]
    nothing = {"budget_day_usd": None, "budget_month_usd": None, "tokens_per_day": None}
    spent = {"day_usd": 2, "month_usd": 2, "day_tokens": 30}
    assert {
        "key": nothing | {"tokens_per_day": 5, "spent": {"day_usd": 0, "month_usd": 0, "day_tokens": 0}},
        "user": nothing | {"budget_month_usd": 9, "spent": spent},
    } == {budget.pop("of"): budget for budget in seen}
    assert ["user"] == [budget["of"] for budget in (await api.get("/api/auth/me", headers=headers)).json()["budgets"]]
