"""`POST /api/chat` in its three manners, with real processes and a model server of known words."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from httpx_sse import aconnect_sse

from tests.api.conftest import Running
from tests.counterparts.behaviours import text
from tests.waiting import wait_for


async def events(running: Running, body: dict[str, Any], **headers: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id, type, data) of everything that a streamed chat says."""
    async with aconnect_sse(running.http, "POST", "/api/chat", json=body, headers=headers) as source:
        return [(event.id, event.event, event.json()) async for event in source.aiter_sse()]


async def test_a_chat_waits_for_its_answer(running: Running) -> None:
    answer = await running.http.post("/api/chat", json={"message": "How do you do?", "model": "openai/text-7"})
    body = answer.json()
    assert (200, text(7), "stop", "openai/text-7") == (
        answer.status_code,
        body["text"],
        body["finish_reason"],
        body["model"],
    )
    parts = dict.fromkeys(("cached_tokens", "cache_write_tokens", "reasoning_tokens"), 0)
    assert {"input_tokens": 4, "output_tokens": 7, "estimated": False, **parts, "cost_usd": None} == body["usage"]
    assert answer.headers["x-job-id"] == body["job_id"]


async def test_a_streamed_chat_says_every_event_once_and_in_order(running: Running) -> None:
    heard = await events(running, {"message": "hi", "model": "openai/text-20-at-200"})
    assert [str(number + 1) for number in range(len(heard))] == [number for number, _, _ in heard]
    names = [name for _, name, _ in heard]
    assert ["job.queued", "job.started"] == names[:2]
    assert ["message.completed", "usage.recorded", "job.succeeded"] == names[-3:]
    assert text(20) == "".join(data["text"] for _, name, data in heard if name == "message.delta")


async def test_the_answer_of_a_streamed_chat_is_stored_in_its_session(running: Running) -> None:
    heard = await events(running, {"message": "hi", "model": "openai/text-5"})
    session_id = heard[0][2]["session_id"]
    page = (await running.http.get(f"/api/sessions/{session_id}/messages")).json()
    said = [(message["role"], message["parts"][0]["text"]) for message in page["items"]]
    assert [("user", "hi"), ("assistant", text(5))] == said


async def test_the_next_message_of_a_session_comes_with_what_was_said(running: Running) -> None:
    first = (await running.http.post("/api/chat", json={"message": "one", "model": "openai/text-3"})).json()
    body = {"message": "two", "model": "openai/text-3", "session_id": first["session_id"]}
    await running.http.post("/api/chat", json=body)
    asked = [message["content"] for message in running.models.requests[-1].body["messages"]]
    assert ["one", text(3), "two"] == [message for message in asked if message in ("one", "two", text(3))]


async def test_a_chat_that_prefers_so_is_answered_later(running: Running) -> None:
    answer = await running.http.post("/chat", json={"message": "hi"}, headers={"Prefer": "respond-async"})
    assert 202 == answer.status_code
    job = await wait_for(lambda: ended(running, answer.headers["location"]), "the job ends")
    assert ("succeeded", text(5)) == (job["state"], job["result"]["text"])


async def test_a_chat_waits_no_longer_than_it_prefers(running: Running) -> None:
    body = {"message": "hi", "model": "openai/slow-first-5"}
    answer = await running.http.post("/api/chat", json=body, headers={"Prefer": "wait=1"})
    assert (202, "running") == (answer.status_code, answer.json()["state"])
    cancelled = await running.http.post(f"/api/jobs/{answer.json()['job_id']}/cancel")
    assert 200 == cancelled.status_code


async def test_a_stream_is_resumed_where_it_was_left(running: Running) -> None:
    body = {"message": "hi", "model": "openai/text-40-at-100"}
    seen: list[tuple[str, str]] = []
    async with aconnect_sse(running.http, "POST", "/api/chat", json=body) as source:
        job_id = source.response.headers["x-job-id"]
        async for event in source.aiter_sse():
            seen.append((event.id, event.data))
            if len(seen) == 10:
                break
    headers = {"Last-Event-ID": seen[-1][0]}
    async with aconnect_sse(running.http, "GET", f"/api/jobs/{job_id}/events", headers=headers) as source:
        seen += [(event.id, event.data) async for event in source.aiter_sse()]
    whole = await running.http.get(f"/api/jobs/{job_id}/events")
    assert [line.removeprefix("data: ") for line in whole.text.splitlines() if line.startswith("data: ")] == [
        data for _, data in seen
    ]
    assert [str(number + 1) for number in range(len(seen))] == [number for number, _ in seen]


async def test_a_client_that_leaves_does_not_cancel(running: Running) -> None:
    body = {"message": "hi", "model": "openai/text-30-at-100"}
    async with aconnect_sse(running.http, "POST", "/api/chat", json=body) as source:
        job_id = source.response.headers["x-job-id"]
    job = await wait_for(lambda: ended(running, f"/api/jobs/{job_id}"), "the job ends")
    assert ("succeeded", text(30)) == (job["state"], job["result"]["text"])


async def test_a_cancelled_chat_ends_its_stream_and_closes_the_models_connection(running: Running) -> None:
    body = {"message": f"stop me {uuid4()}", "model": "openai/text-2000-at-50"}
    async with aconnect_sse(running.http, "POST", "/api/chat", json=body) as source:
        names = []
        async for event in source.aiter_sse():
            names.append(event.event)
            if names.count("message.delta") == 3 and event.event == "message.delta":
                await running.http.post(f"/api/jobs/{source.response.headers['x-job-id']}/cancel")
    assert "job.cancelled" == names[-1]
    record = next(r for r in running.models.requests if body["message"] in json.dumps(r.body))
    await running.models.until(lambda: record.client_closed_ns > 0)


async def test_a_model_that_refuses_fails_the_chat_with_the_reason(running: Running) -> None:
    answer = await running.http.post("/api/chat", json={"message": "hi", "model": "openai/refuse-400"})
    problem = answer.json()
    assert (400, "provider_refused") == (answer.status_code, problem["code"])
    job = (await running.http.get(f"/api/jobs/{problem['job_id']}")).json()
    assert ("failed", "provider_refused") == (job["state"], job["error"]["code"])
    assert 1 == len(job["attempts"])


async def test_fifty_posts_with_one_idempotency_key_make_one_job(running: Running) -> None:
    headers = {"Idempotency-Key": str(uuid4()), "Prefer": "respond-async"}
    posts = (running.http.post("/api/chat", json={"message": "once"}, headers=headers) for _ in range(50))
    answers = await asyncio.gather(*posts)
    assert {202} == {answer.status_code for answer in answers}
    assert 1 == len({answer.json()["job_id"] for answer in answers})


async def test_a_replayed_stream_tells_the_whole_story_again(running: Running) -> None:
    key = str(uuid4())
    first = await events(running, {"message": "again"}, **{"Idempotency-Key": key})
    assert first == await events(running, {"message": "again"}, **{"Idempotency-Key": key})


async def ended(running: Running, location: str) -> dict[str, Any] | None:
    job = (await running.http.get(location)).json()
    return job if job["finished_at"] else None


async def test_a_revoked_key_is_soon_refused(running: Running, database_url: str) -> None:
    import psycopg

    from tests.conftest import make_tenant

    other = make_tenant(database_url)
    assert 200 == (await running.http.get("/api/jobs", headers=other.headers)).status_code
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = %s", (other.id,))

    async def is_out() -> bool:
        return (await running.http.get("/api/jobs", headers=other.headers)).status_code == 401

    await wait_for(is_out, "the key is refused")
