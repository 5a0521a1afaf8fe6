"""Grants over HTTP, and what they let a tenant do."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import TestTenant

JSON = {"Content-Type": "application/json"}


def path(tenant: TestTenant, rest: str = "") -> str:
    return f"/api/admin/tenants/{tenant.slug}/grants{rest}"


async def names(admin: httpx.AsyncClient, tenant: TestTenant, **params: str) -> list[tuple[str, str]]:
    items = (await admin.get(path(tenant), params=params)).json()["items"]
    return [(item["kind"], item["name"]) for item in items]


@pytest.mark.parametrize(
    "grant",
    [
        *("model/openai/gpt-4o", "model/ollama/llama3.2:3b", "model/openrouter/meta-llama/llama-3", "model/ollama/*"),
        *("model/*", "model/ollama/llama*", "agent/sql", "agent/sql-*", "agent/*", "tool/web.search", "tool/Nước*"),
    ],
)
async def test_what_is_granted_is_listed_until_it_is_taken_back(
    admin: httpx.AsyncClient, tenant: TestTenant, grant: str
) -> None:
    kind, _, name = grant.partition("/")
    before = await names(admin, tenant)
    granted = await admin.put(path(tenant, f"/{grant}"))
    assert (200, kind, name, {}) == (
        granted.status_code,
        *(granted.json()[key] for key in ("kind", "name", "overrides")),
    )
    assert (kind, name) in await names(admin, tenant, kind=kind)
    assert 204 == (await admin.delete(path(tenant, f"/{grant}"))).status_code
    assert [found for found in before if found != (kind, name)] == await names(admin, tenant)
    assert 404 == (await admin.delete(path(tenant, f"/{grant}"))).status_code


@pytest.mark.parametrize(
    "grant",
    [
        *(
            "model/gpt-4o",
            "model/open*",
            "model/openai/",
            "model/*/x",
            "model/openai/g*t",
            "model/openai/**",
            "model/a b/c",
        ),
        *(
            "model/OPENAI/x",
            "agent/a/b",
            "agent/a%20b",
            "agent/**",
            "agent/*a",
            "tool/%ff",
        ),
        *("tool/" + "x" * 101, "role/admin"),
    ],
)
async def test_what_can_not_be_granted_is_refused(admin: httpx.AsyncClient, tenant: TestTenant, grant: str) -> None:
    answer = await admin.put(path(tenant, f"/{grant}"))
    assert 400 == answer.status_code, answer.text
    assert answer.json()["errors"][0]["field"] in ("name", "kind")


@pytest.mark.parametrize("kind", ["agent", "tool"])
async def test_a_grant_of_something_that_does_not_exist_says_so(
    admin: httpx.AsyncClient, tenant: TestTenant, kind: str
) -> None:
    granted = (await admin.put(path(tenant, f"/{kind}/Nobody"))).json()
    assert ("Nobody", "name_unknown") == (granted["name"], granted["notice"]["code"])
    assert f"There is no shared {kind} 'Nobody' yet." in granted["notice"]["message"]


async def test_a_grant_of_what_exists_has_no_notice(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    agent = f"Shared{uuid4().hex[:8]}"
    body = {"name": agent, "description": "x", "prompt": "x", "models": ["offline/extractive"]}
    created = await admin.post("/api/admin/agents", json=body)
    assert 201 == created.status_code, created.text
    for grant in (
        f"agent/{agent}",
        f"agent/{agent}*",
        "agent/*",
        "tool/world_time",
        "tool/no*",
        "model/ollama/pulled:1b",
    ):
        answer = await admin.put(path(tenant, f"/{grant}"))
        assert 200 == answer.status_code
        assert "notice" not in answer.json(), grant


async def test_overrides_are_set_anew_with_each_grant(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    overrides = {"output_format": "markdown_table", "renderer": {"columns": ["a", "b"], "wide": True}}
    answer = await admin.put(path(tenant, "/agent/sql"), json={"overrides": overrides})
    assert overrides == answer.json()["overrides"]
    answer = await admin.put(path(tenant, "/agent/sql"), json={"overrides": {"output_format": "chart_data"}})
    assert {"output_format": "chart_data"} == answer.json()["overrides"]
    assert {} == (await admin.put(path(tenant, "/agent/sql"))).json()["overrides"]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"output_format": "pdf"}, "overrides.output_format"),
        ({"colour": 1}, "overrides.colour"),
        ({"renderer": []}, "overrides.renderer"),
        ({"renderer": {"a": "x" * 4096}}, "overrides.renderer"),
        ({"renderer": {"a": "ệ" * 1400}}, "overrides.renderer"),
        ({"renderer": nested(17)}, "overrides.renderer"),
        ({"renderer": nested(400)}, "overrides.renderer"),
        ({"renderer": {"a": ["b\0"]}}, "overrides.renderer.a[0]"),
    ],
)
async def test_overrides_that_can_not_be_kept_are_refused(
    admin: httpx.AsyncClient, tenant: TestTenant, overrides: dict[str, Any], field: str
) -> None:
    answer = await admin.put(path(tenant, "/agent/sql"), json={"overrides": overrides})
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_a_renderer_may_be_as_deep_and_as_large_as_is_said(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    large = {"a": "x" * (4096 - len(json.dumps({"a": ""}, separators=(",", ":"))))}
    for renderer in (nested(16), large, {"n": 2**70, "f": 1.5}):
        answer = await admin.put(path(tenant, "/agent/sql"), json={"overrides": {"renderer": renderer}})
        assert (200, renderer) == (answer.status_code, answer.json()["overrides"]["renderer"])


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
async def test_a_body_without_end_is_refused(admin: httpx.AsyncClient, tenant: TestTenant, depth: int) -> None:
    body = '{"overrides": {"renderer": ' + '{"a":' * depth + "1" + "}" * depth + "}}"
    assert 400 == (await admin.put(path(tenant, "/agent/sql"), content=body, headers=JSON)).status_code


async def test_a_tenant_knows_what_is_granted_to_it_within_a_second(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, owner: TestTenant
) -> None:
    mine = f"offline/{uuid4().hex}"
    await admin.put(path(owner, f"/model/{mine}"))
    await admin.delete(path(owner, "/model/*"))
    assert [mine] == (await api.get("/api/tenant", headers=owner.headers)).json()["models"]


async def test_a_model_that_is_not_granted_is_not_asked(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, owner: TestTenant
) -> None:
    await admin.delete(path(owner, "/model/*"))
    answer = await api.post("/api/chat", json={"message": "hi"}, headers=owner.headers | {"Prefer": "respond-async"})
    assert (400, "model_unknown") == (answer.status_code, answer.json()["code"])


async def test_a_default_model_must_be_granted_first(admin: httpx.AsyncClient, tenant: TestTenant) -> None:
    await admin.delete(path(tenant, "/model/*"))
    change = {"default_model": "openai/gpt-4o"}
    answer = await admin.patch(f"/api/admin/tenants/{tenant.slug}", json=change)
    assert (400, "default_model") == (answer.status_code, answer.json()["errors"][0]["field"])
    await admin.put(path(tenant, "/model/openai/*"))
    changed = await admin.patch(f"/api/admin/tenants/{tenant.slug}", json=change)
    assert "openai/gpt-4o" == changed.json()["default_model"]


async def test_a_price_is_set_changed_and_forgotten(admin: httpx.AsyncClient) -> None:
    model = f"/api/admin/models/openai/gpt-{uuid4().hex[:6]}"
    name = model.removeprefix("/api/admin/models/")
    for prices in ({"input_usd": 0.000001, "output_usd": 1_000_000}, {"input_usd": 0, "output_usd": 2.5}):
        answer = await admin.put(model, json=prices)
        assert (200, prices) == (answer.status_code, {key: answer.json()[key] for key in prices})
        listed = {item["name"]: item["output_usd"] for item in (await admin.get("/api/admin/models")).json()["items"]}
        assert prices["output_usd"] == listed[name]
    assert 204 == (await admin.delete(model)).status_code
    assert 404 == (await admin.delete(model)).status_code


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("openai/x", {"input_usd": -1, "output_usd": 1}, "input_usd"),
        ("openai/x", {"input_usd": 1}, "output_usd"),
        ("openai/x", {"input_usd": 1e9, "output_usd": 1}, "input_usd"),
        ("openai/x", {"input_usd": 0.0000001, "output_usd": 1}, "input_usd"),
        ("openai/x", {"input_usd": "1", "output_usd": 1}, "input_usd"),
        ("openai/*", {"input_usd": 1, "output_usd": 1}, "name"),
        ("gpt", {"input_usd": 1, "output_usd": 1}, "name"),
    ],
)
async def test_a_wrong_price_is_refused(admin: httpx.AsyncClient, name: str, body: dict[str, Any], field: str) -> None:
    answer = await admin.put(f"/api/admin/models/{name}", json=body)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


@pytest.mark.parametrize(
    ("kind", "overrides", "field"),
    [
        ("agent", {"models": ["gpt-4o"]}, "overrides.models[0]"),
        ("agent", {"models": []}, "overrides.models"),
        ("agent", {"output_schema": {"type": "string"}}, "overrides.output_schema.type"),
        ("agent", {"output_schema": {"properties": []}}, "overrides.output_schema.properties"),
        ("agent", {"output_schema": {}, "output_format": "chart_data"}, "overrides.output_schema"),
        ("tool", {"models": ["offline/extractive"]}, "overrides.models"),
        ("model", {"output_schema": {"type": "object"}}, "overrides.output_schema"),
    ],
)
async def test_overrides_that_no_agent_could_follow_are_refused(
    admin: httpx.AsyncClient, tenant: TestTenant, kind: str, overrides: dict[str, Any], field: str
) -> None:
    name = "offline/extractive" if kind == "model" else "x"
    answer = await admin.put(path(tenant, f"/{kind}/{name}"), json={"overrides": overrides})
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_an_agent_is_granted_with_models_and_a_schema_of_its_own(
    admin: httpx.AsyncClient, tenant: TestTenant
) -> None:
    properties = {"deliberation": {"type": "string"}, "settled": {"type": "boolean"}, "a": {"type": "string"}}
    schema = {"type": "array", "items": {"type": "object", "properties": properties}}
    overrides = {"output_format": "structured_json", "output_schema": schema, "models": ["offline/extractive"]}
    granted = await admin.put(path(tenant, "/agent/sql"), json={"overrides": overrides})
    assert (200, overrides) == (granted.status_code, granted.json()["overrides"])
    assert json.dumps(schema) == json.dumps(
        granted.json()["overrides"]["output_schema"]
    )  # models fill it in this order
    await admin.delete(path(tenant, "/model/*"))
    refused = await admin.put(path(tenant, "/agent/sql"), json={"overrides": overrides})
    assert (400, "overrides.models[0]") == (refused.status_code, refused.json()["errors"][0]["field"])


async def test_a_model_tells_what_it_can_do_and_who_stands_in_for_it(admin: httpx.AsyncClient) -> None:
    name = f"some/{uuid4().hex[:6]}"
    known = {"context_tokens": 128_000, "tools": True, "images": False, "fallbacks": ["other/a", "other/b/c"]}
    prices = {"input_usd": 1, "output_usd": 2}
    answer = await admin.put(f"/api/admin/models/{name}", json=prices | known)
    assert (200, known) == (answer.status_code, {key: answer.json()[key] for key in known})
    (listed,) = [item for item in (await admin.get("/api/admin/models")).json()["items"] if item["name"] == name]
    assert known == {key: listed[key] for key in known}
    answer = await admin.put(f"/api/admin/models/{name}", json=prices)
    assert known == {key: answer.json()[key] for key in known}
    unknown = {"context_tokens": None, "tools": None, "images": None, "fallbacks": []}
    answer = await admin.put(f"/api/admin/models/{name}", json=unknown)
    assert unknown == {key: answer.json()[key] for key in unknown}


async def test_fallbacks_that_go_round_are_refused(admin: httpx.AsyncClient) -> None:
    names = [f"round/{uuid4().hex[:6]}" for _ in range(3)]

    async def put(name: str, *fallbacks: str) -> httpx.Response:
        body = {"input_usd": 1, "output_usd": 1, "fallbacks": fallbacks}
        return await admin.put(f"/api/admin/models/{name}", json=body)

    for name, after in ((names[0], names[1]), (names[1], names[2])):
        assert 200 == (await put(name, after)).status_code
    for name, fallbacks, place in (
        (names[2], ["some/other", names[0]], 1),
        (names[2], [names[2]], 0),
        (names[2], ["some/x", "some/x"], 1),
        (names[2], ["gpt"], 0),
    ):
        answer = await put(name, *fallbacks)
        assert (400, f"fallbacks[{place}]") == (answer.status_code, answer.json()["errors"][0]["field"])
    assert " → ".join([names[2], *names]) in (await put(names[2], names[0])).json()["detail"]
