"""Pages of other sites: which may call the API from a browser, and what they may read."""

from dataclasses import replace

import httpx
import pytest

from api.settings import ApiSettings
from schema.errors import InputError
from tests.api.conftest import calling, serving
from tests.conftest import TestTenant
from tests.secret import SECRET_KEY

PAGE = "https://chat.example.com"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, x-stainless-lang",
}


@pytest.fixture(scope="module")
def settings(settings: ApiSettings) -> ApiSettings:
    return replace(settings, cors_origins=(PAGE,))


async def test_a_page_that_is_named_may_send_any_header_and_read_those_of_the_response(api: httpx.AsyncClient) -> None:
    asked = await api.options("/v1/chat/completions", headers=PREFLIGHT)
    assert (204, PAGE) == (asked.status_code, asked.headers["access-control-allow-origin"])
    allowed = {name.strip().lower() for name in asked.headers["access-control-allow-headers"].split(",")}
    assert set(PREFLIGHT["Access-Control-Request-Headers"].split(", ")) <= allowed
    answer = await api.get("/v1/models", headers={"Origin": PAGE})
    assert (200, PAGE) == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert {"X-Request-ID", "X-Job-ID", "Retry-After"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in answer.headers


async def test_errors_can_be_read_too(application: httpx.AsyncClient) -> None:
    answer = await application.get("/v1/models", headers={"Origin": PAGE})
    assert (401, PAGE) == (answer.status_code, answer.headers["access-control-allow-origin"])


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://chat.example.com.evil.example", "null", "http://chat.example.com"]
)
async def test_any_other_page_may_not(api: httpx.AsyncClient, origin: str) -> None:
    asked = await api.options("/v1/models", headers=PREFLIGHT | {"Origin": origin})
    answer = await api.get("/v1/models", headers={"Origin": origin})
    assert ["access-control-allow-origin" in one.headers for one in (asked, answer)] == [False, False]


async def test_by_default_no_page_may(settings: ApiSettings, tenant: TestTenant) -> None:
    async with serving(replace(settings, cors_origins=())) as there, calling(there, tenant.key) as client:
        answer = await client.get("/v1/models", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "text", ["chat.example.com", "https://chat.example.com/", "https://*.example.com", "https://a b", "ftp://x"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    env = {
        "HEADRACE_DATABASE_URL": "postgresql://x/y",
        "HEADRACE_REDIS_URL": "redis://x",
        "HEADRACE_SECRET_KEYS": SECRET_KEY,
        "HEADRACE_CORS_ORIGINS": f"{PAGE}, {text}",
    }
    with pytest.raises(InputError, match=r"HEADRACE_CORS_ORIGINS"):
        ApiSettings.from_env(env)
