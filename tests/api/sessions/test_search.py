"""Sessions are found by their titles and by what was said in them."""

import httpx
import pytest

from schema.ids import new_id
from schema.queries.sessions import session_search
from tests.api.people import bearer, signed_in
from tests.conftest import TestTenant
from tests.workers.jobs import change

ADD_MESSAGE = """INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts)
  VALUES (%s, %s, %s, 1, 0, 'user', %s::jsonb)"""


async def session(api: httpx.AsyncClient, database_url: str, tenant: TestTenant, title: str, said: str = "") -> str:
    session_id = (await api.post("/api/sessions", json={"title": title})).json()["id"]
    if said:
        parts = f'[{{"type": "text", "text": "{said}"}}]'
        change(database_url, ADD_MESSAGE, tenant.id, new_id(), session_id, parts)
    return session_id


async def found(api: httpx.AsyncClient, search: str, **headers: str) -> list[str]:
    """Return the ids on all pages."""
    ids, params = list[str](), {"search": search, "limit": "2"}
    while True:
        answer = await api.get("/api/sessions", params=params, headers=headers)
        assert 200 == answer.status_code, answer.text
        ids += [item["id"] for item in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            return ids
        params["cursor"] = answer.json()["next_cursor"]


async def test_a_title_or_a_message_is_enough_whatever_its_case_and_accents(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = await session(api, database_url, tenant, "Mill wheels")
    debts = await session(api, database_url, tenant, "", "Công nợ của khách hàng là bao nhiêu? 100%_sure")
    others = [await session(api, database_url, tenant, f"Other {number}", "text") for number in range(3)]
    change(database_url, "UPDATE sessions SET turns = 3 WHERE tenant_id = %s", tenant.id)
    for scanned, turns in ((200, 2000), (2, 2000), (200, 1), (200, 7)):  # also over pages on which nothing is found
        monkeypatch.setattr(session_search, "SCANNED", scanned)
        monkeypatch.setattr(session_search, "SCANNED_TURNS", turns)
        assert [wheels] == await found(api, "MILL")
        assert [debts] == await found(api, "cong no")
        assert [debts] == await found(api, "100%_")
        assert list(reversed(others)) == await found(api, "other")
        assert list(reversed(others)) == await found(api, "text")  # what was said, and not how it is stored
        assert [] == await found(api, "nothing like it")
        assert [] == await found(api, '"type"')


async def test_only_ones_own_sessions_are_searched(
    api: httpx.AsyncClient, database_url: str, tenant: TestTenant, stranger: TestTenant
) -> None:
    await session(api, database_url, tenant, "secret", "the sluice code is 1234")
    member = (await signed_in(api, database_url, tenant))["access_token"]
    for secret in (member, stranger.key):
        assert [] == await found(api, "secret", **bearer(secret))
        assert [] == await found(api, "sluice", **bearer(secret))


async def test_an_empty_search_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/api/sessions?search=")
    assert (400, "search") == (answer.status_code, answer.json()["errors"][0]["field"])
