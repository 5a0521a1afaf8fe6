"""Pipelines over HTTP: list, draw, make, change, delete, run; what is wrong is refused with its place."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import httpx
import psycopg
import pytest

from graphs.pipelines.builtin import BUILTIN
from tests.conftest import TestTenant, make_tenant
from tests.journeys.agent_setup import add_agent, grant_tools
from tests.waiting import PATIENCE_S
from tests.workers.jobs import job_row, rows

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
async def client(api: httpx.AsyncClient, owner: TestTenant, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """An owner of a tenant with an agent, the tool `mathematics` and the offline model."""
    add_agent(database_url, owner, "Helper", graph="react")
    grant_tools(database_url, owner, "mathematics")
    async with httpx.AsyncClient(transport=api._transport, base_url="http://test", timeout=PATIENCE_S) as opened:
        opened.headers.update(owner.headers)
        yield opened


def add(**more: Any) -> dict[str, Any]:
    return {
        "kind": "tool",
        "tool": "mathematics",
        "arguments": {"operation": "evaluate", "expression": "{{input}}"},
    } | more


def body(name: str = "sums", start: str = "a", **steps: Any) -> dict[str, Any]:
    return {"name": name, "start": start, "steps": steps or {"a": add()}}


async def make(client: httpx.AsyncClient, **steps: Any) -> dict[str, Any]:
    answer = await client.post("/api/pipelines", json=body(f"p-{uuid4().hex[:8]}", **steps))
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def test_the_built_in_ones_are_everybodys(api: httpx.AsyncClient) -> None:
    items = (await api.get("/api/pipelines")).json()["items"]
    assert list(BUILTIN) == [item["name"] for item in items]
    assert ["react", "plan_execute"] == [item["name"] for item in items if item["needs_agent"]]
    assert {True} == {item["built_in"] for item in items}
    for name in BUILTIN:
        assert name == (await api.get(f"/api/pipelines/{name}")).json()["name"]
        assert [] == (await api.get(f"/api/pipelines/{name}/versions")).json()["items"]


async def test_one_that_was_made_is_found_by_name_and_id_and_listed(
    client: httpx.AsyncClient, owner: TestTenant
) -> None:
    answer = await client.post("/api/pipelines", json={**body(), "description": "Adds."})
    assert 201 == answer.status_code, answer.text
    made = answer.json()
    assert (1, False, "Adds.") == (made["version"], made["built_in"], made["description"])
    assert f"/api/pipelines/{made['id']}" == answer.headers["location"]
    assert (
        made
        == (await client.get("/api/pipelines/sums")).json()
        == (await client.get(answer.headers["location"])).json()
    )
    assert "tool" == made["definition"]["steps"]["a"]["kind"]
    listed = (await client.get("/api/pipelines")).json()["items"][-1]
    assert "definition" not in listed
    assert made["id"] == listed["id"]
    assert 409 == (await client.post("/api/pipelines", json=body())).status_code


async def test_every_change_is_a_version_and_the_same_again_is_none(client: httpx.AsyncClient) -> None:
    made = await make(client)
    here = f"/api/pipelines/{made['id']}"
    second = body(made["name"], a=add(next="b"), b={"kind": "agent", "agent": "Helper"})
    assert [2, 2] == [(await client.put(here, json=second)).json()["version"] for _ in range(2)]
    renamed = f"q-{uuid4().hex[:8]}"
    assert 3 == (await client.put(here, json={**second, "name": renamed})).json()["version"]
    assert 404 == (await client.get(f"/api/pipelines/{made['name']}")).status_code
    first_page = (await client.get(f"{here}/versions?limit=2")).json()
    assert [3, 2] == [item["version"] for item in first_page["items"]]
    rest = (await client.get(f"{here}/versions", params={"cursor": first_page["next_cursor"]})).json()
    assert ([1], None) == ([item["version"] for item in rest["items"]], rest["next_cursor"])
    assert ["a"] == list(rest["items"][0]["definition"]["steps"])
    old = (await client.get(f"{here}/topology?version=1")).json()
    assert ["__start__", "a", "__end__"] == [node["id"] for node in old["nodes"]]
    other = await make(client)
    assert 409 == (await client.put(here, json={**second, "name": other["name"]})).status_code


async def test_one_that_was_deleted_is_gone_with_its_versions_and_its_name_is_free(
    client: httpx.AsyncClient, database_url: str
) -> None:
    made = await make(client)
    assert 204 == (await client.delete(f"/api/pipelines/{made['name']}")).status_code
    assert 404 == (await client.delete(f"/api/pipelines/{made['id']}")).status_code
    assert 404 == (await client.get(f"/api/pipelines/{made['id']}/topology")).status_code
    assert [] == rows(database_url, "SELECT 1 FROM pipeline_versions WHERE pipeline_id = %s", made["id"])
    assert 201 == (await client.post("/api/pipelines", json=body(made["name"]))).status_code


async def test_every_deed_is_in_the_audit_log(client: httpx.AsyncClient) -> None:
    made = await make(client)
    await client.put(f"/api/pipelines/{made['id']}", json=body(made["name"], a=add(optional=True)))
    await client.delete(f"/api/pipelines/{made['id']}")
    log = (await client.get("/api/audit", params={"target": made["name"]})).json()["items"]
    assert ["pipeline.deleted", "pipeline.changed", "pipeline.created"] == [row["action"] for row in log]


WRONG = [
    ("steps.a.tool", {"a": add(tool="no_such")}),
    ("steps.a.tool", {"a": add(tool="python")}),  # it is there, and not granted
    ("steps.a.agent", {"a": {"kind": "agent", "agent": "Nobody"}}),
    ("steps.a.model", {"a": {"kind": "prompt", "prompt": "x", "model": "extractive"}}),
    ("steps.a.arguments.speed", {"a": add(arguments={"operation": "evaluate", "expression": "1", "speed": 3})}),
    ("steps.b", {"a": add(next="b"), "b": add(next="a")}),
    ("steps.a.arguments.expression", {"a": add(arguments={"operation": "evaluate", "expression": "{{secret}}"})}),
    ("steps.a.next", {"a": add(next="z")}),
    ("steps.a.run", {"a": add(run="rm")}),
]


async def test_a_wrong_one_is_refused_with_its_place_when_made_and_when_changed(client: httpx.AsyncClient) -> None:
    made = await make(client)
    for field, steps in WRONG:
        for answer in (
            await client.post("/api/pipelines", json=body("wrong", **steps)),
            await client.put(f"/api/pipelines/{made['id']}", json=body(made["name"], **steps)),
        ):
            assert 400 == answer.status_code, answer.text
            assert [field] == [error["field"] for error in answer.json()["errors"]]
    assert 1 == (await client.get(f"/api/pipelines/{made['id']}")).json()["version"]


async def test_what_is_built_in_can_be_neither_changed_nor_deleted_nor_replaced(client: httpx.AsyncClient) -> None:
    for name in BUILTIN:
        assert 409 == (await client.put(f"/api/pipelines/{name}", json=body())).status_code
        assert 409 == (await client.delete(f"/api/pipelines/{name}")).status_code
        assert 400 == (await client.post("/api/pipelines", json=body(name.upper()))).status_code


async def test_each_is_drawn_in_three_formats(client: httpx.AsyncClient) -> None:
    own = (await make(client, a=add(next="b"), b={"kind": "agent", "agent": "Helper"}))["name"]
    for name in (*BUILTIN, own):
        here = f"/api/pipelines/{name}/topology"
        drawn = (await client.get(here)).json()
        assert {"id", "kind", "label"} == drawn["nodes"][0].keys()
        assert {"from", "to", "label", "conditional"} == drawn["edges"][0].keys()
        mermaid = await client.get(f"{here}?format=mermaid")
        assert mermaid.headers["content-type"].startswith("text/plain")
        assert mermaid.text.startswith("flowchart TD\n")
        picture = await client.get(f"{here}?format=svg")
        assert picture.headers["content-type"].startswith("image/svg+xml")
        assert "default-src 'none'" in picture.headers["content-security-policy"]
        assert "{http://www.w3.org/2000/svg}svg" == ElementTree.fromstring(picture.text).tag
        assert 400 == (await client.get(f"{here}?format=png")).status_code
        assert [404, 404] == [(await client.get(f"{here}?version={v}")).status_code for v in (99, 99999999999)]


async def test_a_run_is_a_job_that_names_its_version(client: httpx.AsyncClient, database_url: str) -> None:
    made = await make(client)
    answer = await client.post(f"/api/pipelines/{made['name']}/execute", json={"input": "1+1"}, headers=ASYNC)
    assert (202, "pipeline") == (answer.status_code, answer.json()["kind"]), answer.text
    job = job_row(database_url, answer.json()["job_id"])
    assert ("pipeline", "default", None) == (job["kind"], job["queue"], job["session_id"])
    assert (made["id"], 1) == (job["payload"]["pipeline"], job["payload"]["version"])
    kinds = [item["kind"] for item in (await client.get("/api/jobs?kind=pipeline")).json()["items"]]
    assert ["pipeline"] == kinds


async def test_a_built_in_one_is_run_as_a_chat(client: httpx.AsyncClient, database_url: str) -> None:
    expected = {"chat": None, "auto": "auto", "supervisor": "auto", "react": "Helper", "plan_execute": "Helper"}
    for name, agent in expected.items():
        said = {"input": "hi"} | ({"agent": "Helper"} if agent == "Helper" else {})
        answer = await client.post(f"/api/pipelines/{name}/execute", json=said, headers=ASYNC)
        assert 202 == answer.status_code, answer.text
        job = job_row(database_url, answer.json()["job_id"])
        assert ("chat", agent) == (job["kind"], job["agent"])
        assert (name if agent == "Helper" else None) == job["payload"].get("graph")


UNFIT: list[tuple[str, dict[str, Any], str]] = [
    ("react", {}, "agent"),
    ("react", {"agent": "auto"}, "agent"),
    ("react", {"agent": "Nobody"}, "agent"),
    ("auto", {"agent": "Helper"}, "agent"),
    ("chat", {"version": 1}, "version"),
    ("sums", {"agent": "Helper"}, "agent"),
    ("sums", {"input": "  "}, "input"),
    ("sums", {"model": "openai/not-there"}, "model"),
]


async def test_what_does_not_fit_a_run_is_refused(client: httpx.AsyncClient) -> None:
    await client.post("/api/pipelines", json=body())
    for name, said, field in UNFIT:
        answer = await client.post(f"/api/pipelines/{name}/execute", json={"input": "hi", **said})
        assert 400 == answer.status_code, answer.text
        assert [field] == [error["field"] for error in answer.json()["errors"]]


async def test_the_same_key_is_the_same_run_and_another_body_is_refused(client: httpx.AsyncClient) -> None:
    made, other = await make(client), await make(client)
    key = {**ASYNC, "Idempotency-Key": uuid4().hex}

    async def run(name: str, said: str) -> httpx.Response:
        return await client.post(f"/api/pipelines/{name}/execute", json={"input": said}, headers=key)

    first = (await run(made["name"], "1+1")).json()["job_id"]
    assert first == (await run(made["id"], "1+1")).json()["job_id"]
    assert 422 == (await run(made["id"], "1+2")).status_code
    assert first != (await run(other["id"], "1+1")).json()["job_id"]


async def test_who_waits_in_vain_gets_the_job(client: httpx.AsyncClient) -> None:
    made = await make(client)
    answer = await client.post(f"/api/pipelines/{made['id']}/execute", json={"input": "1+1"})
    assert (202, "queued") == (answer.status_code, answer.json()["state"])
    assert answer.json()["job_url"] == answer.headers["location"]


async def test_another_tenants_pipeline_is_not_there(
    client: httpx.AsyncClient, api: httpx.AsyncClient, database_url: str
) -> None:
    made, stranger = await make(client), make_tenant(database_url, role="owner")
    for name in (made["id"], made["name"], str(uuid4()), "nobody", "a b", made["id"].upper(), "..%2fx"):
        for method, path, sent in (
            ("GET", "", None),
            ("PUT", "", body()),
            ("DELETE", "", None),
            ("GET", "/versions", None),
            ("GET", "/topology", None),
            ("POST", "/execute", {"input": "hi"}),
        ):
            headers = stranger.headers
            answer = await api.request(method, f"/api/pipelines/{name}{path}", json=sent, headers=headers)
            assert 404 == answer.status_code, f"{method} {name}{path}: {answer.text}"
    assert [*BUILTIN] == [
        item["name"] for item in (await api.get("/api/pipelines", headers=stranger.headers)).json()["items"]
    ]


async def test_another_tenants_agent_is_as_unknown_as_nobodys(client: httpx.AsyncClient, database_url: str) -> None:
    add_agent(database_url, make_tenant(database_url), "Secret")
    told = []
    for agent in ("Secret", "Nobody"):
        answer = await client.post("/api/pipelines/react/execute", json={"input": "hi", "agent": agent})
        steps = {"a": {"kind": "agent", "agent": agent}}
        made = await client.post("/api/pipelines", json=body("asks", **steps))
        assert (400, 400) == (answer.status_code, made.status_code)
        told.append([said.json()["detail"].replace(agent, "…") for said in (answer, made)])
    assert told[0] == told[1]


async def test_a_member_runs_and_a_viewer_looks(api: httpx.AsyncClient, database_url: str) -> None:
    member, viewer = make_tenant(database_url), make_tenant(database_url, role="viewer")
    run = {"input": "hi"}
    for who, makes, runs in ((member, 403, 202), (viewer, 403, 403)):
        assert 200 == (await api.get("/api/pipelines", headers=who.headers)).status_code
        assert makes == (await api.post("/api/pipelines", json=body(), headers=who.headers)).status_code
        answer = await api.post("/api/pipelines/chat/execute", json=run, headers=who.headers | ASYNC)
        assert runs == answer.status_code


async def test_a_tenant_has_so_many_and_no_more(
    client: httpx.AsyncClient, owner: TestTenant, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.pipelines.routes.MAX_PIPELINES", 1)
    await make(client)
    answer = await client.post("/api/pipelines", json=body("second"))
    assert (409, True) == (answer.status_code, "reached the maximum" in answer.text)
    with psycopg.connect(database_url) as db:
        assert (1,) == db.execute("SELECT count(*) FROM pipelines WHERE tenant_id = %s", (owner.id,)).fetchone()


async def test_hostile_definitions_are_refused_and_never_break_the_server(client: httpx.AsyncClient) -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    wide = {f"s{i}": add() for i in range(2000)}
    for steps in (
        {"a": add(arguments={"operation": deep, "expression": "1"})},
        wide,
        {"__proto__": add()},
        {"a": {"kind": ["agent"]}},
        {"a": {"kind": "router", "by": "{{input}}", "cases": {"x": "a"}, "otherwise": "a"}},
        {"a": add(next=7)},
        {"a": {}},
    ):
        answer = await client.post("/api/pipelines", json=body("hostile", **steps))
        assert 400 == answer.status_code, answer.text
        assert answer.json()["errors"]
