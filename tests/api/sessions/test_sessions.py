"""Sessions and their messages over HTTP; no worker is needed."""

from uuid import UUID, uuid4

import httpx
import pytest
from psycopg.types.json import Jsonb

from schema.postgres.connections import tenant_tx
from tests.conftest import TestTenant
from workers.queue.job_core import JobCore


async def begin(api: httpx.AsyncClient, title: str = "Rivers") -> str:
    answer = await api.post("/api/sessions", json={"title": title})
    assert 201 == answer.status_code
    return answer.json()["id"]


async def say(core: JobCore, tenant: TestTenant, session_id: str, text: str, turn: int) -> None:
    """Store a message as a finished turn would."""
    sql = """INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts)
      VALUES (%s, %s, %s, %s, 0, 'user', %s)"""
    async with tenant_tx(core.pool, tenant.id) as db:
        await db.execute(sql, (tenant.id, uuid4(), UUID(session_id), turn, Jsonb([{"type": "text", "text": text}])))


async def test_a_session_is_found_where_its_location_says(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/sessions", json={"title": "Rivers"})
    found = await api.get(answer.headers["location"])
    assert answer.json() == found.json()
    assert ("Rivers", 0) == (found.json()["title"], found.json()["turns"])


async def test_a_session_needs_no_body(api: httpx.AsyncClient) -> None:
    assert "" == (await api.post("/sessions")).json()["title"]


async def test_a_renamed_session_keeps_its_id(api: httpx.AsyncClient) -> None:
    session_id = await begin(api)
    answer = await api.patch(f"/api/sessions/{session_id}", json={"title": "Lakes"})
    assert (session_id, "Lakes") == (answer.json()["id"], answer.json()["title"])


async def test_an_empty_title_is_refused(api: httpx.AsyncClient) -> None:
    answer = await api.patch(f"/api/sessions/{await begin(api)}", json={"title": ""})
    assert (400, "title must not be empty.") == (answer.status_code, answer.json()["detail"])


async def test_pages_show_every_session_once_the_last_used_first(api: httpx.AsyncClient) -> None:
    made = [await begin(api, f"number {number}") for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/api/sessions", params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert made[::-1] == seen


@pytest.mark.parametrize("cursor", ["%%%", "bm90IGpzb24", "WzEsMl0", "x" * 401])
async def test_a_made_up_cursor_is_refused(api: httpx.AsyncClient, cursor: str) -> None:
    answer = await api.get("/api/sessions", params={"cursor": cursor})
    assert (400, "cursor") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_messages_are_read_in_pages_in_the_order_they_were_said(
    api: httpx.AsyncClient, core: JobCore, tenant: TestTenant
) -> None:
    session_id = await begin(api)
    for turn in range(1, 4):
        await say(core, tenant, session_id, f"turn {turn}", turn)
    first = (await api.get(f"/api/sessions/{session_id}/messages", params={"limit": 2})).json()
    rest = (await api.get(f"/api/sessions/{session_id}/messages", params={"cursor": first["next_cursor"]})).json()
    said = [message["parts"][0]["text"] for message in first["items"] + rest["items"]]
    assert ["turn 1", "turn 2", "turn 3"] == said
    assert rest["next_cursor"] is None


async def test_an_export_holds_the_whole_conversation(
    api: httpx.AsyncClient, core: JobCore, tenant: TestTenant
) -> None:
    session_id = await begin(api)
    await say(core, tenant, session_id, "What is a headrace?", 1)
    document = await api.get(f"/api/sessions/{session_id}/export")
    assert [("user", "What is a headrace?")] == [
        (m["role"], m["parts"][0]["text"]) for m in document.json()["messages"]
    ]
    text = await api.get(f"/api/sessions/{session_id}/export", params={"format": "markdown"})
    assert "# Rivers\n\n## You\n\nWhat is a headrace?\n" == text.text
    assert f'attachment; filename="session-{session_id}.md"' == text.headers["content-disposition"]


async def test_an_export_in_another_format_is_refused_with_those_there_are(api: httpx.AsyncClient) -> None:
    answer = await api.get(f"/api/sessions/{await begin(api)}/export", params={"format": "pdf"})
    assert (400, "format must be json or markdown, not 'pdf'.") == (answer.status_code, answer.json()["detail"])


async def test_a_deleted_session_is_gone(api: httpx.AsyncClient) -> None:
    session_id = await begin(api)
    assert 204 == (await api.delete(f"/api/sessions/{session_id}")).status_code
    assert 404 == (await api.get(f"/api/sessions/{session_id}")).status_code


async def test_a_session_with_a_live_job_can_not_be_deleted(api: httpx.AsyncClient) -> None:
    job = (await api.post("/api/chat", json={"message": "hi"}, headers={"Prefer": "respond-async"})).json()
    answer = await api.delete(f"/api/sessions/{job['session_id']}")
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])
    await api.post(f"/api/jobs/{job['job_id']}/cancel")
    assert 204 == (await api.delete(f"/api/sessions/{job['session_id']}")).status_code


async def test_another_tenants_session_does_not_exist(api: httpx.AsyncClient, stranger: TestTenant) -> None:
    session_id = await begin(api)
    for path in ("", "/messages", "/export"):
        answer = await api.get(f"/api/sessions/{session_id}{path}", headers=stranger.headers)
        assert 404 == answer.status_code
    answer = await api.post("/api/chat", json={"message": "hi", "session_id": session_id}, headers=stranger.headers)
    assert 404 == answer.status_code
