"""`run_at`: a job that is to run once, later."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from schema.job_kinds import INTERACTIVE
from tests.workers.jobs import rows

MODEL = "offline/extractive"
HEADER = "X-Headrace-Run-At"
SUBMITS: dict[str, dict[str, Any]] = {
    "/api/chat": {"message": "hi", "model": MODEL},
    "/api/pipelines/chat/execute": {"input": "hi", "model": MODEL},
    "/api/benchmark/llm": {"model_name": MODEL},
}


def later(**ago: float) -> str:
    return (datetime.now(UTC) + timedelta(**ago)).isoformat(timespec="seconds")


@pytest.mark.parametrize("path", SUBMITS)
async def test_a_job_waits_for_its_time_and_says_so(api: httpx.AsyncClient, path: str) -> None:
    run_at = later(hours=5)
    answer = await api.post(path, json=SUBMITS[path] | {"run_at": run_at})
    assert 202 == answer.status_code, answer.text
    job = (await api.get(f"/api/jobs/{answer.json()['job_id']}")).json()
    assert ("queued", "time") == (job["state"], job["waiting_for"])
    assert datetime.fromisoformat(run_at) == datetime.fromisoformat(job["run_at"])
    left = datetime.fromisoformat(job["deadline_at"]) - datetime.fromisoformat(job["run_at"])
    assert left >= timedelta(hours=1), "its deadline counts from then"
    assert "cancelled" == (await api.post(f"/api/jobs/{job['id']}/cancel")).json()["state"]


@pytest.mark.parametrize("path", SUBMITS)
async def test_a_header_says_the_time_too_and_counts_for_idempotency_keys(api: httpx.AsyncClient, path: str) -> None:
    at, key = later(hours=5), {"Idempotency-Key": f"later-{datetime.now(UTC).timestamp()}"}
    first, again = [await api.post(path, json=SUBMITS[path], headers={HEADER: at, **key}) for _ in range(2)]
    assert (202, 202) == (first.status_code, again.status_code), first.text
    job = (await api.get(first.headers["Location"])).json()
    assert datetime.fromisoformat(at) == datetime.fromisoformat(job["run_at"])
    assert first.json()["job_id"] == again.json()["job_id"]
    other = await api.post(path, json=SUBMITS[path], headers={HEADER: later(hours=6), **key})
    assert 422 == other.status_code
    refused = await api.post(path, json=SUBMITS[path], headers={HEADER: "soon"})
    assert (400, HEADER) == (refused.status_code, refused.json()["errors"][0]["field"])


@pytest.mark.parametrize("path", SUBMITS)
@pytest.mark.parametrize("run_at", [later(days=-1), later(days=400)])
async def test_a_time_in_the_past_or_far_away_is_refused(api: httpx.AsyncClient, path: str, run_at: str) -> None:
    answer = await api.post(path, json=SUBMITS[path] | {"run_at": run_at})
    assert (400, "run_at") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_messages_of_a_session_would_wait_for_it(api: httpx.AsyncClient) -> None:
    session_id = (await api.post("/api/sessions", json={})).json()["id"]
    body = SUBMITS["/api/chat"] | {"run_at": later(hours=1), "session_id": session_id}
    answer = await api.post("/api/chat", json=body)
    assert (400, "run_at") == (answer.status_code, answer.json()["errors"][0]["field"])
    assert "Omit session_id" in answer.json()["detail"]


COMPLETION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


async def test_a_completion_waits_for_the_time_in_its_header(api: httpx.AsyncClient, database_url: str) -> None:
    run_at = later(hours=5)
    answer = await api.post("/v1/chat/completions", json=COMPLETION, headers={HEADER: run_at})
    assert 202 == answer.status_code, answer.text
    job = (await api.get(answer.headers["Location"])).json()
    assert ("queued", "time") == (job["state"], job["waiting_for"])
    assert datetime.fromisoformat(run_at) == datetime.fromisoformat(job["run_at"])
    (stored,) = rows(database_url, "SELECT payload FROM jobs WHERE id = %s", UUID(answer.json()["job_id"]))
    assert INTERACTIVE not in stored["payload"], "nobody waits for it"


async def test_a_stream_that_would_begin_later_is_refused_with_the_reason(api: httpx.AsyncClient) -> None:
    sent = {"json": COMPLETION | {"stream": True}, "headers": {HEADER: later(hours=5)}}
    answer = await api.post("/v1/chat/completions", **sent)
    assert (400, "stream") == (answer.status_code, answer.json()["error"]["param"])
    assert HEADER in answer.json()["error"]["message"]


@pytest.mark.parametrize(("value", "says"), [("tomorrow", "ISO 8601"), (later(days=-1), "in the future")])
async def test_a_time_in_a_header_that_is_none_is_refused(api: httpx.AsyncClient, value: str, says: str) -> None:
    answer = await api.post("/v1/chat/completions", json=COMPLETION, headers={HEADER: value})
    error = answer.json()["error"]
    assert (400, HEADER) == (answer.status_code, error["param"])
    assert says in error["message"]


async def test_a_response_in_the_background_waits_for_its_time(api: httpx.AsyncClient) -> None:
    sent, run_at = {"model": MODEL, "input": "hi", "background": True}, later(hours=5)
    answer = await api.post("/v1/responses", json=sent, headers={HEADER: run_at})
    assert (200, "queued") == (answer.status_code, answer.json()["status"]), answer.text
    job = (await api.get(f"/api/jobs/{answer.headers['X-Job-ID']}")).json()
    assert ("queued", "time") == (job["state"], job["waiting_for"])
    assert datetime.fromisoformat(run_at) == datetime.fromisoformat(job["run_at"])


@pytest.mark.parametrize(("sent", "field"), [({}, "background"), ({"stream": True, "background": True}, "stream")])
async def test_a_response_that_somebody_waits_for_cannot_run_later(
    api: httpx.AsyncClient, sent: dict[str, Any], field: str
) -> None:
    body = {"model": MODEL, "input": "hi", **sent}
    answer = await api.post("/v1/responses", json=body, headers={HEADER: later(hours=5)})
    assert (400, field) == (answer.status_code, answer.json()["error"]["param"])


async def test_messages_cannot_run_later_and_say_so(api: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    answer = await api.post("/v1/messages", json=body, headers={HEADER: later(hours=5)})
    assert 400 == answer.status_code
    assert HEADER in answer.json()["error"]["message"]


async def test_what_makes_no_job_cannot_run_later(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/embeddings", json={"model": "auto", "input": "hi"}, headers={HEADER: later(hours=1)})
    assert (400, HEADER) == (answer.status_code, answer.json()["error"]["param"])


async def test_the_same_key_with_another_time_is_another_request(api: httpx.AsyncClient) -> None:
    at, key = later(hours=5), {"Idempotency-Key": f"later-{datetime.now(UTC).timestamp()}"}
    first, again = [
        await api.post("/v1/chat/completions", json=COMPLETION, headers={HEADER: at, **key}) for _ in range(2)
    ]
    assert first.json()["job_id"] == again.json()["job_id"]
    other = await api.post("/v1/chat/completions", json=COMPLETION, headers={HEADER: later(hours=6), **key})
    assert 422 == other.status_code
