"""Versions of agents over HTTP: one for each change, who made it, and back to one of them."""

import httpx

from tests.api.agents.test_manage import AGENTS, FULL, make
from tests.api.conftest import calling
from tests.api.owned_rows import make_tool
from tests.api.people import audit_entries
from tests.conftest import TestTenant
from tests.workers.jobs import rows

TENANT_ROLE = "owner"


async def test_each_change_is_a_version_and_an_agent_goes_back_to_one(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    name = await make(api, **FULL)
    path = f"{AGENTS}/{name}"
    for change in ({"prompt": "Be brief."}, {"prompt": "Be brief."}, {"tools": [], "enabled": False}):
        assert 200 == (await api.patch(path, json=change)).status_code
    me = (await api.get("/api/auth/me")).json()["key"]["id"]
    items = (await api.get(f"{path}/versions")).json()["items"]
    assert [3, 2, 1] == [one["version"] for one in items], "what changes nothing is none"
    assert {f"key:{me}"} == {one["created_by"] for one in items}
    assert FULL == {field: items[2][field] for field in FULL}
    assert list(FULL["output_schema"]) == list(items[2]["output_schema"]), "keys stay in their order"
    back = (await api.post(f"{path}/restore", json={"version": 1})).json()
    assert FULL == {field: back[field] for field in FULL}
    assert 4 == (await api.get(f"{path}/versions")).json()["items"][0]["version"]
    assert 1 == audit_entries(database_url, tenant.id, "agent.changed")[-1]["detail"]["version"]
    assert 404 == (await api.post(f"{path}/restore", json={"version": 99})).status_code
    assert 204 == (await api.delete(path)).status_code
    assert 404 == (await api.get(f"{path}/versions")).status_code
    assert [] == rows(database_url, "SELECT 1 FROM agent_versions WHERE tenant_id = %s", tenant.id)


async def test_a_tool_that_is_gone_makes_a_version_and_does_not_come_back(
    api: httpx.AsyncClient, application: httpx.AsyncClient, stranger: TestTenant
) -> None:
    tool = await make_tool(api)
    name = await make(api, tools=[tool])
    path = f"{AGENTS}/{name}"
    assert 204 == (await api.delete(f"/api/admin/tools/{tool}", params={"force": True})).status_code
    assert [[], [tool]] == [one["tools"] for one in (await api.get(f"{path}/versions")).json()["items"]]
    refused = await api.post(f"{path}/restore", json={"version": 1})
    assert (400, "tools[0]") == (refused.status_code, refused.json()["errors"][0]["field"])
    async with calling(application, stranger.key) as other:
        assert 404 == (await other.get(f"{path}/versions")).status_code


async def test_the_last_fifty_are_kept(api: httpx.AsyncClient) -> None:
    name = await make(api)
    for step in range(52):
        await api.patch(f"{AGENTS}/{name}", json={"prompt": f"{step}"})
    kept = [one["version"] for one in (await api.get(f"{AGENTS}/{name}/versions")).json()["items"]]
    assert (50, 53, 4) == (len(kept), kept[0], kept[-1])
