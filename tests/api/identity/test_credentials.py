"""Provider keys over HTTP: what is stored, what is shown, what is tried, and that no key is ever told."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row
from structlog.testing import capture_logs

from api.settings import ApiSettings
from graphs.providers.key_formats import SERVICES
from schema.vault import Sealed
from tests.api.conftest import serving
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.echo_server import EchoServer
from tests.counterparts.openai.server import OpenAIServer
from tests.secret import VAULT
from tools.egress import EgressPolicy

TENANT_ROLE = "owner"

KEY = "sk-canary-" + "a1b2c3d4" * 5
OTHER = "sk-canary-" + "z9y8x7w6" * 5
SEEN = ("id", "sealed", "key_id")


def rows(database_url: str, sql: str, *values: Any) -> list[DictRow]:
    """What the tables' owner finds."""
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        return db.execute(sql, values).fetchall()


def stored(database_url: str, tenant: TestTenant) -> list[DictRow]:
    return rows(database_url, "SELECT * FROM credentials WHERE tenant_id = %s ORDER BY service", tenant.id)


def audit_entries(database_url: str, tenant: TestTenant) -> list[tuple[str, str, str]]:
    found = rows(database_url, "SELECT * FROM audit_log WHERE tenant_id = %s ORDER BY at, id", tenant.id)
    return [(row["action"], row["target"], row["result"]) for row in found]


async def put(api: httpx.AsyncClient, key: str | None = KEY, service: str = "openai", **fields: Any) -> httpx.Response:
    return await api.post("/api/api-keys", json={"service_name": service, "api_key": key, **fields})


