"""Flower shows workers and tasks by name, state and time, and nothing of what was said."""

import json
import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aiohttp

from tests.journeys.client import Client
from tests.system import System
from tests.waiting import wait_for

PASSWORD = "a password of Flower's own"


async def test_flower_lists_workers_and_tasks_and_shows_no_prompt(system: System, client: Client):
    system.env["HEADRACE_FLOWER_SIGN_IN"] = f"flower:{PASSWORD}"
    try:
        system.start("flower")
    finally:
        del system.env["HEADRACE_FLOWER_SIGN_IN"]
    await system.ready("flower")
    await asks_for_a_password(system)
    secret = uuid4().hex
    async with aiohttp.ClientSession(system.url_of("flower"), headers=signed_in(PASSWORD)) as http:

        async def page(path: str) -> str:
            async with http.get(path) as answer:
                assert (200, ["nosniff"]) == (answer.status, answer.headers.getall("X-Content-Type-Options")), path
                return await answer.text(errors="replace")

        jobs: list[str] = []

        async def listed() -> str | None:
            """Flower hears of a task a quarter of a second late, and knows no name of one that began before it listened."""
            if len(jobs) < 50:
                jobs.append((await client.submit("text-5", secret))["job_id"])
                await client.ended(jobs[-1])
            rows = json.loads(await page(TASKS))["data"]
            return next((row["uuid"] for row in rows if row["name"] and row["uuid"] in jobs), None)

        job_id = await wait_for(listed, "Flower has heard of a task")
        await shows_how_jobs_end(client, page)
        workers = json.loads(await page("/workers?json=1"))["data"]
        tasks = await page(TASKS)
        details = await page(f"/task/{job_id}")
        assets = re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", await page("/tasks"))
        for asset in assets[:5]:
            await page(asset)
        async with http.get("/nowhere") as answer:
            assert (404, "nosniff") == (answer.status, answer.headers["X-Content-Type-Options"])

    assert assets
    assert True in [worker["status"] for worker in workers], workers  # others may have ended a moment ago
    assert re.fullmatch(r"chat-\d+@.+", workers[0]["hostname"])
    assert {"chat.answer"} == {task["name"] for task in json.loads(tasks)["data"]} - {None}
    for task in json.loads(tasks)["data"]:
        assert f"/api/jobs/{task['uuid']}" == task["args"] or task["name"] is None
    for shown in (json.dumps(workers), tasks, details):
        assert secret not in shown
        assert "Bearer" not in shown


def signed_in(password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth("flower", password)}


async def asks_for_a_password(system: System) -> None:
    for headers in ({}, signed_in("another password")):
        async with aiohttp.ClientSession(system.url_of("flower"), headers=headers) as http:
            for path in ("/", "/workers", TASKS, "/api/tasks"):
                async with http.get(path) as answer:
                    assert 401 == answer.status, path
            async with http.get("/metrics") as answer:
                assert 404 == answer.status, "those of Flower itself ask for nothing"


async def shows_how_jobs_end(client: Client, page: Callable[[str], Awaitable[str]]) -> None:
    """A job that fails is red, one that is tried again says so until it ends, and one that was cancelled is revoked."""
    failing = (await client.submit("refuse-401"))["job_id"]
    retried = (await client.submit("refuse-503"))["job_id"]
    cancelled = await client.ask("text-500-at-20")
    await cancelled.until("message.delta", 2)
    await client.cancel(cancelled.job_id)
    seen: dict[str, set[tuple[str, str | None]]] = {}

    async def ended() -> bool:
        for row in json.loads(await page(TASKS))["data"]:
            seen.setdefault(row["uuid"], set()).add((row["state"], row["exception"]))
        states = {job: {state for state, _ in seen.get(job, ())} for job in (failing, retried, cancelled.job_id)}
        return "FAILURE" in states[failing] and "RETRY" in states[retried] and "REVOKED" in states[cancelled.job_id]

    await wait_for(ended, "Flower shows how jobs ended")
    assert ("FAILURE", "JobFailed('provider_rejected_key')") in seen[failing]
    assert any(state == "RETRY" and "provider_overloaded" in str(code) for state, code in seen[retried])
    await client.cancel(retried)


TASKS = "/tasks/datatable?draw=1&start=0&length=100&search[value]=&order[0][column]=0&order[0][dir]=desc&columns[0][data]=name"
