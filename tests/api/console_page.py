"""The console in a browser, for tests: signed in by cookie, with the headers that browsers add to a page's own requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import httpx
import psycopg

from api.auth.browser_cookie import cookie_name
from tests.api.browser import ISSUER
from tests.api.people import PASSWORD, make_user, some_email
from tests.conftest import TestTenant

COOKIE = cookie_name(ISSUER)
OWN = {"Sec-Fetch-Site": "same-origin", "X-Headrace-Console": "1"}


@asynccontextmanager
async def browsing(api: httpx.AsyncClient, home: str = ISSUER) -> AsyncIterator[httpx.AsyncClient]:
    """The console in a browser of its own, whose requests browsers mark as its own."""
    async with httpx.AsyncClient(transport=api._transport, base_url=home, headers=OWN) as page:
        yield page


async def enter(page: httpx.AsyncClient, **body: str) -> dict[str, Any]:
    answer = await page.post("/api/auth/session", json=body)
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def enter_as(page: httpx.AsyncClient, database_url: str, tenant: TestTenant, role: str = "member") -> str:
    email = some_email()
    user_id = make_user(database_url, tenant.id, email, role=role)
    await enter(page, tenant=tenant.slug, email=email, password=PASSWORD)
    return str(user_id)


async def who(page: httpx.AsyncClient) -> dict[str, Any] | None:
    """Return whom the page is told is signed in."""
    answer = await page.get("/api/auth/session")
    assert 200 == answer.status_code, answer.text
    return answer.json()["caller"]


def execute(database_url: str, sql: LiteralString, *values: Any) -> None:
    with psycopg.connect(database_url) as db:
        db.execute(sql, values)
