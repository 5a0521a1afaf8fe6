"""The routes of schedules: what is refused and why, next times, pausing, running now, whose they are."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from tests.api.conftest import calling
from tests.conftest import TestTenant
from tests.workers.jobs import change, rows

MODEL = "offline/extractive"
CHAT = {"kind": "chat", "message": "Good morning.", "model": MODEL}
ADDRESSES: dict[str, Any] = {"kind": "ingestion", "urls": ["http://127.0.0.1/a.txt"]}
MORNING: dict[str, Any] = {"name": "Morning", "job": CHAT, "cron": "0 8 * * *", "timezone": "Asia/Ho_Chi_Minh"}

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"cron": "0 25 * * *"}, "cron", "'25' is no hour: 0 to 23"),
    ({"cron": "0 8 30 2 *"}, "cron", "is never due"),
    ({"cron": "@daily"}, "cron", "cron must have five parts"),
    ({"timezone": "Mars/Olympus"}, "timezone", "'Mars/Olympus' is no time zone."),
    ({"ends_at": "2001-01-01T00:00:00Z"}, "ends_at", "ends_at must be in the future"),
    ({"starts_at": "2100-01-02T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z"}, "ends_at", "after starts_at"),
    ({"starts_at": "2100-01-01T02:00:00Z", "ends_at": "2100-01-01T03:00:00Z"}, "ends_at", "is not due before ends_at"),
    ({"on_missed": "all"}, "on_missed", "on_missed must be"),
    ({"on_overlap": "x"}, "on_overlap", "on_overlap must be"),
    ({"name": ""}, "name", "name must not be empty."),
    ({"job": {"kind": "dance"}}, "job.kind", "job.kind"),
    ({"job": {"kind": "chat"}}, "job.message", "job.message is required."),
    ({"job": CHAT | {"message": "  "}}, "job.message", "job.message must not be empty."),
    ({"job": CHAT | {"model": "no/such"}}, "job.model", "There is no provider 'no'."),
    ({"job": {"kind": "chat", "message": "x", "agent": "Nobody"}}, "job.agent", "No such agent: 'Nobody'."),
    ({"job": CHAT | {"collections": ["nowhere"]}}, "job.collections", ""),
    ({"job": {"kind": "benchmark", "iterations": 0}}, "job.iterations", "job.iterations must be at least 1."),
    ({"job": {"kind": "benchmark", "models": ["no/such"]}}, "job.models[0]", "There is no provider 'no'."),
    ({"job": {"kind": "benchmark"}, "session": "continue"}, "session", "only chats have sessions"),
    ({"job": ADDRESSES, "session": "continue"}, "session", "only chats have sessions"),
    ({"job": {"kind": "ingestion"}}, "job.urls", "job.urls is required."),
    ({"job": {"kind": "ingestion", "urls": []}}, "job.urls", "job.urls must"),
    ({"job": ADDRESSES | {"urls": ["http://10.0.0.1/a.txt"]}}, "job.urls[0]", "10.0.0.1"),
    ({"job": ADDRESSES | {"urls": ["http://127.0.0.1/a", "ftp://127.0.0.1/a"]}}, "job.urls[1]", ""),
    ({"job": ADDRESSES | {"urls": ["https://nowhere.invalid/a.txt"]}}, "job.urls[0]", "nowhere.invalid"),
    ({"job": ADDRESSES | {"collection": "a b"}}, "job.collection", ""),
    ({"job": ADDRESSES | {"private": True}}, "job.private", "belongs to its tenant"),
    (
        {"job": ADDRESSES | {"urls": ["http://127.0.0.1/a", "http://127.0.0.1/b"], "name": "x"}},
        "job.name",
        "single file",
    ),
    ({"job": ADDRESSES | {"metadata": {"a": {"b": 1}}}}, "job.metadata.a", ""),
]


async def make(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/schedules", json=MORNING | changes)
    assert 201 == answer.status_code, answer.text
    assert f"/api/schedules/{answer.json()['id']}" == answer.headers["location"]
    return answer.json()


@pytest.mark.parametrize(("wrong", "field", "message"), BAD, ids=[str(wrong)[:60] for wrong, _, _ in BAD])
async def test_what_is_wrong_is_refused_by_name(
    api: httpx.AsyncClient, wrong: dict[str, Any], field: str, message: str
) -> None:
    answer = await api.post("/api/schedules", json=MORNING | wrong)
    assert answer.status_code in (400, 404), answer.text
    assert [field] == [error["field"] for error in answer.json()["errors"]]
    assert message in answer.json()["detail"]


async def test_a_pipeline_that_isnt_there_is_refused(api: httpx.AsyncClient) -> None:
    job = {"kind": "pipeline", "pipeline": "nothing", "input": "x"}
    answer = await api.post("/api/schedules", json=MORNING | {"job": job})
    assert (404, "not_found") == (answer.status_code, answer.json()["code"])


async def test_a_schedule_tells_its_next_five_times(api: httpx.AsyncClient) -> None:
    made = await make(api, cron="0  8 * * *", on_missed="run_once")
    assert ("active", "0 8 * * *", "chat", CHAT | {"agent": None, "collections": None}) == (
        made["state"],
        made["cron"],
        made["kind"],
        made["job"],
    )
    times = [datetime.fromisoformat(at) for at in made["next_times"]]
    assert 5 == len(times)
    assert {(1, 0)} == {(at.hour, at.minute) for at in times}, "eight in Hanoi"
    assert datetime.now(UTC) < times[0] == datetime.fromisoformat(made["next_at"])
    assert made == (await api.get(f"/api/schedules/{made['id']}")).json()
    assert [made["id"]] == [one["id"] for one in (await api.get("/api/schedules?kind=chat")).json()["items"]]
    assert [] == (await api.get("/api/schedules?state=paused")).json()["items"]


async def test_pausing_resuming_changing_and_deleting(api: httpx.AsyncClient) -> None:
    made = await make(api)
    path = f"/api/schedules/{made['id']}"
    paused = (await api.post(f"{path}/pause")).json()
    assert ("paused", None, []) == (paused["state"], paused["next_at"], paused["next_times"])
    resumed = (await api.post(f"{path}/resume")).json()
    assert ("active", made["next_at"]) == (resumed["state"], resumed["next_at"])
    changed = (await api.put(path, json=MORNING | {"cron": "30 9 * * *", "paused": True})).json()
    assert ("paused", "30 9 * * *") == (changed["state"], changed["cron"])
    assert 204 == (await api.delete(path)).status_code
    for call in (
        api.get(path),
        api.delete(path),
        api.post(f"{path}/run"),
        api.post(f"{path}/pause"),
        api.get(f"{path}/runs"),
    ):
        assert 404 == (await call).status_code
    assert 404 == (await api.put(path, json=MORNING)).status_code


async def test_running_now_submits_a_job_and_leaves_the_times_as_they_are(
    api: httpx.AsyncClient, database_url: str
) -> None:
    made = await make(api, paused=True, session="continue")
    path = f"/api/schedules/{made['id']}"
    ids = [(await api.post(f"{path}/run")).json()["job_id"] for _ in range(2)]
    found = [(await api.get(f"/api/jobs/{job_id}")).json() for job_id in ids]
    assert [("chat", MODEL)] * 2 == [(job["kind"], job["model"]) for job in found]
    assert 1 == len({job["session_id"] for job in found}), "the session goes on"
    page = (await api.get(f"{path}/runs?limit=1")).json()
    rest = (await api.get(f"{path}/runs", params={"cursor": page["next_cursor"]})).json()
    runs = page["items"] + rest["items"]
    assert [*reversed(ids)] == [run["job_id"] for run in runs]
    assert {("submitted", True, "queued")} == {(run["outcome"], run["manual"], run["job_state"]) for run in runs}
    after = (await api.get(path)).json()
    assert ("paused", None) == (after["state"], after["next_at"])


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        ({"kind": "benchmark", "model_name": MODEL, "iterations": 3, "prompt": "hi"}, "benchmark"),
        ({"kind": "pipeline", "pipeline": "chat", "input": "hi", "model": MODEL}, "chat"),
    ],
)
async def test_each_kind_of_job_can_be_scheduled(
    api: httpx.AsyncClient, database_url: str, job: dict[str, Any], kind: str
) -> None:
    made = await make(api, job=job)
    job_id = (await api.post(f"/api/schedules/{made['id']}/run")).json()["job_id"]
    found = (await api.get(f"/api/jobs/{job_id}")).json()
    assert (kind, MODEL) == (found["kind"], found["model"])
    if kind == "benchmark":
        assert 3 == (await api.get(f"/api/benchmarks/{job_id}")).json()["total"]


async def test_a_tenants_own_pipeline_runs_in_its_newest_version(
    application: httpx.AsyncClient, owner: TestTenant, database_url: str
) -> None:
    async with calling(application, owner.key) as api:
        steps = {"a": {"kind": "prompt", "prompt": "{{input}}", "model": MODEL}}
        for text in ("one", "two"):
            body = {"name": "own", "description": text, "start": "a", "steps": steps}
            if text == "one":
                answer = await api.post("/api/pipelines", json=body)
                made = await make(api, job={"kind": "pipeline", "pipeline": "own", "input": "hi", "model": MODEL})
            else:
                answer = await api.put("/api/pipelines/own", json=body)
            assert answer.status_code < 300, answer.text
        job_id = (await api.post(f"/api/schedules/{made['id']}/run")).json()["job_id"]
    (row,) = rows(database_url, "SELECT kind, payload, agent FROM jobs WHERE id = %s", UUID(job_id))
    assert ("pipeline", 2, "pipeline/own") == (row["kind"], row["payload"]["version"], row["agent"])


async def test_no_tenant_has_more_than_a_thousand(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    made = await make(api)
    with psycopg.connect(database_url) as db:
        db.execute(
            """INSERT INTO schedules (tenant_id, id, name, created_by, issuer, kind, job, compiled, cron, timezone, on_missed,
                on_overlap, session, state)
              SELECT tenant_id, gen_random_uuid(), name, created_by, issuer, kind, job, compiled, cron, timezone, on_missed,
                on_overlap, session, 'paused' FROM schedules, generate_series(1, 999) WHERE id = %s""",
            (made["id"],),
        )
    answer = await api.post("/api/schedules", json=MORNING)
    assert (409, "conflict") == (answer.status_code, answer.json()["code"])
    assert "1,000" in answer.json()["detail"]


async def test_what_a_key_may_not_do_it_can_schedule_neither(application: httpx.AsyncClient, owner: TestTenant) -> None:
    async with calling(application, owner.key) as api:
        body = {"name": "k", "scopes": ["schedules.write", "schedules.read"], "for_tenant": True}
        key = (await api.post("/api/auth/keys", json=body)).json()["key"]
    async with calling(application, key) as narrow:
        answer = await narrow.post("/api/schedules", json=MORNING)
    assert (403, "forbidden") == (answer.status_code, answer.json()["code"])
    assert "'chat'" in answer.json()["detail"]


async def test_running_now_says_what_is_missing(api: httpx.AsyncClient, tenant: TestTenant, database_url: str) -> None:
    made = await make(api)
    change(database_url, "DELETE FROM grants WHERE tenant_id = %s AND kind = 'model'", tenant.id)
    answer = await api.post(f"/api/schedules/{made['id']}/run")
    assert (400, "model_unknown") == (answer.status_code, answer.json()["code"])
    assert MODEL in answer.json()["detail"]


async def test_nothing_of_a_stranger_is_seen(
    application: httpx.AsyncClient, api: httpx.AsyncClient, stranger: TestTenant
) -> None:
    made = await make(api)
    async with calling(application, stranger.key) as other:
        for path in ("", "/runs"):
            assert 404 == (await other.get(f"/api/schedules/{made['id']}{path}")).status_code
        assert [] == (await other.get("/api/schedules")).json()["items"]


async def test_documents_of_addresses_can_be_scheduled_and_their_collection_is_made(api: httpx.AsyncClient) -> None:
    job = ADDRESSES | {"collection": "prices", "metadata": {"from": "site"}}
    made = await make(api, job=job)
    assert ("ingestion", job | {"private": False, "name": None}) == (made["kind"], made["job"])
    assert [made["id"]] == [one["id"] for one in (await api.get("/api/schedules?kind=ingestion")).json()["items"]]
    assert 200 == (await api.get("/api/collections/prices")).status_code
    run = await api.post(f"/api/schedules/{made['id']}/run")
    assert 202 == run.status_code, run.text
    found = (await api.get(f"/api/jobs/{run.json()['job_id']}")).json()
    assert ("ingestion", "minilm") == (found["kind"], found["model"])


async def test_a_schedule_whose_collection_is_gone_says_so(api: httpx.AsyncClient, database_url: str) -> None:
    made = await make(api, job=ADDRESSES | {"collection": "gone"})
    change(database_url, "DELETE FROM collections WHERE name = 'gone'")
    run = await api.post(f"/api/schedules/{made['id']}/run")
    assert 404 == run.status_code
    assert "collection of this schedule was deleted" in run.json()["detail"]
