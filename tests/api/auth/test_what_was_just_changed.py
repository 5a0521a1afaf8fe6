"""What was changed a moment ago: it holds at once in the process that changed it, and nothing that was just granted anywhere is
refused by another."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from api.auth import principals
from api.auth.tokens import access_tokens, external_tokens
from api.settings import ApiSettings
from schema.vault import PLATFORM
from tests.api.conftest import calling, serving
from tests.api.people import Issuer, bearer, log_in, make_user, signed_in, some_email, status_of, trust
from tests.conftest import TestTenant, make_tenant
from workers.queue.job_core import JobCore

Json = dict[str, Any]


@pytest.fixture(autouse=True)
async def nobody_has_guessed(core: JobCore) -> None:
    await core.redis.call("FLUSHDB")


@pytest.fixture(scope="module", autouse=True)
def callers_are_cached_for_long() -> Any:
    """So that no test passes because a second is over."""
    patch = pytest.MonkeyPatch()
    for module in ("api.auth.authentication", access_tokens.__name__, external_tokens.__name__):
        patch.setattr(f"{module}.IDENTITY_TTL_S", 600.0)
    patch.setattr("api.resources.CACHE_TTL_S", 600.0)
    yield
    patch.undo()
    assert principals.IDENTITY_TTL_S == 1.0


@pytest.fixture(scope="module")
async def there(settings: ApiSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another process."""
    async with serving(settings) as client:
        yield client


@pytest.fixture
async def boss(api: httpx.AsyncClient, database_url: str, tenant: TestTenant) -> Json:
    """An owner; `api` is signed in as them."""
    said = await signed_in(api, database_url, tenant, role="owner")
    api.headers.update(bearer(said["access_token"]))
    return said


async def make_key(api: httpx.AsyncClient, **body: Any) -> Json:
    created = await api.post("/api/auth/keys", json={"name": "x", **body})
    assert 201 == created.status_code, created.text
    return created.json()


async def test_a_key_that_is_revoked_is_refused_at_once(api: httpx.AsyncClient, boss: Json) -> None:
    key = await make_key(api)
    assert 200 == await status_of(api, key["key"])
    assert 204 == (await api.delete(f"/api/auth/keys/{key['id']}")).status_code
    assert 401 == await status_of(api, key["key"])


