"""The routes of datasets: uploads with versions, broken lines, datasets of feedback, what is refused of a benchmark."""

from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from schema.ids import new_id
from tests.conftest import TestTenant
from tests.workers.jobs import change, rows

TENANT_ROLE = "owner"
ITEM = {"question": "What is 17 × 23?", "answer": {"check": "number", "value": 391}}


async def upload(api: httpx.AsyncClient, name: str, **body: Any) -> dict[str, Any]:
    answer = await api.post("/api/datasets", json={"name": name, **body})
    assert 201 == answer.status_code, answer.text
    return answer.json()


async def test_each_upload_is_a_version(api: httpx.AsyncClient) -> None:
    first = await upload(api, "d", items=[ITEM])
    second = await upload(api, "d", jsonl='{"question": "a", "agent": "x"}\n{"question": "b", "agent": "y"}')
    third = await upload(api, "d", csv="question,agent\nc,z\n")
    assert [(1, 1), (2, 2), (3, 1)] == [(one["version"], one["items"]) for one in (first, second, third)]
    assert third == (await api.get("/api/datasets/d")).json()
    assert ["d"] == [one["name"] for one in (await api.get("/api/datasets")).json()["items"]]
    page = (await api.get("/api/datasets/d/items?version=2&limit=1")).json()
    more = {"version": 2, "cursor": page["next_cursor"]}
    rest = (await api.get("/api/datasets/d/items", params=more)).json()
    assert ["a", "b"] == [one["item"]["question"] for one in page["items"] + rest["items"]]
    assert ["c"] == [one["item"]["question"] for one in (await api.get("/api/datasets/d/items")).json()["items"]]
    assert 204 == (await api.delete("/api/datasets/d")).status_code
    for answer in (await api.get("/api/datasets/d"), await api.delete("/api/datasets/d")):
        assert 404 == answer.status_code


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "items", "Send the questions once"),
        ({"items": [ITEM], "csv": "x"}, "csv", "Send the questions once"),
        ({"items": []}, "items", "items must not be empty."),
        ({"items": [{"question": "a"}]}, "items[0]", "an agent, passages or an answer must say what is right"),
        ({"jsonl": '{"question": "a", "agent": "x"}\n{oops'}, "jsonl", "line 2: "),
        ({"jsonl": "\n\n"}, "jsonl", "must have 1 to 10,000 questions, not 0"),
        ({"csv": "question,agent\na,x,y\n"}, "csv", "line 2: "),
        ({"name": "no spaces", "items": [ITEM]}, "name", "name must match"),
    ],
)
async def test_what_is_no_dataset_is_refused(
    api: httpx.AsyncClient, body: dict[str, Any], field: str, message: str
) -> None:
    answer = await api.post("/api/datasets", json={"name": "d", **body})
    assert (400, field) == (answer.status_code, answer.json()["errors"][0]["field"])
    assert message in answer.json()["detail"]


async def test_feedback_becomes_a_dataset_that_goes_with_its_messages(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    answer = await api.post("/api/feedback/dataset", json={"name": "f"})
    assert (400, "name") == (answer.status_code, answer.json()["errors"][0]["field"])
    session_id = new_id()
    change(
        database_url,
        "INSERT INTO sessions (tenant_id, id, title, turns) VALUES (%s, %s, 't', 3)",
        *(tenant.id, session_id),
    )
    ratings: list[tuple[str, str | None]] = [("down", "Debts"), ("up", None), ("down", None)]
    ids: list[UUID] = []
    with psycopg.connect(database_url) as db:
        for turn, (rating, agent) in enumerate(ratings, 1):
            for ordinal, role in enumerate(("user", "assistant")):
                parts = [{"type": "text", "text": f"{role} {turn}"}]
                ids.append(new_id())
                db.execute(
                    """INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts, status, agent)
                      VALUES (%s, %s, %s, %s, %s, %s, %s, 'completed', 'Weather')""",
                    (tenant.id, ids[-1], session_id, turn, ordinal, role, Jsonb(parts)),
                )
            db.execute(
                "INSERT INTO feedback (tenant_id, message_id, rating, agent) VALUES (%s, %s, %s, %s)",
                (tenant.id, ids[-1], rating, agent),
            )
    made = await api.post("/api/feedback/dataset", json={"name": "f"})
    assert (201, 2) == (made.status_code, made.json()["items"])
    items = (await api.get("/api/datasets/f/items")).json()["items"]
    assert {("user 1", "Debts"), ("user 2", "Weather")} == {
        (one["item"]["question"], one["item"]["agent"]) for one in items
    }
    change(database_url, "DELETE FROM sessions WHERE id = %s", session_id)
    assert [] == rows(database_url, "SELECT 1 FROM dataset_items WHERE tenant_id = %s", tenant.id)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"dataset": "nothing", "measure": "routing"}, 404, "dataset"),
        ({"dataset": "d", "measure": "routing"}, 400, "measure"),
        ({"dataset": "d", "measure": "answers", "version": 7}, 400, "measure"),
        ({"dataset": "d", "measure": "answers", "model": "no/such"}, 400, "model"),
        ({"dataset": "d", "measure": "taste"}, 400, "measure"),
        ({"dataset": "d", "measure": "answers", "k": 0}, 400, "k"),
    ],
)
async def test_what_cant_be_judged_is_refused(
    api: httpx.AsyncClient, body: dict[str, Any], status: int, field: str
) -> None:
    await upload(api, "d", items=[ITEM])
    answer = await api.post("/api/benchmark/quality", json=body)
    assert (status, field) == (answer.status_code, answer.json()["errors"][0]["field"]), answer.text


async def test_questions_can_be_prompts(api: httpx.AsyncClient) -> None:
    await upload(api, "d", items=[ITEM, {"question": "And 17 × 24?", "agent": "x"}])
    body = {"model_name": "offline/extractive", "dataset": "d"}
    asked = (await api.post("/api/benchmark/llm", json=body)).json()["job_id"]
    found = (await api.get(f"/api/benchmarks/{asked}")).json()
    assert ["What is 17 × 23?", "And 17 × 24?"] == found["settings"]["prompts"]
    for wrong, status in (({"dataset": "nothing"}, 404), ({"prompt": "x"}, 400)):
        answer = await api.post("/api/benchmark/llm", json=body | wrong)
        assert (status, "dataset") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_only_quality_is_compared_by_question(api: httpx.AsyncClient) -> None:
    timed = (await api.post("/api/benchmark/llm", json={"model_name": "offline/extractive"})).json()["job_id"]
    await upload(api, "d", items=[ITEM])
    body = {"dataset": "d", "measure": "answers", "model": "offline/extractive"}
    asked = (await api.post("/api/benchmark/quality", json=body)).json()["job_id"]
    answer = await api.get(f"/api/benchmarks/{asked}/changes?since={timed}")
    assert (400, "since") == (answer.status_code, answer.json()["errors"][0]["field"])
    told = (await api.get(f"/api/benchmarks/{asked}/changes?since={asked}")).json()
    assert (0, [], []) == (told["compared"], told["became_right"], told["became_wrong"])