async def test_a_key_is_stored_sealed_for_its_own_row(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    answer = await put(api)
    assert 201 == answer.status_code
    (row,) = stored(database_url, tenant)
    assert KEY == VAULT.open(Sealed(row["key_id"], row["sealed"]), tenant_id=tenant.id, owner_id=row["id"])
    assert KEY.encode() not in row["sealed"]
    told = answer.json()
    assert {"service_name": "openai", "base_url": None, "tested_at": None, "test_code": None} == {
        name: told[name] for name in ("service_name", "base_url", "tested_at", "test_code")
    }
    assert told["created_by"].startswith("key:")


async def test_a_second_key_takes_the_place_of_the_first(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    first = (await put(api)).json()
    (before,) = stored(database_url, tenant)
    again = await put(api, OTHER)
    assert 201 == again.status_code
    (after,) = stored(database_url, tenant)
    assert before["id"] != after["id"]
    assert OTHER == VAULT.open(Sealed(after["key_id"], after["sealed"]), tenant_id=tenant.id, owner_id=after["id"])
    assert first["created_at"] == again.json()["created_at"]
    assert datetime.fromisoformat(first["updated_at"]) < datetime.fromisoformat(again.json()["updated_at"])


async def test_a_stored_key_does_not_follow_base_url_to_another_host(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    assert 201 == (await api.post("/api/api-keys", json={"service_name": "openai", "api_key": KEY})).status_code
    moved = await api.post("/api/api-keys", json={"service_name": "openai", "base_url": "https://1.1.1.1/v1"})
    assert 201 == moved.status_code  # a server of their own may have no key
    (row,) = stored(database_url, tenant)
    key = VAULT.open(Sealed(row["key_id"], row["sealed"]), tenant_id=tenant.id, owner_id=row["id"])
    assert ("https://1.1.1.1/v1", "") == (row["base_url"], key)


async def test_the_list_shows_what_is_configured_and_what_can_be_but_no_key(api: httpx.AsyncClient) -> None:
    await put(api)
    await put(api, None, "ollama", base_url="http://127.0.0.1:11434")
    answer = await api.get("/api/api-keys")
    told = answer.json()
    assert [("ollama", "http://127.0.0.1:11434"), ("openai", None)] == [
        (item["service_name"], item["base_url"]) for item in told["configured"]
    ]
    assert set(SERVICES) == {item["service_name"] for item in told["supported"]}
    ollama = next(item for item in told["supported"] if item["service_name"] == "ollama")
    assert (False, True) == (ollama["needs_key"], ollama["needs_base_url"])
    assert [] == [name for name in SEEN if name in told["configured"][0]]
    assert "canary" not in answer.text


async def test_another_tenants_keys_are_not_there(api: httpx.AsyncClient, stranger: TestTenant) -> None:
    await put(api)
    theirs = await api.get("/api/api-keys", headers=stranger.headers)
    assert [] == theirs.json()["configured"]
    assert 404 == (await api.post("/api/api-keys/openai/test", headers=stranger.headers)).status_code
    assert 404 == (await api.delete("/api/api-keys/openai", headers=stranger.headers)).status_code
    assert 1 == len((await api.get("/api/api-keys")).json()["configured"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"service_name": KEY, "api_key": "openai"}, "service_name"),
        ({"service_name": "openai", "api_key": f"Bearer {KEY}"}, "api_key"),
        ({"service_name": "openai", "api_key": f"{KEY}\n"}, "api_key"),
        ({"service_name": "anthropic", "api_key": KEY}, "api_key"),
        ({"service_name": "openai"}, "api_key"),
        ({"service_name": "openai", "api_key": [KEY]}, "api_key"),
        ({"service_name": "ollama"}, "base_url"),
        ({"service_name": "openai", "api_key": KEY, "base_url": "http://169.254.169.254/v1"}, "base_url"),
        ({"service_name": "openai", "api_key": KEY, "base_url": "https://[::1]/v1"}, "base_url"),
        ({"service_name": "openai", "api_key": KEY, "base_url": "https://[::ffff:10.0.0.1]/v1"}, "base_url"),
        ({"service_name": "openai", "api_key": KEY, "base_url": f"https://me:{KEY}@1.1.1.1/v1"}, "base_url"),
        ({"service_name": "openai", "api_key": KEY, "base_url": f"https://1.1.1.1/v1?key={KEY}"}, "base_url"),
        ({"api_key": KEY}, "service_name"),
        ({"service_name": "openai", "api_key": KEY, "validate": KEY}, "validate"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_field_and_without_the_key(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, body: dict[str, Any], field: str
) -> None:
    answer = await api.post("/api/api-keys", json=body)
    assert (400, [field]) == (answer.status_code, [error["field"] for error in answer.json()["errors"]])
    assert "canary" not in answer.text
    assert [] == stored(database_url, tenant)


@pytest.mark.parametrize("base_url", ["https://localhost/v1", "http://127.0.0.1/v1", "https://[::1]:8443/v1"])
async def test_this_machine_is_no_provider_unless_an_admin_allows_it(
    settings: ApiSettings, tenant: TestTenant, base_url: str
) -> None:
    async with serving(replace(settings, egress=EgressPolicy())) as api:
        api.headers.update(tenant.headers)
        answer = await put(api, base_url=base_url)
    assert (400, "base_url") == (answer.status_code, answer.json()["errors"][0]["field"])
    assert "HEADRACE_EGRESS_ALLOW" in answer.json()["detail"]


async def test_a_key_is_tried_before_it_is_stored(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    async with OpenAIServer(key=KEY) as server:
        answer = await put(api, base_url=server.base_url, validate=True)
        assert (201, "ok") == (answer.status_code, answer.json()["test_code"])
        refused = await put(api, OTHER, base_url=server.base_url, validate=True)
        assert (422, "credential_refused") == (refused.status_code, refused.json()["code"])
        assert "canary" not in refused.text
        (row,) = stored(database_url, tenant)
        assert KEY == VAULT.open(Sealed(row["key_id"], row["sealed"]), tenant_id=tenant.id, owner_id=row["id"])
        assert ["/v1/models", "/v1/models"] == [record.path for record in server.requests]


async def test_a_key_that_could_not_be_tried_is_not_stored_and_not_called_wrong(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    answer = await put(api, base_url="http://127.0.0.1:9/v1", validate=True)
    assert (502, "provider_unreachable") == (answer.status_code, answer.json()["code"])
    assert [] == stored(database_url, tenant)


async def test_a_stored_key_is_tried_and_the_outcome_kept(api: httpx.AsyncClient) -> None:
    async with OpenAIServer(key=KEY) as server:
        await put(api, base_url=server.base_url)
        tried = await api.post("/api/api-keys/openai/test")
        assert (200, True, "ok") == (tried.status_code, tried.json()["ok"], tried.json()["code"])
        assert tried.json()["latency_ms"] >= 0
        await put(api, OTHER, base_url=server.base_url)
        tried = await api.post("/api/api-keys/openai/test")
        assert (200, False, "provider_rejected_key") == (tried.status_code, tried.json()["ok"], tried.json()["code"])
    (shown,) = (await api.get("/api/api-keys")).json()["configured"]
    assert "provider_rejected_key" == shown["test_code"]
    assert shown["tested_at"] is not None


@pytest.mark.parametrize("service", ["openai", "nobody", "%00", "a" * 300])
async def test_what_is_not_stored_can_neither_be_tried_nor_deleted(api: httpx.AsyncClient, service: str) -> None:
    assert 404 == (await api.post(f"/api/api-keys/{service}/test")).status_code
    assert 404 == (await api.delete(f"/api/api-keys/{service}")).status_code


async def test_a_deleted_key_is_gone(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> None:
    await put(api)
    assert 204 == (await api.delete("/api/api-keys/openai")).status_code
    assert [] == stored(database_url, tenant)
    assert 404 == (await api.delete("/api/api-keys/openai")).status_code


async def test_every_change_is_written_down(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> None:
    await put(api, base_url="http://127.0.0.1:9/v1")
    await api.post("/api/api-keys/openai/test")
    await api.delete("/api/api-keys/openai")
    assert [
        ("credential.stored", "openai", "ok"),
        ("credential.tested", "openai", "failed"),
        ("credential.deleted", "openai", "ok"),
    ] == audit_entries(database_url, tenant)


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_only_who_may_manage_keys_can(api: httpx.AsyncClient, database_url: str, role: Any) -> None:
    other = make_tenant(database_url, role=role).headers
    body = {"service_name": "openai", "api_key": KEY}
    assert 403 == (await api.post("/api/api-keys", json=body, headers=other)).status_code
    assert 403 == (await api.get("/api/api-keys", headers=other)).status_code
    assert 403 == (await api.post("/api/api-keys/openai/test", headers=other)).status_code
    assert 403 == (await api.delete("/api/api-keys/openai", headers=other)).status_code


async def test_a_sealed_row_that_was_copied_to_another_tenant_stays_shut(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, stranger: TestTenant
) -> None:
    async with OpenAIServer() as server:
        await put(api, base_url=server.base_url)
        assert (await api.post("/api/api-keys/openai/test")).json()["ok"]
        copy_row(database_url, tenant.id, stranger.id)
        tried = await api.post("/api/api-keys/openai/test", headers=stranger.headers)
        assert (200, False, "secret_unreadable") == (tried.status_code, tried.json()["ok"], tried.json()["code"])
        assert "canary" not in tried.text
        assert 1 == len(server.requests)


def copy_row(database_url: str, source: UUID, target: UUID) -> None:
    """Copy a credential as a thief with write access to the database would, its id included where that is possible."""
    sql = """INSERT INTO credentials (tenant_id, id, service, base_url, key_id, sealed)
      SELECT %s, id, service, base_url, key_id, sealed FROM credentials WHERE tenant_id = %s"""
    with psycopg.connect(database_url) as db:
        db.execute(sql, (target, source))


async def test_a_vendor_that_echoes_the_key_tells_it_to_nobody(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    told: list[str] = []
    with capture_logs() as logs:
        for status in (302, 400, 401, 422, 500):
            async with EchoServer(status) as server:
                told.append((await put(api, base_url=f"{server.url}/v1", validate=True)).text)
                told.append((await put(api, base_url=f"{server.url}/v1")).text)
                told.append((await api.post("/api/api-keys/openai/test")).text)
                assert 2 == len(server.requests)
    kept = rows(database_url, "SELECT row_to_json(a)::text AS row FROM audit_log a WHERE tenant_id = %s", tenant.id)
    everything = "\n".join([*told, str(logs), *(row["row"] for row in kept)])
    assert [] == [part for part in (KEY, KEY[:12], KEY[3:15], KEY[-10:]) if part in everything]
