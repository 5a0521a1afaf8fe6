"""GET /api/events as a client sees it, with workers behind it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from tests.api.conftest import Running
from tests.api.people import bearer

CHAT = {"message": "hi", "model": "openai/text-20"}


@asynccontextmanager
async def watching(running: Running, **headers: str) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    """The events of a stream that has begun."""
    async with aconnect_sse(running.http, "GET", "/api/events", headers=headers) as source:
        yield _events(source)


async def _events(source: EventSource) -> AsyncIterator[ServerSentEvent]:
    assert 200 == source.response.status_code
    async for event in source.aiter_sse():
        if event.data:  # and not the comment of a silent stream
            yield event


async def find_job(events: AsyncIterator[ServerSentEvent], job_id: str, state: str) -> tuple[str, dict[str, Any]]:
    """Return the id of the event that says so, and the job."""
    async for event in events:
        for job in json.loads(event.data).get("jobs", ()):
            if (job_id, state) == (job["id"], job["state"]):
                return event.id, job
    raise AssertionError("the stream has ended")


async def test_a_chat_is_seen_to_its_end_and_the_stream_goes_on_where_it_broke(running: Running) -> None:
    async with watching(running) as events:
        opened = await anext(events)
        assert ("opened", {"resumed": False}) == (opened.event, json.loads(opened.data))
        answer = await running.http.post("/api/chat", json=CHAT, headers={"Prefer": "respond-async"})
        place, job = await find_job(events, answer.json()["job_id"], "succeeded")
        assert (await running.http.get(f"/api/jobs/{job['id']}")).json()["result"] == job["result"]
    second = (await running.http.post("/api/chat", json=CHAT, headers={"Prefer": "respond-async"})).json()["job_id"]
    async with watching(running, **{"Last-Event-ID": place}) as events:
        opened = await anext(events)
        assert ("opened", {"resumed": True}) == (opened.event, json.loads(opened.data))
        await find_job(events, second, "succeeded")


async def test_a_document_is_seen_until_it_is_ready(running: Running) -> None:
    running.system.start("ingestion")
    await running.system.ready("ingestion")
    async with watching(running) as events:
        await anext(events)
        files = {"files": ("a.txt", b"A headrace leads water to the wheel.")}
        (document,) = (await running.http.post("/api/documents", files=files)).json()["documents"]
        async for event in events:
            rows = {row["id"]: row for row in json.loads(event.data).get("documents", ())}
            if rows.get(document["id"], {}).get("state") == "ready":
                break
        await running.http.delete(f"/api/documents/{document['id']}")
        async for event in events:
            if document["id"] in json.loads(event.data)["deleted"]["documents"]:
                break


async def test_what_is_no_place_is_refused(running: Running) -> None:
    for headers in ({"Last-Event-ID": "7"}, {"Last-Event-ID": "x-y"}):
        answer = await running.http.get("/api/events", headers=headers)
        assert (400, "Last-Event-ID") == (answer.status_code, answer.json()["errors"][0]["field"])
    assert 400 == (await running.http.get("/api/events", params={"after": "1"})).status_code


async def test_without_the_right_there_is_no_stream(running: Running) -> None:
    key = (await running.http.post("/api/auth/keys", json={"name": "k", "scopes": ["chat"]})).json()["key"]
    answer = await running.http.get("/api/events", headers=bearer(key))
    assert (403, True) == (answer.status_code, "jobs.read" in answer.json()["detail"])


async def test_a_revoked_key_ends_its_stream(running: Running) -> None:
    made = (await running.http.post("/api/auth/keys", json={"name": "k", "scopes": ["jobs.read"]})).json()
    async with watching(running, **bearer(made["key"])) as events:
        await anext(events)
        assert 204 == (await running.http.delete(f"/api/auth/keys/{made['id']}")).status_code
        last = [event async for event in events][-1]
    assert ("stream.closed", {"reason": "signed_out"}) == (last.event, json.loads(last.data))
