"""What a tenant sets for all its agents, over HTTP."""

from typing import Any

import httpx
import psycopg
import pytest

from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant

TENANT_ROLE = "owner"

HERE = "/api/admin/configuration"
USUAL = {
    "persona": {"system_prompt": "", "traits": [], "style": ""},
    "disabled_tools": [],
    "offered_tools": 5,
    "cache_s": None,
}
PERSONA = {"system_prompt": "You work for Acme. Braces {are} kept.", "traits": ["friendly"], "style": "Brief."}


async def settings(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get(HERE)
    assert 200 == answer.status_code
    return {name: answer.json()[name] for name in USUAL}


def stored(database_url: str, tenant: TestTenant) -> dict[str, Any]:
    with psycopg.connect(database_url) as db:
        found = db.execute("SELECT settings FROM configurations WHERE tenant_id = %s", (tenant.id,)).fetchone()
    assert found is not None
    return found[0]


async def test_whoever_set_nothing_has_what_is_usual(api: httpx.AsyncClient) -> None:
    answer = await api.get(HERE)
    assert USUAL | {"updated_at": None, "updated_by": None} == answer.json()


async def test_what_is_put_replaces_everything(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> None:
    await api.put(HERE, json={"persona": PERSONA, "offered_tools": 3, "cache_s": 60})
    assert USUAL | {"persona": PERSONA, "offered_tools": 3, "cache_s": 60} == await settings(api)
    assert {"persona": PERSONA, "offered_tools": 3, "cache_s": 60} == stored(database_url, tenant)
    await api.put(HERE, json={"cache_s": 0})
    assert (USUAL | {"cache_s": 0}, {"cache_s": 0}) == (await settings(api), stored(database_url, tenant))


async def test_what_is_patched_leaves_the_rest_and_null_makes_it_usual(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    await api.put(HERE, json={"persona": PERSONA, "offered_tools": 3})
    await api.patch(HERE, json={"offered_tools": None})
    assert {"persona": PERSONA} == stored(database_url, tenant)
    await api.patch(HERE, json={"persona": {"style": "Long."}, "offered_tools": 20})
    assert {"persona": {"style": "Long."}, "offered_tools": 20} == stored(database_url, tenant)
    await api.patch(HERE, json={"persona": None})
    assert USUAL | {"offered_tools": 20} == await settings(api)


async def test_a_persona_file_is_imported_as_it_is(api: httpx.AsyncClient) -> None:
    await api.put(HERE, json={"offered_tools": 3})
    answer = await api.put(f"{HERE}/persona", json=PERSONA)
    assert (200, PERSONA, 3) == (answer.status_code, answer.json()["persona"], answer.json()["offered_tools"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"offered_tools": 0}, "offered_tools"),
        ({"offered_tools": 21}, "offered_tools"),
        ({"cache_s": -1}, "cache_s"),
        ({"cache_s": 86_401}, "cache_s"),
        ({"colour": 1}, "colour"),
        ({"persona": {"name": "Bob"}}, "persona.name"),
        ({"persona": {"traits": "friendly"}}, "persona.traits"),
        ({"persona": {"traits": ["x"] * 31}}, "persona.traits"),
        ({"persona": {"traits": ["a", ""]}}, "persona.traits[1]"),
        ({"persona": {"system_prompt": "x" * 8001}}, "persona.system_prompt"),
        ({"disabled_tools": ["world_tme"]}, "disabled_tools[0]"),
    ],
)
async def test_what_can_not_be_set_is_refused_with_the_field(
    api: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    for method in ("PUT", "PATCH"):
        answer = await api.request(method, HERE, json=body)
        assert (400, [field]) == (answer.status_code, [wrong["field"] for wrong in answer.json()["errors"]])
    assert USUAL == await settings(api)


async def test_tools_are_switched_off_by_name_and_may_be_gone_later(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    await api.post(
        "/api/admin/tools",
        json={"name": "stock", "kind": "HTTP_GET", "description": "x", "endpoint": "https://erp.example.com"},
    )
    assert 200 == (await api.put(HERE, json={"disabled_tools": ["stock"]})).status_code
    await api.delete("/api/admin/tools/stock")
    assert 200 == (await api.patch(HERE, json={"disabled_tools": ["stock"], "cache_s": 5})).status_code
    refused = await api.patch(HERE, json={"disabled_tools": ["stock", "other"]})
    assert (400, "disabled_tools[1]") == (refused.status_code, refused.json()["errors"][0]["field"])
    await api.patch(HERE, json={"disabled_tools": []})
    assert {"cache_s": 5} == stored(database_url, tenant)


async def test_tenants_set_their_own_and_members_none(api: httpx.AsyncClient, database_url: str) -> None:
    await api.put(HERE, json={"persona": PERSONA})
    stranger = make_tenant(database_url, role="owner").headers
    assert USUAL["persona"] == (await api.get(HERE, headers=stranger)).json()["persona"]
    member = make_tenant(database_url).headers
    for method, path in (("GET", ""), ("PUT", ""), ("PATCH", ""), ("PUT", "/persona")):
        assert 403 == (await api.request(method, HERE + path, json={}, headers=member)).status_code


async def test_a_change_makes_another_version_and_is_written_down_without_the_prompt(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    before = (await api.post("/api/admin/agents/reload")).json()["config_version"]
    answer = await api.put(HERE, json={"persona": PERSONA, "offered_tools": 3})
    assert answer.json()["updated_by"].startswith("key:")
    assert before != (await api.post("/api/admin/agents/reload")).json()["config_version"]
    (entry,) = audit_entries(database_url, tenant.id, "configuration.changed")
    assert {"fields": ["offered_tools", "persona"]} == entry["detail"]
