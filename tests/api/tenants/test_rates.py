"""Reads and searches of a tenant have a rate; jobs have limits of their own."""

from typing import Any

import httpx
import psycopg
import pytest

from api.app import create_app
from api.settings import ApiSettings
from tests.api.conftest import serving
from tests.conftest import TestTenant
from tests.openapi_document import openapi_document

SEARCH = {"query": "notice period", "mode": "text"}


def limit(database_url: str, tenant: TestTenant, **limits: int | None) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        for name, value in limits.items():
            db.execute(f"UPDATE tenants SET {name} = %s WHERE id = %s".encode(), (value, tenant.id))


async def test_reads_beyond_the_rate_are_429_with_when_to_come_again(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, reads_per_minute=3)
    told = [
        (await api.get("/api/jobs")).status_code,
        (await api.head("/api/sessions")).status_code,
        (await api.get("/v1/models")).status_code,
    ]
    refused = await api.get("/api/jobs")
    assert ([200, 200, 200], 429) == (told, refused.status_code)
    assert "rate_limit_exceeded" == refused.json()["code"]
    assert "(reads per minute)" in refused.json()["detail"]
    assert ('"reads";q=3;w=60', True) == (
        refused.headers["ratelimit-policy"],
        refused.headers["ratelimit"].startswith('"reads";r=0;t='),
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert "rate_limit_exceeded" == (await api.get("/v1/models")).json()["error"]["code"]


async def test_what_is_no_read_has_no_rate_of_reads(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, reads_per_minute=1)
    assert [200, 429] == [(await api.get("/api/jobs")).status_code for _ in range(2)]
    assert 201 == (await api.post("/api/sessions", json={})).status_code
    assert 200 == (await api.post("/api/search", json=SEARCH)).status_code
    assert 200 == (await api.get("/health/ready")).status_code
    assert 401 == (await api.get("/api/jobs", headers={"Authorization": "Bearer hr_wrong"})).status_code


async def test_searches_have_a_rate_of_their_own(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    limit(database_url, tenant, searches_per_minute=2)
    told = [await api.post("/api/search", json=SEARCH) for _ in range(3)]
    assert [200, 200, 429] == [answer.status_code for answer in told]
    assert ('"searches";q=2;w=60', True) == (
        told[2].headers["ratelimit-policy"],
        "(searches per minute)" in told[2].json()["detail"],
    )
    assert 200 == (await api.get("/api/jobs")).status_code


async def test_without_redis_reads_and_searches_are_not_limited(
    settings: ApiSettings, tenant: TestTenant, database_url: str
) -> None:
    limit(database_url, tenant, reads_per_minute=1)
    away = ApiSettings(database_url=settings.database_url, redis_url="redis://127.0.0.1:1/0", vault=settings.vault)
    async with serving(app := create_app(away)) as api:
        api.headers.update(tenant.headers)
        assert 200 == (await api.get("/api/jobs")).status_code
        await app.state.resources.rates.share()
        assert 200 == (await api.get("/api/jobs")).status_code


@pytest.mark.parametrize(
    ("path", "method"), [("/api/jobs/{job_id}", "get"), ("/api/search", "post"), ("/v1/models", "get")]
)
def test_the_429_of_a_rate_is_documented_with_its_headers(path: str, method: str) -> None:
    answer: dict[str, Any] = openapi_document()["paths"][path][method]["responses"]["429"]
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(answer["headers"])
