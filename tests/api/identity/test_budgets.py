"""Budgets of keys and users: owners set them, whoever may see a key or user sees them, and a call beyond them is refused."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.api.usage.test_usage import TODAY, Ledger
from tests.conftest import TestTenant
from tests.workers.jobs import rows

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
    path, budgets = f"/api/auth/keys/{key_id}", {"budget_day_usd": 0.5, "budget_month_usd": 9, "tokens_per_day": 5}
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
