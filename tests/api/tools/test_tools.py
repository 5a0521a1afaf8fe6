"""Tools over HTTP: rows that make one, and their secrets."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from schema.vault import Sealed
from tests.api.owned_rows import SECRET, SKU, TOOLS, grant, kept, make_tool, tool_row
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tools.registry import builtin_tools

TENANT_ROLE = "owner"

AGENTS = "/api/admin/agents"
KEPT = "SELECT * FROM tools WHERE name = %s"


def opened(found: dict[str, Any]) -> dict[str, str]:
    sealed = Sealed(found["key_id"], found["sealed"])
    return json.loads(VAULT.open(sealed, tenant_id=found["tenant_id"], owner_id=found["id"]))


async def test_a_tool_is_kept_as_it_was_sent(api: httpx.AsyncClient) -> None:
    sent = tool_row(
        endpoint="https://erp.example.com/stock/{sku}",
        headers={"X-Trace": "yes"},
        parameters=SKU,
        config={"result": "/items"},
        output_format="markdown_table",
        renderer={"type": "table", "fields": ["sku"]},
        priority=300,
        timeout_s=3.5,
        side_effects=True,
        max_bytes=4096,
        enabled=False,
    )
    made = await api.post(TOOLS, json=sent)
    assert (201, f"{TOOLS}/{sent['name']}") == (made.status_code, made.headers["location"])
    found = (await api.get(f"{TOOLS}/{sent['name']}")).json()
    assert {**sent, "origin": "own", "secrets": []} == {key: found[key] for key in (*sent, "origin", "secrets")}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(({"name": name}, "name") for name in ("a b", "1a", "a/b", "x" * 65, "a\n")),
        ({"kind": "FTP"}, "kind"),
        ({"description": " "}, "description"),
        *(
            ({"endpoint": endpoint}, "endpoint")
            for endpoint in (
                *("http://169.254.169.254/latest", "https://10.0.0.1/x", "https://[fd00::1]/x", "ftp://x/y"),
                *(
                    "http://8.8.8.8/x",
                    "https://[::1]/x",
                    "https://x.example.com/../y",
                    "https://x.example.com/{sku}",
                ),
                *("https://u:p@x.example.com/", "https://x.example.com/?a={b}", ""),
            )
        ),
        ({"parameters": {"type": "array"}}, "parameters"),
        ({"parameters": {"properties": {"n": {"type": "strong"}}}}, "parameters.properties.n.type"),
        ({"parameters": {"$ref": "https://example.com/x"}}, "parameters.$ref"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "headers.X-A"),
        ({"headers": {"Host": "x"}}, "headers.Host"),
        ({"headers": {"X-Api-Key": SECRET}}, "headers.X-Api-Key"),
        ({"headers": {"Authorization": f"Bearer {SECRET}"}}, "headers.Authorization"),
        ({"headers": {"X-A": "{{secret:KEY}}"}}, "headers.X-A"),
        ({"secrets": {"KEY": SECRET}}, "secrets.KEY"),
        ({"headers": {"X-A": "{{secret:KEY}}"}, "secrets": {"KEY": "a\nb canary"}}, "secrets.KEY"),
        ({"headers": {"X-A": "{{secret:KEY}}"}, "secrets": {"KEY": ""}}, "secrets.KEY"),
        ({"secrets": {"canary 4": SECRET}}, "secrets"),
        ({"headers": {f"X-{n}": "a" for n in range(41)}}, "headers"),
        ({"config": {"resul": ""}}, "config.resul"),
        ({"config": {"query": {"q": "sku"}}}, "config.query.q"),
        ({"renderer": {"fields": []}}, "renderer.type"),
        ({"priority": 1001}, "priority"),
        ({"timeout_s": 121}, "timeout_s"),
        ({"max_bytes": 10}, "max_bytes"),
        ({"colour": 1}, "colour"),
        (
            {"kind": "SQL", "endpoint": None, "config": {"data_source": "x", "statement": "DROP TABLE a.b"}},
            "config.statement",
        ),
        ({"kind": "SQL", "config": {"data_source": "x"}}, "endpoint"),
    ],
)
async def test_what_can_not_be_a_tool_is_refused_with_the_field(
    api: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await api.post(TOOLS, json=tool_row(**fields))
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text
    assert "canary" not in answer.text
    if "name" not in fields:
        answer = await api.patch(f"{TOOLS}/{await make_tool(api)}", json=fields)
        assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text
        assert "canary" not in answer.text


async def test_a_name_is_taken_once_and_never_from_a_built_in_one(api: httpx.AsyncClient) -> None:
    for name in (await make_tool(api), "world_time"):
        answer = await api.post(TOOLS, json=tool_row(name))
        assert (409, "conflict") == (answer.status_code, answer.json()["code"])


async def test_secrets_are_sealed_for_their_row_and_only_their_names_are_told(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    headers = {"X-Api-Key": "{{secret:KEY}}", "X-Pair": "{{secret:USER}}:{{secret:KEY}}"}
    answer = await api.post(TOOLS, json=tool_row(headers=headers, secrets={"KEY": SECRET, "USER": "canary-user"}))
    name = answer.json()["name"]
    told = [answer.text, (await api.get(f"{TOOLS}/{name}")).text, (await api.get(TOOLS)).text]
    assert ["KEY", "USER"] == answer.json()["secrets"]
    found = kept(database_url, KEPT, name)
    assert {"KEY": SECRET, "USER": "canary-user"} == opened(found)
    told += [str(found["definition"]), str(audit_entries(database_url, tenant.id, "tool.created"))]
    assert [] == [text for text in told if "canary" in text]
    assert b"canary" not in found["sealed"]


async def test_a_secret_is_changed_kept_and_forgotten_by_its_name(api: httpx.AsyncClient, database_url: str) -> None:
    headers = {"X-A": "{{secret:A}}", "X-B": "{{secret:B}}"}
    name = await make_tool(api, headers=headers, secrets={"A": "aaaa", "B": "bbbb"})
    await api.patch(f"{TOOLS}/{name}", json={"secrets": {"A": "cccc"}})
    assert {"A": "cccc", "B": "bbbb"} == opened(kept(database_url, KEPT, name))
    await api.patch(f"{TOOLS}/{name}", json={"priority": 5})
    assert {"A": "cccc", "B": "bbbb"} == opened(kept(database_url, KEPT, name))
    refused = await api.patch(f"{TOOLS}/{name}", json={"secrets": {"A": None}})
    assert (400, "headers.X-A") == (refused.status_code, refused.json()["errors"][0]["field"])
    fewer = await api.patch(f"{TOOLS}/{name}", json={"headers": {"X-B": "{{secret:B}}"}})
    assert (["B"], {"B": "bbbb"}) == (fewer.json()["secrets"], opened(kept(database_url, KEPT, name)))
    none = await api.patch(f"{TOOLS}/{name}", json={"headers": {}, "secrets": {"B": None}})
    assert ([], None) == (none.json()["secrets"], kept(database_url, KEPT, name)["sealed"])


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://mine.example.com/stock",
        "https://erp.example.com:8443/stock",
        "https://erp.example.com.mine.example/stock",
        "https://erp.example.co/m",
    ],
)
async def test_a_stored_secret_does_not_follow_the_endpoint_to_another_host(
    api: httpx.AsyncClient, database_url: str, endpoint: str
) -> None:
    name = await make_tool(api, headers={"X-Key": "{{secret:KEY}}"}, secrets={"KEY": SECRET})
    for change in (
        {"endpoint": endpoint},
        {"endpoint": endpoint, "headers": {"X-Other": "{{secret:KEY}}"}},
        {"endpoint": endpoint, "secrets": {}},
    ):
        refused = await api.patch(f"{TOOLS}/{name}", json=change)
        assert (422, "secrets_required") == (refused.status_code, refused.json()["code"])
        assert "KEY" in refused.json()["detail"]
        assert SECRET not in refused.text
    assert "https://erp.example.com/stock" == kept(database_url, KEPT, name)["definition"]["endpoint"]
    anew = await api.patch(f"{TOOLS}/{name}", json={"endpoint": endpoint, "secrets": {"KEY": "another-key"}})
    assert (200, {"KEY": "another-key"}) == (anew.status_code, opened(kept(database_url, KEPT, name)))


async def test_a_secret_that_no_header_uses_any_more_does_not_wait_for_another_host(
    api: httpx.AsyncClient, database_url: str
) -> None:
    name = await make_tool(api, headers={"X-Key": "{{secret:KEY}}"}, secrets={"KEY": SECRET})
    moved = await api.patch(f"{TOOLS}/{name}", json={"endpoint": "https://mine.example.com/", "headers": {}})
    assert (200, None) == (moved.status_code, kept(database_url, KEPT, name)["sealed"])
    refused = await api.patch(f"{TOOLS}/{name}", json={"headers": {"X-Key": "{{secret:KEY}}"}})
    assert 400 == refused.status_code


@pytest.mark.parametrize(
    "endpoint",
    ["https://erp.example.com/other?x=1", "https://ERP.example.com:443/stock", "https://erp.example.com./stock"],
)
async def test_a_stored_secret_stays_with_its_host(api: httpx.AsyncClient, database_url: str, endpoint: str) -> None:
    name = await make_tool(api, headers={"X-Key": "{{secret:KEY}}"}, secrets={"KEY": SECRET})
    moved = await api.patch(f"{TOOLS}/{name}", json={"endpoint": endpoint})
    assert (200, {"KEY": SECRET}) == (moved.status_code, opened(kept(database_url, KEPT, name)))


async def test_a_change_leaves_the_rest_as_it_is(api: httpx.AsyncClient, database_url: str) -> None:
    name = await make_tool(api, priority=7, renderer={"type": "table"}, side_effects=True)
    changed = (await api.patch(f"{TOOLS}/{name}", json={"description": "New.", "enabled": False})).json()
    right = {
        "description": "New.",
        "enabled": False,
        "priority": 7,
        "renderer": {"type": "table"},
        "side_effects": True,
    }
    assert right == {key: changed[key] for key in right}
    nulled = (await api.patch(f"{TOOLS}/{name}", json={"renderer": None, "side_effects": None, "priority": 9})).json()
    assert (None, None, 9) == (nulled["renderer"], nulled["side_effects"], nulled["priority"])
    found = kept(database_url, KEPT, name)
    assert (9, 9, "New.") == (found["priority"], found["definition"]["priority"], found["definition"]["description"])


async def test_the_list_has_own_shared_and_built_in_tools_as_far_as_they_are_granted(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    own = await make_tool(api)
    shared = await make_tool(admin, name=f"Shared-{uuid4().hex[:6]}", headers={"X-Trace": "platform"})
    assert [own] == [item["name"] for item in (await api.get(TOOLS)).json()["items"]]
    for pattern in (shared, "world_*", "weather"):
        grant(database_url, tenant, "tool", pattern)
    await api.put("/api/admin/configuration", json={"disabled_tools": ["weather"]})
    told = await api.get(TOOLS)
    assert [(shared, "shared", "HTTP_GET", True), (own, "own", "HTTP_GET", True)] == [
        (item["name"], item["origin"], item["kind"], item["enabled"])
        for item in told.json()["items"]
        if item["origin"] != "builtin"
    ]
    assert {"weather": False, "world_time": True} == {
        item["name"]: item["enabled"] for item in told.json()["items"] if item["kind"] == "builtin"
    }
    assert "platform" not in told.text
    assert [own] == [item["name"] for item in (await api.get(TOOLS, params={"search": own.upper()})).json()["items"]]
    assert ["weather"] == [item["name"] for item in (await api.get(TOOLS, params={"enabled": "false"})).json()["items"]]


async def test_pages_show_every_tool_once_in_order(admin: httpx.AsyncClient) -> None:
    made = {await make_tool(admin, name=f"{letter}{uuid4().hex[:6]}") for letter in "azAZ"}
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = (await admin.get(TOOLS, params=params)).json()
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert sorted(set(seen)) == seen
    assert made | builtin_tools().keys() <= set(seen)


async def test_what_is_not_ones_own_is_looked_at_and_not_changed(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    shared = await make_tool(admin)
    for name in (shared, "world_time"):
        for method in ("GET", "PATCH", "DELETE"):
            answer = await api.request(method, f"{TOOLS}/{name}", json={} if method == "PATCH" else None)
            assert 404 == answer.status_code
        grant(database_url, tenant, "tool", name)
        assert 200 == (await api.get(f"{TOOLS}/{name}")).status_code
        assert 409 == (await api.patch(f"{TOOLS}/{name}", json={"priority": 1})).status_code
        assert 409 == (await api.delete(f"{TOOLS}/{name}")).status_code
    assert 200 == (await admin.get(f"{TOOLS}/{shared}")).status_code


async def test_another_tenants_tool_does_not_exist(api: httpx.AsyncClient, database_url: str) -> None:
    name = await make_tool(api)
    stranger = make_tenant(database_url, role="owner").headers
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        body = {} if method in ("PATCH", "POST") else None
        answer = await api.request(method, f"{TOOLS}/{name}{path}", json=body, headers=stranger)
        assert 404 == answer.status_code
    body = {"name": "x", "description": "x", "tools": [name]}
    refused = await api.post(AGENTS, json=body, headers=stranger)
    assert (400, "tools[0]") == (refused.status_code, refused.json()["errors"][0]["field"])


async def test_a_tool_that_agents_have_is_deleted_only_by_force(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    name, other = await make_tool(api), await make_tool(api)
    for agent in ("AgentB", "AgentA"):
        await api.post(AGENTS, json={"name": agent, "description": "x", "tools": [other, name]})
    refused = await api.delete(f"{TOOLS}/{name}")
    assert (409, True) == (refused.status_code, "AgentA, AgentB" in refused.json()["detail"])
    assert 204 == (await api.delete(f"{TOOLS}/{name}", params={"force": "true"})).status_code
    assert [[other], [other]] == [item["tools"] for item in (await api.get(AGENTS)).json()["items"]]
    assert 404 == (await api.get(f"{TOOLS}/{name}")).status_code
    (entry,) = audit_entries(database_url, tenant.id, "tool.deleted")
    assert (name, {"taken_from": ["AgentA", "AgentB"]}) == (entry["target"], entry["detail"])
