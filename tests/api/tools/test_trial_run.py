"""Trying a tool for real, over HTTP: what is called, what is shown, and that no secret is."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from schema.identity.rights import OWNER
from schema.vault import PLATFORM
from tests.api.owned_rows import SECRET, SKU, TOOLS, grant, make_tool
from tests.api.people import Issuer, audit_entries, bearer, signed_in, some_email, trust
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
    token = service.requests[-1].headers["authorization"].removeprefix("Bearer ")
    assert SECRET == service.requests[-1].headers["x-api-key"]
    assert token not in (owner["access_token"], "")
    assert token not in answer.text
    assert "[hidden]" == tried["data"]["x-api-key"]
    assert [] == [secret for secret in ("canary", owner["access_token"]) if secret in answer.text]
    (entry,) = audit_entries(database_url, tenant.id, "tool.tested")
    assert (name, "ok") == (entry["target"], entry["result"])


async def sent_token(api: httpx.AsyncClient, service: Service, name: str, secret: str) -> str:
    """Return the token that the service gets when somebody with this key or token tries the tool."""
    answer = await api.post(f"{TOOLS}/{name}/test", json={}, headers=bearer(secret))
    assert answer.json()["ok"], answer.text
    return service.requests[-1].headers["authorization"].removeprefix("Bearer ")


def claims_of(api: httpx.AsyncClient, token: str, jwks: Any) -> dict[str, Any]:
    return jwt.decode(token, KeySet.import_key_set(jwks), algorithms=["RS256"]).claims


async def test_a_service_gets_a_token_for_its_own_host_that_opens_nothing_here(
    api: httpx.AsyncClient, application: httpx.AsyncClient, service: Service, database_url: str, tenant: TestTenant
) -> None:
    """Replayed, a caller's own token opened `/api/auth/me` and made an owner's key."""
    owner = await signed_in(application, database_url, tenant, role="owner")
    body = {"name": "narrow", "scopes": ["tools.manage", "chat"]}
    narrow = await application.post("/api/auth/keys", json=body, headers=bearer(owner["access_token"]))
    name = await make_tool(api, endpoint=f"{service.url}/echo", config={"pass_caller_token": True})
    jwks = (await application.get("/.well-known/jwks.json")).json()
    for secret, scope in ((owner["access_token"], None), (narrow.json()["key"], "chat self tools.manage")):
        token = await sent_token(application, service, name, secret)
        said = claims_of(application, token, jwks)
        assert (service.url.partition("://")[2], str(tenant.id)) == (said["aud"], said["tenant_id"])
        assert (owner["user"]["id"], "owner") == (said["sub"], said["role"])
        assert said["scope"] == (scope or " ".join(sorted(OWNER)))
        assert "sid" not in said
        assert said["exp"] - said["iat"] <= 300
        for method, path in (("GET", "/api/auth/me"), ("POST", "/api/auth/keys"), ("GET", "/v1/models")):
            replayed = await application.request(method, path, json={"name": "x"}, headers=bearer(token))
            assert 401 == replayed.status_code, replayed.text


async def test_a_token_of_the_identity_provider_goes_to_the_tools_that_ask_for_it(
    api: httpx.AsyncClient, application: httpx.AsyncClient, service: Service, database_url: str, tenant: TestTenant
) -> None:
    issuer = Issuer()
    issuer.register(database_url, tenant.id, role="owner")
    trust(application, issuer)
    own = issuer.token(email=some_email())
    usual = await make_tool(api, endpoint=f"{service.url}/echo")
    asks = await make_tool(api, endpoint=f"{service.url}/echo", config={"authorization": "identity_provider"})
    assert own not in (await sent_token(application, service, usual, own))
    assert own == await sent_token(application, service, asks, own)
    before = len(service.requests)
    refused = await try_(api, asks)
    assert (False, "tool_refused", before) == (refused["ok"], refused["error"]["code"], len(service.requests))


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
        ("bytes/3000000", {"sku": "a"}, "tool_too_large", 200),
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
    (entry,) = audit_entries(database_url, tenant.id, "tool.tested")
    assert ("failed", code) == (entry["result"], entry["detail"]["code"])


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
    assert name in [entry["target"] for entry in audit_entries(database_url, PLATFORM, "tool.tested")]


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