async def test_a_sign_in_that_has_ended_is_refused_at_once(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    said = await signed_in(api, database_url, tenant)
    assert 200 == await status_of(api, said["access_token"])
    assert 204 == (await api.post("/api/auth/logout", headers=bearer(said["access_token"]))).status_code
    assert 401 == await status_of(api, said["access_token"])


async def test_a_stolen_refresh_token_ends_the_sign_in_at_once(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    said = await signed_in(api, database_url, tenant)
    assert 200 == await status_of(api, said["access_token"])
    assert 200 == (await api.post("/api/auth/refresh", json={"refresh_token": said["refresh_token"]})).status_code
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE refresh_tokens SET used_at = used_at - interval '1 minute'")
    assert 401 == (await api.post("/api/auth/refresh", json={"refresh_token": said["refresh_token"]})).status_code
    assert 401 == await status_of(api, said["access_token"])


async def test_a_user_who_is_disabled_or_demoted_is_refused_at_once_and_let_in_again_everywhere(
    api: httpx.AsyncClient, there: httpx.AsyncClient, boss: Json, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    path = f"/api/users/{make_user(database_url, tenant.id, email, role='owner')}"
    token = (await log_in(api, tenant, email)).json()["access_token"]
    key = (await api.post("/api/auth/keys", json={"name": "x"}, headers=bearer(token))).json()["key"]
    for secret in (key, token):
        assert 200 == (await api.get("/api/users", headers=bearer(secret))).status_code
    assert 200 == (await api.patch(path, json={"role": "viewer"})).status_code
    for secret in (key, token):
        for process in (api, there):
            assert 403 == (await process.get("/api/users", headers=bearer(secret))).status_code
    assert 200 == (await api.patch(path, json={"role": "owner"})).status_code
    for secret in (key, token):
        for process in (api, there):
            assert 200 == (await process.get("/api/users", headers=bearer(secret))).status_code
    assert 200 == (await api.patch(path, json={"state": "disabled"})).status_code
    assert [401, 401] == [await status_of(api, secret) for secret in (key, token)]
    assert 200 == (await api.patch(path, json={"state": "active"})).status_code
    assert [200, 200] == [await status_of(process, key) for process in (api, there)]


async def test_a_tenant_that_is_suspended_is_refused_at_once_and_resumed_everywhere(
    api: httpx.AsyncClient, there: httpx.AsyncClient, admin: httpx.AsyncClient, tenant: TestTenant
) -> None:
    path = f"/api/admin/tenants/{tenant.slug}"
    assert 200 == await status_of(api, tenant.key)
    assert 200 == (await admin.post(f"{path}/suspend")).status_code
    assert [403, 403] == [await status_of(process, tenant.key) for process in (api, there)]
    assert 200 == (await admin.post(f"{path}/resume")).status_code
    assert [200, 200] == [await status_of(process, tenant.key) for process in (api, there)]


async def test_a_new_agent_answers_at_once_everywhere(
    api: httpx.AsyncClient, there: httpx.AsyncClient, boss: Json
) -> None:
    for process in (api, there):
        with_key = await process.get("/api/auth/me", headers=bearer(boss["access_token"]))
        assert 200 == with_key.status_code
    name = f"Agent{uuid4().hex[:8]}"
    body = {"name": name, "description": "x", "prompt": "x", "models": ["offline/extractive"]}
    created = await api.post("/api/admin/agents", json=body)
    assert 201 == created.status_code, created.text
    for process in (api, there):
        headers = bearer(boss["access_token"]) | {"Prefer": "respond-async"}
        answer = await process.post("/api/chat", json={"message": "hi", "agent": name}, headers=headers)
        assert 202 == answer.status_code, answer.text
    assert 204 == (await api.delete(f"/api/admin/agents/{name}")).status_code
    gone = await api.post("/api/chat", json={"message": "hi", "agent": name})
    assert "agent_unknown" == gone.json()["code"]


async def test_a_new_grant_holds_at_once_everywhere_and_a_revoked_one_ends_here(
    api: httpx.AsyncClient, there: httpx.AsyncClient, admin: httpx.AsyncClient, database_url: str
) -> None:
    tenant = make_tenant(database_url)
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM grants WHERE tenant_id = %s", (tenant.id,))
    headers = bearer(tenant.key) | {"Prefer": "respond-async"}
    body = {"message": "hi", "model": "offline/extractive"}
    for process in (api, there):
        refused = await process.post("/api/chat", json=body, headers=headers)
        assert "model_unknown" == refused.json()["code"]
    path = f"/api/admin/tenants/{tenant.slug}/grants/model/offline/extractive"
    assert 200 == (await admin.put(path)).status_code
    for process in (api, there):
        answer = await process.post("/api/chat", json=body, headers=headers)
        assert 202 == answer.status_code, answer.text
    assert 204 == (await admin.delete(path)).status_code
    assert "model_unknown" == (await api.post("/api/chat", json=body, headers=headers)).json()["code"]


async def test_a_new_identity_provider_is_trusted_at_once(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    issuer = Issuer()
    trust(api, issuer)
    token = issuer.token(email=some_email())
    assert 401 == await status_of(api, token)
    issuer.register(database_url, tenant.id)
    assert 200 == await status_of(api, token)


async def test_what_is_changed_for_one_tenant_is_not_forgotten_for_others(
    api: httpx.AsyncClient, boss: Json, tenant: TestTenant, stranger: TestTenant
) -> None:
    keys = api._transport.app.state.resources.authenticator._keys
    for one in (tenant, stranger):
        assert 200 == await status_of(api, one.key)
    before = len(keys)
    await make_key(api)
    assert 1 <= len(keys) < before
    async with calling(api, stranger.key) as theirs:
        assert 200 == (await theirs.get("/api/auth/me")).status_code
    assert PLATFORM != tenant.id
