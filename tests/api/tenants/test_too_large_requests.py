"""The 429 of a request that alone is too large for what is left of its tenant's budget or tokens, or for all of it."""

import httpx

from api.settings import ApiSettings
from tests.api.conftest import serving
from tests.conftest import TestTenant
from tests.workers.jobs import change

CENT_NANOS = 10_000_000


def limit(database_url: str, tenant: TestTenant, **limits: int) -> None:
    sql = "INSERT INTO models (name, input_usd, output_usd) VALUES ('offline/extractive', 100, 100) ON CONFLICT DO NOTHING"
    change(database_url, sql)
    for name, value in limits.items():
        change(database_url, f"UPDATE tenants SET {name} = %s WHERE id = %s", value, tenant.id)


async def ask(api: httpx.AsyncClient) -> httpx.Response:
    body = {"message": "Tell me.", "model": "offline/extractive"}
    return await api.post("/api/chat", json=body, headers={"Prefer": "respond-async"})


async def test_a_request_that_costs_more_than_the_whole_budget_is_told_so_and_not_to_wait(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, budget_day_nanos=5 * CENT_NANOS)
    refused = await ask(api)
    assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
    assert "This request may cost up to $0.10" in refused.json()["detail"]
    assert "$0.05 of this tenant's budget of $0.05 a day is left. Send a smaller max_tokens" in refused.json()["detail"]
    assert "retry-after" not in refused.headers
    assert '"budget_day";r=50000;t=' in refused.headers["ratelimit"]
    body = {"model": "offline/extractive", "messages": [{"role": "user", "content": "?"}], "max_tokens": 600}
    shorter = (await api.post("/v1/chat/completions", json=body)).json()["error"]
    assert "insufficient_quota" == shorter["code"]
    assert "may cost up to $0.06" in shorter["message"]


async def test_a_request_that_fits_the_budget_but_not_what_is_left_may_also_wait(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, budget_day_nanos=15 * CENT_NANOS)
    assert 202 == (await ask(api)).status_code
    refused = await ask(api)
    assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
    assert "of this tenant's budget of $0.15 a day is left" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0


async def test_tokens_that_are_left_are_told_with_what_the_request_needs(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, tokens_per_minute=1500)
    assert 202 == (await ask(api)).status_code
    refused = await ask(api)
    assert (429, "rate_limit_exceeded") == (refused.status_code, refused.json()["code"])
    assert "of this tenant's 1,500 tokens per minute are left. Send a smaller max_tokens" in refused.json()["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 61


async def test_without_redis_the_sentences_are_the_same(
    settings: ApiSettings, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, budget_day_nanos=5 * CENT_NANOS)
    away = ApiSettings(database_url=settings.database_url, redis_url="redis://127.0.0.1:1/0", vault=settings.vault)
    async with serving(away) as api:
        api.headers.update(tenant.headers)
        refused = await ask(api)
    assert (429, "budget_exceeded") == (refused.status_code, refused.json()["code"])
    assert "$0.05 of this tenant's budget of $0.05 a day is left" in refused.json()["detail"]
    assert "retry-after" not in refused.headers
