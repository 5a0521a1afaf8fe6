"""`run_at`: a job that is to run once, later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

MODEL = "offline/extractive"
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
