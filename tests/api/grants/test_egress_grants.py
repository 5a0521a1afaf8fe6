"""Which private hosts a tenant may reach: granted by a platform admin, for a use, within the operator's setting."""

from uuid import uuid4

import httpx
import pytest

from tests.api.owned_rows import TOOLS, tool_row
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant

PRIVATE = "http://127.0.0.1:9/x"


@pytest.fixture
def outsider(database_url: str) -> TestTenant:
    """A tenant that was granted nothing."""
    return make_tenant(database_url, role="owner", egress=False)


def at(tenant: TestTenant, path: str = "") -> str:
    return f"/api/admin/tenants/{tenant.slug}/egress{path}"


async def make(api: httpx.AsyncClient, tenant: TestTenant) -> httpx.Response:
    return await api.post(TOOLS, json=tool_row(endpoint=PRIVATE), headers=tenant.headers)


async def test_the_setting_opens_a_private_host_to_no_tenant_until_an_admin_grants_it(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, database_url: str, outsider: TestTenant
) -> None:
    refused = await make(api, outsider)
    problem = refused.json()
    assert (400, "egress_refused", "endpoint") == (refused.status_code, problem["code"], problem["errors"][0]["field"])
    assert "platform admin" in refused.json()["detail"]
    for use in ("documents", "providers", "sign_in"):
        assert 200 == (await admin.put(at(outsider, f"/{use}/127.0.0.1"))).status_code
    assert 400 == (await make(api, outsider)).status_code  # for other uses
    granted = await admin.put(at(outsider, "/tools/127.0.0.1"))
    assert ("tools", "127.0.0.1/32") == (granted.json()["use"], granted.json()["host"])
    stranger = make_tenant(database_url, role="owner", egress=False)
    assert 400 == (await make(api, stranger)).status_code
    assert ["egress_grant.stored"] * 4 == [
        row["action"] for row in audit_entries(database_url, outsider.id, "egress_grant.stored")
    ]


async def test_a_grant_holds_for_its_use_and_ends_when_it_is_taken_back(
    api: httpx.AsyncClient, admin: httpx.AsyncClient, outsider: TestTenant
) -> None:
    await admin.put(at(outsider, "/tools/127.0.0.1"))
    assert 201 == (await make(api, outsider)).status_code
    key = {"service_name": "ollama", "base_url": "http://127.0.0.1:9"}
    assert 400 == (await api.post("/api/api-keys", json=key, headers=outsider.headers)).status_code
    assert 204 == (await admin.delete(at(outsider, "/tools/127.0.0.1"))).status_code
    assert [] == (await admin.get(at(outsider))).json()["items"]
    assert 404 == (await admin.delete(at(outsider, "/tools/127.0.0.1"))).status_code


@pytest.mark.parametrize("host", ["", "a b", "http://erp.internal", "10.1.2.3/8", "erp.internal:0", "*", "a" * 400])
async def test_what_is_no_host_is_refused(admin: httpx.AsyncClient, outsider: TestTenant, host: str) -> None:
    answer = await admin.put(at(outsider, f"/tools/{host}"))
    assert answer.status_code in (400, 404, 405)
    assert [] == (await admin.get(at(outsider))).json()["items"]


@pytest.mark.parametrize(
    ("host", "in_effect"), [("127.0.0.1", True), ("198.51.100.7", False), ("erp.internal:8080", None)]
)
async def test_a_grant_says_whether_the_installations_setting_opens_it(
    admin: httpx.AsyncClient, outsider: TestTenant, host: str, in_effect: bool | None
) -> None:
    granted = (await admin.put(at(outsider, f"/tools/{host}"))).json()
    assert [granted] == (await admin.get(at(outsider))).json()["items"]
    if in_effect is not None:
        assert in_effect == granted["in_effect"]
    assert granted["in_effect"] == (granted["note"] is None)
    if granted["note"]:
        assert "HEADRACE_EGRESS_ALLOW" in granted["note"]
        assert granted["host"] in granted["note"]


@pytest.mark.parametrize("path", ["/api/admin/data-sources", "/api/api-keys", "/api/auth/providers"])
async def test_an_address_that_may_not_be_called_has_the_same_code_everywhere(
    api: httpx.AsyncClient, outsider: TestTenant, path: str
) -> None:
    bodies = {
        "/api/admin/data-sources": {"name": "erp", "dsn": "postgresql://a:b@127.0.0.1:9/c", "tables": ["a.b"]},
        "/api/api-keys": {"service_name": "ollama", "base_url": "http://127.0.0.1:9"},
        "/api/auth/providers": {"name": "theirs", "issuer": "http://127.0.0.1:9", "audience": "a"},
    }
    answer = await api.post(path, json=bodies[path], headers=outsider.headers)
    fields = {"/api/admin/data-sources": "dsn", "/api/api-keys": "base_url", "/api/auth/providers": "issuer"}
    problem = answer.json()
    assert (400, "egress_refused") == (answer.status_code, problem["code"]), problem
    assert fields[path] == problem["errors"][0]["field"]


async def test_only_platform_admins_grant_hosts(api: httpx.AsyncClient, outsider: TestTenant) -> None:
    read = await api.get(at(outsider), headers=outsider.headers)
    written = await api.put(at(outsider, f"/tools/{uuid4().hex}.internal"), headers=outsider.headers)
    assert [403, 403] == [read.status_code, written.status_code]
