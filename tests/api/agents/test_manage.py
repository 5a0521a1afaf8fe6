"""Agents over HTTP: who makes which, what is refused, and who may call them."""

from typing import Any, get_args
from uuid import uuid4

import httpx
import psycopg
import pytest

from api.grants.output_schemas import OutputFormat
from graphs.agents.contract import GraphName
from graphs.agents.output_formats import FORMATS
from schema.tables.agents import GRAPHS
from schema.vault import PLATFORM
from tests.api.owned_rows import grant
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant

TENANT_ROLE = "owner"

AGENTS = "/api/admin/agents"
FULL: dict[str, Any] = {
    "description": "Knows the stock.",
    "examples": ["How many CF-ROB-01 are left?", "Tồn kho của mã CF-ROB-01?"],
    "prompt": "You are {agent}; today is {date}. Braces: {{x}}.",
    "models": ["offline/extractive"],
    "graph": "react",
    "tools": [],
    "output_format": "structured_json",
    "output_schema": {"type": "array", "items": {"$ref": "#/$defs/row"}, "$defs": {"row": {"type": "object"}}},
    "renderer": {"type": "table", "fields": ["sku", "left"], "sortable": True},
    "max_steps": 7,
    "cache_s": 60,
    "enabled": True,
}


def some_name() -> str:
    return f"Agent{uuid4().hex[:8]}"


async def make(api: httpx.AsyncClient, name: str | None = None, **fields: Any) -> str:
    name = name or some_name()
    answer = await api.post(AGENTS, json={"name": name, "description": "Knows.", **fields})
    assert 201 == answer.status_code, answer.text
    return name


async def callable_names(api: httpx.AsyncClient, tenant: TestTenant) -> list[str]:
    answer = await api.get("/api/agents", headers=tenant.headers)
    return [item["name"] for item in answer.json()["items"]]


async def test_formats_and_graphs_are_those_of_the_code_behind_them() -> None:
    assert FORMATS == get_args(OutputFormat)
    assert set(GRAPHS) == set(get_args(GraphName))


async def test_an_agent_is_kept_as_it_was_sent_and_can_be_called(api: httpx.AsyncClient, tenant: TestTenant) -> None:
    name = some_name()
    made = await api.post(AGENTS, json={"name": name, **FULL})
    assert (201, f"{AGENTS}/{name}") == (made.status_code, made.headers["location"])
    found = (await api.get(f"{AGENTS}/{name}")).json()
    assert {"name": name, **FULL} == {key: found[key] for key in ("name", *FULL)}
    assert found["created_by"].startswith("key:")
    told = (await api.get("/api/agents")).json()["items"]
    assert [{"name": name, "own": True} | {key: FULL[key] for key in ("description", "examples", "graph")}] == [
        {key: item[key] for key in ("name", "own", "description", "examples", "graph")} for item in told
    ]
    assert "You are" not in str(told)


async def test_what_is_left_out_of_a_new_agent_is_as_usual(api: httpx.AsyncClient) -> None:
    found = (await api.get(f"{AGENTS}/{await make(api)}")).json()
    usual = {"graph": "auto", "tools": [], "models": [], "max_steps": 5, "cache_s": 0, "enabled": True, "prompt": ""}
    assert usual == {key: found[key] for key in usual}


async def test_a_change_leaves_the_rest_as_it_is(api: httpx.AsyncClient) -> None:
    name = await make(api, **FULL)
    changed = await api.patch(f"{AGENTS}/{name}", json={"description": "New.", "cache_s": 0})
    assert FULL | {"description": "New.", "cache_s": 0} == {key: changed.json()[key] for key in FULL}
    nulled = await api.patch(
        f"{AGENTS}/{name}", json={"output_format": None, "output_schema": None, "renderer": None, "models": []}
    )
    assert [None, None, None, []] == [
        nulled.json()[key] for key in ("output_format", "output_schema", "renderer", "models")
    ]
    assert changed.json()["updated_at"] < nulled.json()["updated_at"]


