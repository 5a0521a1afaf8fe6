"""Trying a tool for real, over HTTP: what is called, what is shown, and that no secret is."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest

from schema.vault import PLATFORM
from tests.api.owned_rows import SECRET, SKU, TOOLS, grant, make_tool
from tests.api.people import bearer, deeds, signed_in
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.http_server import Exchange
from tests.tools.egress_servers import ResponseServer

TENANT_ROLE = "owner"


class Service(ResponseServer):
    """The service behind the tools."""

    async def _words(self, exchange: Exchange, count: str) -> None:
        exchange.answer(200, {"words": "x" * int(count)})


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    async with Service() as server:
        yield server


async def try_(api: httpx.AsyncClient, name: str, **arguments: Any) -> dict[str, Any]:
    answer = await api.post(f"{TOOLS}/{name}/test", json={"arguments": arguments})
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_a_try_shows_the_request_and_what_came_back_but_no_secret(
    api: httpx.AsyncClient, application: httpx.AsyncClient, service: Service, database_url: str, tenant: TestTenant
) -> None:
    owner = await signed_in(application, database_url, tenant, role="owner")
    name = await make_tool(
        api,
        endpoint=f"{service.url}/echo?api_key=canary-in-query",
        headers={"X-Api-Key": "{{secret:KEY}}"},
        secrets={"KEY": SECRET},
        parameters=SKU,
        enabled=False,
    )
    answer = await application.post(
        f"{TOOLS}/{name}/test", json={"arguments": {"sku": f"CF 01 {SECRET}"}}, headers=bearer(owner["access_token"])
    )
    tried = answer.json()
    assert (True, 200, "GET") == (tried["ok"], tried["request"]["status"], tried["request"]["method"])
    assert tried["request"]["url"].startswith(f"{service.url}/echo?api_key=")
    assert (SECRET, f"Bearer {owner['access_token']}") == tuple(
        service.requests[-1].headers[header] for header in ("x-api-key", "authorization")
    )
    assert "[hidden]" == tried["data"]["x-api-key"]
    assert [] == [secret for secret in ("canary", owner["access_token"]) if secret in answer.text]
    (deed,) = deeds(database_url, tenant.id, "tool.tested")
    assert (name, "ok") == (deed["target"], deed["result"])


async def test_a_caller_with_a_key_acts_in_a_token_made_for_tools(api: httpx.AsyncClient, service: Service) -> None:
    name = await make_tool(api, endpoint=f"{service.url}/echo", config={"pass_caller_token": True})
    assert (await try_(api, name))["ok"]
    assert service.requests[-1].headers["authorization"].startswith("Bearer ey")


async def test_a_post_shows_the_body_that_was_sent(api: httpx.AsyncClient, service: Service) -> None:
    name = await make_tool(api, kind="HTTP_POST", endpoint=f"{service.url}/json", parameters=SKU)
    tried = await try_(api, name, sku="CF-01")
    assert ("POST", {"sku": "CF-01"}) == (tried["request"]["method"], tried["request"]["body"])


@pytest.mark.parametrize(
    ("path", "arguments", "code", "status"),
    [
        ("status/500", {"sku": "a"}, "tool_failed", 500),
        ("status/404", {"sku": "a"}, "tool_failed", 404),
        ("text", {"sku": "a"}, "tool_failed", 200),
        ("bytes/3000000", {"sku": "a"}, "tool_too_large", None),
        ("silence", {"sku": "a"}, "tool_timeout", None),
        ("nonsense", {"sku": "a"}, "tool_failed", None),
        ("json", {}, "tool_bad_arguments", None),
        ("json", {"sku": 7, "x": {}}, "tool_bad_arguments", None),
    ],
)
async def test_a_try_that_fails_says_why(
    api: httpx.AsyncClient,
    service: Service,
    database_url: str,
    tenant: TestTenant,
    path: str,
    arguments: dict[str, Any],
    code: str,
    status: int | None,
) -> None:
    name = await make_tool(
        api, endpoint=f"{service.url}/{path}", parameters=SKU, timeout_s=0.2 if path == "silence" else 5
    )
    tried = await try_(api, name, **arguments)
    assert (False, code) == (tried["ok"], tried["error"]["code"]), tried
    assert status == (tried["request"] or {}).get("status")
    (deed,) = deeds(database_url, tenant.id, "tool.tested")
    assert ("failed", code) == (deed["result"], deed["detail"]["code"])


async def test_an_answer_is_cut_at_100_kb_whatever_the_tool_allows(api: httpx.AsyncClient, service: Service) -> None:
    name = await make_tool(api, endpoint=f"{service.url}/words/200000", max_bytes=1024 * 1024)
    tried = await try_(api, name)
    assert (True, True, None) == (tried["ok"], tried["truncated"], tried["data"])
    assert len(tried["text"].encode()) <= 100 * 1024


async def test_a_built_in_tool_is_tried_as_far_as_it_is_granted(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    body = {"arguments": {"places": ["Asia/Ho_Chi_Minh"]}}
    assert 404 == (await api.post(f"{TOOLS}/world_time/test", json=body)).status_code
    grant(database_url, tenant, "tool", "*")
    tried = (await api.post(f"{TOOLS}/world_time/test", json=body)).json()
    assert (True, None) == (tried["ok"], tried["request"]), tried
    refused = await try_(api, "system_info")
    assert (False, "tool_refused") == (refused["ok"], refused["error"]["code"])


async def test_where_a_shared_tool_calls_is_the_platforms_business(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, service: Service, database_url: str, tenant: TestTenant
) -> None:
    name = await make_tool(
        admin, endpoint=f"{service.url}/echo", headers={"X-Api-Key": "{{secret:KEY}}"}, secrets={"KEY": SECRET}
    )
    grant(database_url, tenant, "tool", name)
    answer = await api.post(f"{TOOLS}/{name}/test")
    assert (True, None) == (answer.json()["ok"], answer.json()["request"])
    assert SECRET == service.requests[-1].headers["x-api-key"]
    assert SECRET not in answer.text
    assert (await try_(admin, name))["request"]["url"] == f"{service.url}/echo"
    assert name in [deed["target"] for deed in deeds(database_url, PLATFORM, "tool.tested")]


async def test_secrets_that_were_copied_to_another_tenant_stay_shut(
    api: httpx.AsyncClient, service: Service, database_url: str
) -> None:
    name = await make_tool(
        api, endpoint=f"{service.url}/echo", headers={"X-Api-Key": "{{secret:KEY}}"}, secrets={"KEY": SECRET}
    )
    thief = make_tenant(database_url, role="owner")
    sql = """INSERT INTO tools (tenant_id, id, name, kind, definition, key_id, sealed)
      SELECT %s, id, name, kind, definition, key_id, sealed FROM tools WHERE name = %s"""
    with psycopg.connect(database_url) as db:
        db.execute(sql, (thief.id, name))
    before = len(service.requests)
    tried = (await api.post(f"{TOOLS}/{name}/test", headers=thief.headers)).json()
    assert (False, "secret_unreadable", before) == (tried["ok"], tried["error"]["code"], len(service.requests))
