"""What a running system logs of jobs and requests, and who it says has answered."""

import asyncio
import json
from typing import Any

import psycopg

from tests.conftest import TestTenant
from tests.journeys.agent_setup import DEBT, add_agent, add_tools
from tests.journeys.client import Client
from tests.system import System
from tests.waiting import PATIENCE_S


def lines(system: System, process: str, event: str) -> list[dict[str, Any]]:
    """Return a process's lines of one event."""
    texts = (system.folder / f"{process}.log").read_text().splitlines()
    found = [json.loads(text) for text in texts if text.startswith("{")]
    return [line for line in found if line.get("event") == event]


async def line_of(system: System, process: str, event: str, **fields: Any) -> dict[str, Any]:
    """Return the one line with these fields, once it is there."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [line for line in lines(system, process, event) if fields.items() <= line.items()]
            if found:
                (line,) = found
                return line
            await asyncio.sleep(0.1)


async def test_a_job_has_one_line_at_its_end_with_its_times_and_what_it_used(system: System, client: Client) -> None:
    async with await client.ask("text-10-at-60") as stream:
        await stream.rest()
    line = await line_of(system, "chat", "job_ended", job_id=stream.job_id)
    usage = (await client.job(stream.job_id))["result"]["usage"]
    assert ("chat", "succeeded", "openai/text-10-at-60") == (line["kind"], line["state"], line["model"])
    assert [usage["input_tokens"], usage["output_tokens"]] == [line["input_tokens"], line["output_tokens"]]
    assert 0 <= line["wait_s"]
    assert 0 < line["first_token_s"] <= line["run_s"]
    assert 0 == line["cost_usd"]


async def test_a_request_has_a_line_with_its_status_and_duration(system: System, client: Client) -> None:
    async with client.http.get("/api/jobs/0-no-job", headers={"X-Request-ID": "seen-from-outside"}) as answer:
        assert 404 == answer.status
    line = await line_of(system, "api", "request_answered", request_id="seen-from-outside")
    assert ("GET", "unmatched", 404) == (line["method"], line["route"], line["status"])
    assert line["ms"] >= 0
    await client.get("/health/live")
    assert [] == [one for one in lines(system, "api", "request_answered") if one["route"].startswith("/health")]


async def test_who_answered_for_auto_is_the_same_in_jobs_messages_usage_and_logs(
    system: System, client: Client, shared_url: str, tenant: TestTenant
) -> None:
    add_tools(shared_url, tenant, "http://127.0.0.1:9")
    add_agent(shared_url, tenant, "AgentDebt", **DEBT)
    body = {"message": "Hello, how are you today?", "model": "openai/text-5-at-60", "agent": "auto"}
    status, answer = await client.post("/api/chat", body)
    assert 200 == status, answer
    assert "chat" == (await client.job(answer["job_id"]))["agent"]
    assert ["chat"] == [one["agent"] for one in (await client.get("/api/jobs"))["items"]]
    with psycopg.connect(shared_url) as db:
        for table in ("usage_records", "messages"):
            named = f"SELECT DISTINCT agent FROM {table} WHERE tenant_id = %s AND agent IS NOT NULL"
            assert [("chat",)] == db.execute(named, (tenant.id,)).fetchall()
        told = db.execute("SELECT target FROM audit_log WHERE tenant_id = %s AND action = 'chat.ended'", (tenant.id,))
        assert [("agent/chat",)] == told.fetchall()
    line = await line_of(system, "chat", "job_ended", job_id=answer["job_id"])
    assert "chat" == line["agent"]