async def test_a_name_is_taken_once(api: httpx.AsyncClient) -> None:
    name = await make(api)
    again = await api.post(AGENTS, json={"name": name, "description": "x"})
    assert (409, "conflict") == (again.status_code, again.json()["code"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        *(
            ({"name": name}, "name")
            for name in ("", "a b", "1a", "a/b", "a.b", "Ế", "x" * 65, "auto", "Chat", "reload")
        ),
        *(({"name": f"a{end}"}, "name") for end in ("\n", " ", "*")),
        ({"description": ""}, "description"),
        ({"description": " \n"}, "description"),
        ({"examples": ["x"] * 51}, "examples"),
        ({"examples": ["x" * 501]}, "examples[0]"),
        ({"examples": ["x", " "]}, "examples[1]"),
        *(
            ({"prompt": prompt}, "prompt")
            for prompt in ("{tenant}", "{", "}", "{0}", "{agent.x}", "{agent!r}", "{agent:>9}", "{agent:{x}}")
        ),
        ({"graph": "tree"}, "graph"),
        ({"tools": ["nothing_of_that_name"]}, "tools[0]"),
        ({"models": ["gpt-4o"]}, "models[0]"),
        ({"models": ["offline/extractive", "offline/extractive"]}, "models[1]"),
        ({"output_format": "pdf"}, "output_format"),
        ({"output_schema": {"type": "object"}}, "output_schema"),
        ({"output_format": "chart_data", "output_schema": {}}, "output_schema"),
        *(
            ({"output_format": "structured_json", "output_schema": schema}, field)
            for schema, field in (
                ({"type": "string"}, "output_schema.type"),
                ({"type": ["object", "null"]}, "output_schema.type"),
                ({"type": "array", "items": {"type": "strong"}}, "output_schema.items.type"),
                ({"properties": {"a": {"minimum": "1"}}}, "output_schema.properties.a.minimum"),
                ({"items": {"$ref": "https://example.com/x.json"}}, "output_schema.items.$ref"),
                ({"items": {"$ref": "#"}}, "output_schema"),
            )
        ),
        ({"renderer": {}}, "renderer.type"),
        ({"renderer": {"type": 3}}, "renderer.type"),
        ({"renderer": {"type": "table", "a": "x" * 4096}}, "renderer"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": 21}, "max_steps"),
        ({"cache_s": -1}, "cache_s"),
        ({"cache_s": 86_401}, "cache_s"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_can_not_be_an_agent_is_refused_with_the_field(
    api: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await api.post(AGENTS, json={"name": some_name(), "description": "Knows.", **fields})
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text
    if "name" in fields:
        return
    name = await make(api)
    answer = await api.patch(f"{AGENTS}/{name}", json=fields)
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text


async def test_a_model_that_is_not_granted_is_refused(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    grants = f"/api/admin/tenants/{tenant.slug}/grants/model"
    await admin.put(f"{grants}/ollama/*")
    await admin.delete(f"{grants}/*")
    body = {"name": some_name(), "description": "x", "models": ["ollama/llama3", "openai/gpt-4o"]}
    refused = await api.post(AGENTS, json=body)
    assert (400, "models[1]") == (refused.status_code, refused.json()["errors"][0]["field"])
    assert 201 == (await api.post(AGENTS, json=body | {"models": ["ollama/llama3"]})).status_code


async def test_an_agent_without_any_model_is_refused_with_what_to_do(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    await admin.delete(f"/api/admin/tenants/{tenant.slug}/grants/model/*")
    answer = await api.post(AGENTS, json={"name": some_name(), "description": "x"})
    assert (400, "models") == (answer.status_code, answer.json()["errors"][0]["field"])
    assert "to grant one" in answer.json()["detail"]


async def test_tools_are_assigned_as_far_as_they_are_granted(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    name = await make(api)
    refused = await api.put(f"{AGENTS}/{name}/tools", json={"tools": ["world_time"]})
    assert (400, "tools[0]") == (refused.status_code, refused.json()["errors"][0]["field"])
    await admin.put(f"/api/admin/tenants/{tenant.slug}/grants/tool/world_*")
    given = await api.put(f"{AGENTS}/{name}/tools", json={"tools": ["world_time"]})
    assert (200, ["world_time"]) == (given.status_code, given.json()["tools"])
    twice = await api.put(f"{AGENTS}/{name}/tools", json={"tools": ["world_time", "world_time"]})
    assert (400, "tools[1]") == (twice.status_code, twice.json()["errors"][0]["field"])
    assert [] == (await api.put(f"{AGENTS}/{name}/tools", json={"tools": []})).json()["tools"]


async def test_an_agent_whose_tool_is_gone_can_still_be_changed(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    name = await make(api)
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE agents SET tools = '[\"gone\"]' WHERE name = %s", (name,))
    assert 200 == (await api.patch(f"{AGENTS}/{name}", json={"enabled": False})).status_code
    refused = await api.patch(f"{AGENTS}/{name}", json={"tools": ["gone"]})
    assert 400 == refused.status_code


async def test_pages_show_every_agent_once_in_order(api: httpx.AsyncClient) -> None:
    names = [await make(api, name, description=f"about {name}") for name in ("b", "B-2", "a", "Z", "a_9")]
    await api.patch(f"{AGENTS}/Z", json={"enabled": False})
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get(AGENTS, params=params)).json()
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert sorted(names) == seen
    for question, found in (
        ({"search": "B"}, ["B-2", "Z", "a", "a_9", "b"]),
        ({"search": "ABOUT B"}, ["B-2", "b"]),
        ({"search": "a_"}, ["a_9"]),
        ({"enabled": "false"}, ["Z"]),
        ({"enabled": "true", "search": "z"}, []),
    ):
        items = (await api.get(AGENTS, params=question)).json()["items"]
        assert found == [item["name"] for item in items], question


async def test_another_tenants_agent_does_not_exist(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, stranger: TestTenant
) -> None:
    name = await make(api)
    for caller in (stranger.headers, {"Authorization": admin.headers["Authorization"]}):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"enabled": False}),
            ("DELETE", "", None),
            ("PUT", "/tools", {"tools": []}),
        ):
            answer = await api.request(method, f"{AGENTS}/{name}{path}", json=body, headers=caller)
            assert 404 == answer.status_code
    assert (await api.get(f"{AGENTS}/{name}")).json()["enabled"]
    assert [] == await callable_names(api, stranger)


async def test_a_shared_agent_is_called_by_those_to_whom_it_is_granted_with_their_overrides(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, database_url: str, tenant: TestTenant, stranger: TestTenant
) -> None:
    name = await make(admin, prompt="the platform's own words", tools=["world_time"], models=["some/model"])
    assert [] == await callable_names(api, tenant)
    grant(
        database_url, tenant, "agent", f"{name[:-1]}*", '{"output_format": "chart_data", "renderer": {"type": "chart"}}'
    )
    answer = await api.get("/api/agents")
    (item,) = answer.json()["items"]
    assert (name, False, "chart_data", {"type": "chart"}) == tuple(
        item[key] for key in ("name", "own", "output_format", "renderer")
    )
    assert "platform's own" not in answer.text
    assert [] == await callable_names(api, stranger)
    assert 404 == (await api.get(f"{AGENTS}/{name}")).status_code
    await admin.delete(f"{AGENTS}/{name}")
    assert [] == await callable_names(api, tenant)


async def test_ones_own_agent_hides_the_shared_one_of_its_name(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    name = await make(admin, description="Shared.")
    grant(database_url, tenant, "agent", name)
    await make(api, name, description="Own.")
    assert ["Own."] == [item["description"] for item in (await api.get("/api/agents")).json()["items"]]
    await api.patch(f"{AGENTS}/{name}", json={"enabled": False})
    assert [] == await callable_names(api, tenant)


async def test_members_see_agents_and_do_not_manage_them(api: httpx.AsyncClient, database_url: str) -> None:
    member = make_tenant(database_url).headers
    assert 200 == (await api.get("/api/agents", headers=member)).status_code
    for method, path in (("GET", ""), ("POST", ""), ("POST", "/reload"), ("GET", "/x"), ("DELETE", "/x")):
        answer = await api.request(method, f"{AGENTS}{path}", headers=member)
        assert (403, "forbidden") == (answer.status_code, answer.json()["code"])


async def test_every_change_makes_another_version_and_reload_tells_it(api: httpx.AsyncClient) -> None:
    versions = []
    name = some_name()
    for method, path, body in (
        ("POST", "", {"name": name, "description": "x"}),
        ("PATCH", f"/{name}", {"enabled": False}),
        ("PUT", f"/{name}/tools", {"tools": []}),
        ("DELETE", f"/{name}", None),
    ):
        assert (await api.request(method, f"{AGENTS}{path}", json=body)).status_code < 300
        answer = await api.post(f"{AGENTS}/reload")
        versions.append(answer.json()["config_version"])
        assert "next job" in answer.json()["message"]
    assert 4 == len(set(versions))
    assert versions[-1] == (await api.post(f"{AGENTS}/reload")).json()["config_version"]


async def test_every_change_is_written_down_without_the_prompt(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    name = await make(api, prompt="canary")
    await api.patch(f"{AGENTS}/{name}", json={"prompt": "canary", "enabled": True})
    await api.patch(f"{AGENTS}/{name}", json={})
    await api.delete(f"{AGENTS}/{name}")
    for action, detail in (
        ("agent.created", {"graph": "auto"}),
        ("agent.changed", {"fields": ["enabled", "prompt"]}),
        ("agent.deleted", None),
    ):
        (entry,) = audit_entries(database_url, tenant.id, action)
        assert (name, "ok", detail) == (entry["target"], entry["result"], entry["detail"])
    shared = await make(admin)
    assert shared in [entry["target"] for entry in audit_entries(database_url, PLATFORM, "agent.created")]


@pytest.mark.parametrize("name", ["nobody", "a%20b", "..", "%2e%2e%2fx", "x" * 200])
async def test_an_agent_that_is_not_there_is_not_found(api: httpx.AsyncClient, name: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = await api.request(method, f"{AGENTS}/{name}", json={"enabled": True} if method == "PATCH" else None)
        assert answer.status_code in (404, 405), answer.text
