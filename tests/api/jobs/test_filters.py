"""Lists of jobs by agent, model, error, time and the beginning of an id; their number; and lists as files."""

import csv
import io
from typing import Any

import httpx
import psycopg
import pytest

from schema.ids import new_id
from schema.queries.jobs import job_lists
from tests.api.people import bearer, signed_in
from tests.conftest import TestTenant
from tests.workers.jobs import change

TENANT_ROLE = "owner"


async def submit(api: httpx.AsyncClient, message: str = "hi", **headers: str) -> str:
    answer = await api.post("/api/chat", json={"message": message}, headers={"Prefer": "respond-async", **headers})
    assert 202 == answer.status_code, answer.text
    return answer.json()["job_id"]


async def ids(api: httpx.AsyncClient, query: str, **headers: str) -> list[str]:
    """Return the ids of all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        answer = await api.get(f"/api/jobs?limit=2&{query}{cursor}", headers=headers)
        assert 200 == answer.status_code, answer.text
        found += [job["id"] for job in answer.json()["items"]]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.json()['next_cursor']}"


@pytest.fixture
async def five(api: httpx.AsyncClient, database_url: str) -> list[str]:
    """Five jobs, oldest first, each another."""
    made = [await submit(api) for _ in range(5)]
    change(database_url, "UPDATE jobs SET agent = 'AgentDebt' WHERE id = %s", made[0])
    change(database_url, "UPDATE jobs SET model = 'openai/other' WHERE id = %s", made[1])
    error = '{"code": "deadline_passed", "message": "too late"}'
    sql = "UPDATE jobs SET state = 'failed', finished_at = now(), error = %s WHERE id = %s"
    change(database_url, sql, error, made[2])
    return made


async def test_each_filter_finds_its_jobs(
    api: httpx.AsyncClient, five: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for scanned in (5000, 2):  # also over pages without a match
        monkeypatch.setattr(job_lists, "SCANNED", scanned)
        assert [five[0]] == await ids(api, "agent=AgentDebt")
        assert [five[1]] == await ids(api, "model=openai/other")
        assert [five[2]] == await ids(api, "error=deadline_passed")
        assert [] == await ids(api, "error=deadline_passed&agent=AgentDebt")
        assert [five[0]] == await ids(api, "agent=AgentDebt&state=queued&kind=chat")
        assert [] == await ids(api, "agent=AgentDebt&state=failed")


async def test_an_id_is_found_by_its_beginning(api: httpx.AsyncClient, five: list[str]) -> None:
    assert [five[3]] == await ids(api, f"id_prefix={five[3]}")
    assert [five[3]] == await ids(api, f"id_prefix={five[3].replace('-', '')[:31].upper()}")
    assert list(reversed(five)) == await ids(api, f"id_prefix={five[3][:6]}")
    assert [] == await ids(api, "id_prefix=ffffffff")
    for wrong in ("x", "", "-", "12g"):
        answer = await api.get(f"/api/jobs?id_prefix={wrong}")
        assert (400, "id_prefix") == (answer.status_code, answer.json()["errors"][0]["field"])


async def test_times_are_absolute_or_so_long_ago(api: httpx.AsyncClient, five: list[str], database_url: str) -> None:
    assert list(reversed(five)) == await ids(api, "since=15m")
    assert [] == await ids(api, "until=15m")
    assert list(reversed(five)) == await ids(api, "since=2020-01-01&until=2999-01-01")
    assert [] == await ids(api, "since=2999-01-01")
    for wrong in ("15", "m", "15y", "-15m", "999999d"):
        assert 400 == (await api.get(f"/api/jobs?since={wrong}")).status_code, wrong


async def test_they_are_counted(api: httpx.AsyncClient, five: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def count(query: str) -> dict[str, Any]:
        answer = await api.get(f"/api/jobs/count?{query}")
        assert 200 == answer.status_code, answer.text
        return answer.json()

    assert {"count": 5, "more": False} == await count("")
    assert {"count": 4, "more": False} == await count("state=queued")
    assert {"count": 1, "more": False} == await count("agent=AgentDebt")
    monkeypatch.setattr(job_lists, "COUNTED", 3)
    assert {"count": 3, "more": True} == await count("")
    assert 400 == (await api.get("/api/jobs/count?limit=3")).status_code


async def test_others_jobs_are_neither_listed_nor_counted(
    api: httpx.AsyncClient, five: list[str], stranger: TestTenant, tenant: TestTenant, database_url: str
) -> None:
    member = (await signed_in(api, database_url, tenant))["access_token"]
    for secret in (stranger.key, member):
        for query in ("", "agent=AgentDebt", f"id_prefix={five[0]}", "since=15m", "error=deadline_passed"):
            assert [] == await ids(api, query, **bearer(secret))
            counted = await api.get(f"/api/jobs/count?{query}", headers=bearer(secret))
            assert {"count": 0, "more": False} == counted.json()


async def test_a_list_is_a_file_for_spreadsheets(api: httpx.AsyncClient, five: list[str], database_url: str) -> None:
    change(database_url, "UPDATE jobs SET agent = '=1+1' WHERE id = %s", five[4])
    answer = await api.get("/api/jobs?since=15m", headers={"Accept": "text/csv"})
    assert ("text/csv", 'attachment; filename="jobs.csv"') == (
        answer.headers["content-type"].partition(";")[0],
        answer.headers["content-disposition"],
    )
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert list(reversed(five)) == [row["id"] for row in rows]
    assert ("'=1+1", "", "queued", "false") == (rows[0]["agent"], rows[0]["error"], rows[0]["state"], "false")
    assert '"deadline_passed"' in rows[2]["error"]


async def test_the_audit_log_and_the_usage_are_files_too(
    owner: TestTenant, api: httpx.AsyncClient, database_url: str
) -> None:
    with psycopg.connect(database_url) as db:
        sql = "INSERT INTO audit_log (tenant_id, id, actor, action, result) VALUES (%s, %s, 'system', 'a.b', 'ok')"
        db.execute(sql, (owner.id, new_id()))
        usage = """INSERT INTO usage_records (tenant_id, id, day, agent, model, jobs, input_tokens, output_tokens, cost_nanos)
          VALUES (%s, %s, current_date, '', 'm', 1, 2, 3, 4)"""
        db.execute(usage, (owner.id, new_id()))
    headers = {"Accept": "text/csv", **owner.headers}
    log = list(csv.DictReader(io.StringIO((await api.get("/api/audit?action=a.b", headers=headers)).text)))
    assert [("system", "a.b", "ok")] == [(row["actor"], row["action"], row["result"]) for row in log]
    used = list(csv.DictReader(io.StringIO((await api.get("/api/usage?by=model", headers=headers)).text)))
    assert [("m", "1")] == [(row["model"], row["jobs"]) for row in used]
    assert 401 == (await api.get("/api/audit", headers={"Accept": "text/csv", "Authorization": "Bearer x"})).status_code
