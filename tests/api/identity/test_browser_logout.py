"""How a browser that is signed in by cookie stays so, and everything that ends it."""

from typing import LiteralString

import httpx
import psycopg
import pytest

from tests.api.console_page import COOKIE, browsing, enter, enter_as, execute, who
from tests.api.people import PASSWORD, audit_entries, make_user, some_email
from tests.conftest import TestTenant
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("nobody_has_guessed")


async def test_signing_out_ends_it_everywhere_and_takes_the_cookie(
    page: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    user_id = await enter_as(page, database_url, tenant)
    value = page.cookies[COOKIE]
    assert 204 == (await page.delete("/api/auth/session")).status_code
    assert COOKIE not in page.cookies
    assert await who(page) is None
    page.cookies.set(COOKIE, value)
    assert 401 == (await page.get("/api/auth/me")).status_code
    (entry,) = audit_entries(database_url, tenant.id, "login.ended")
    assert f"user:{user_id}" == entry["actor"]
    assert 204 == (await page.delete("/api/auth/session")).status_code


async def test_a_browser_that_came_with_a_key_signs_out_and_the_key_lives_on(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    await enter(page, api_key=tenant.key)
    value = page.cookies[COOKIE]
    assert 204 == (await page.delete("/api/auth/session")).status_code
    page.cookies.set(COOKIE, value)
    assert 401 == (await page.get("/api/auth/me")).status_code
    assert 200 == (await api.get("/api/auth/me")).status_code


async def test_a_dead_cookie_is_taken_away(page: httpx.AsyncClient) -> None:
    page.cookies.set(COOKIE, "hrs_dead", domain="localhost.local", path="/")
    assert await who(page) is None
    assert not page.cookies.get(COOKIE)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET state = 'disabled' WHERE tenant_id = %s",
        "UPDATE logins SET revoked_at = now() WHERE tenant_id = %s",
        "UPDATE browser_sessions SET expires_at = now() WHERE tenant_id = %s",
        "DELETE FROM users WHERE tenant_id = %s",
    ],
)
async def test_whatever_ends_the_sign_in_ends_the_cookie(
    page: httpx.AsyncClient, tenant: TestTenant, database_url: str, sql: LiteralString
) -> None:
    await enter_as(page, database_url, tenant)
    assert await who(page)
    execute(database_url, sql, tenant.id)

    await eventually(lambda: who(page), None)
    assert 401 == (await page.get("/api/jobs")).status_code


async def test_a_revoked_key_ends_the_browsers_that_came_with_it(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant
) -> None:
    key = (await api.post("/api/auth/keys", json={"name": "ci"})).json()
    await enter(page, api_key=key["key"])
    assert 204 == (await api.delete(f"/api/auth/keys/{key['id']}")).status_code
    assert 401 == (await page.get("/api/jobs")).status_code
    assert await who(page) is None


async def test_a_changed_password_ends_the_other_browsers(
    page: httpx.AsyncClient, api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    email = some_email()
    make_user(database_url, tenant.id, email)
    form = {"tenant": tenant.slug, "email": email, "password": PASSWORD}
    async with browsing(api) as other:
        await enter(page, **form)
        await enter(other, **form)
        change = {"current_password": PASSWORD, "new_password": "eleven mill wheels turn"}
        answer = await page.post("/api/users/me/password", json=change)
        assert answer.status_code < 300, answer.text
        assert await who(page)
        assert await who(other) is None


async def test_a_suspended_tenant_says_so(page: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    await enter_as(page, database_url, tenant)
    execute(database_url, "UPDATE tenants SET state = 'suspended' WHERE id = %s", tenant.id)

    async def status() -> int:
        return (await page.get("/api/auth/session")).status_code

    await eventually(status, 403)
    assert "tenant_suspended" == (await page.get("/api/jobs")).json()["code"]


async def test_a_visit_prolongs_the_sign_in(page: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    await enter_as(page, database_url, tenant)
    for table in ("browser_sessions", "logins"):
        sql = f"UPDATE {table} SET expires_at = now() + interval '2 days' WHERE tenant_id = %s"
        execute(database_url, sql, tenant.id)
    answer = await page.get("/api/auth/session")
    assert "max-age=2592000" in answer.headers["set-cookie"].lower()
    with psycopg.connect(database_url) as db:
        for table in ("browser_sessions", "logins"):
            sql = f"SELECT expires_at > now() + interval '29 days' FROM {table} WHERE tenant_id = %s"
            assert (True,) == db.execute(sql, (tenant.id,)).fetchone()
