"""Documents that are to be ingested later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.documents.stored_documents import Shelf
from tests.api.documents.upload.uploads import upload

HEADER = "X-Headrace-Run-At"


def later(**ago: float) -> str:
    return (datetime.now(UTC) + timedelta(**ago)).isoformat(timespec="seconds")


async def require_waiting(api: httpx.AsyncClient, answer: httpx.Response, run_at: str) -> None:
    assert 202 == answer.status_code, answer.text
    job = (await api.get(f"/api/jobs/{answer.json()['job_id']}")).json()
    assert ("queued", "time") == (job["state"], job["waiting_for"])
    assert datetime.fromisoformat(run_at) == datetime.fromisoformat(job["run_at"])


@pytest.mark.parametrize("how", ["field", "header"])
async def test_a_file_is_stored_now_and_ingested_then(api: httpx.AsyncClient, how: str) -> None:
    run_at = later(hours=3)
    sent: dict[str, Any] = {"run_at": run_at} if how == "field" else {"headers": {HEADER: run_at}}
    answer = await upload(api, ("a.txt", b"Rivers."), **sent)
    await require_waiting(api, answer, run_at)
    assert ["queued"] == [one["state"] for one in answer.json()["documents"]]


async def test_nobody_waits_for_what_runs_later(api: httpx.AsyncClient) -> None:
    headers = {HEADER: later(hours=3), "Prefer": "wait=600"}
    assert 202 == (await upload(api, ("a.txt", b"Rivers."), headers=headers)).status_code


@pytest.mark.parametrize("run_at", ["soon", later(days=-1), later(days=400)])
async def test_a_time_that_is_none_is_refused_and_nothing_is_stored(api: httpx.AsyncClient, run_at: str) -> None:
    by_form = await upload(api, ("a.txt", b"Rivers."), run_at=run_at)
    by_address = await api.post("/api/documents", json={"urls": ["https://example.com/a.txt"], "run_at": run_at})
    for answer in (by_form, by_address):
        assert 400 == answer.status_code
        assert answer.json()["errors"][0]["field"] == "run_at"
    assert [] == (await api.get("/api/documents")).json()["items"]


@pytest.mark.parametrize(
    "path", ["/api/documents/{id}/retry", "/api/documents/retry", "/api/collections/default/reingest"]
)
async def test_documents_are_ingested_again_later(client: httpx.AsyncClient, shelf: Shelf, path: str) -> None:
    (document_id,) = await shelf.upload("a")
    shelf.set(document_id, state="failed")
    run_at = later(hours=3)
    body = {"ids": [str(document_id)]} if path == "/api/documents/retry" else None
    answer = await client.post(path.format(id=document_id), json=body, headers={HEADER: run_at})
    await require_waiting(client, answer, run_at)
