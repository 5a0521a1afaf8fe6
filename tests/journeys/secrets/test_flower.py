"""Flower shows workers and tasks by name, state and time, and nothing of what was said."""

import json
import re
from uuid import uuid4

import aiohttp

from tests.journeys.client import Client
from tests.system import System
from tests.waiting import wait_for


async def test_flower_lists_workers_and_tasks_and_shows_no_prompt(system: System, client: Client):
    system.start("flower")
    await system.ready("flower")
    secret = uuid4().hex
    async with aiohttp.ClientSession(system.url_of("flower")) as http:

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
        workers = json.loads(await page("/workers?json=1"))["data"]
        tasks = await page(TASKS)
        details = await page(f"/task/{job_id}")
        assets = re.findall(r"(?:src|href)=\"(/static/[^\"]+)\"", await page("/tasks"))
        for asset in assets[:5]:
            await page(asset)
        async with http.get("/nowhere") as answer:
            assert (404, "nosniff") == (answer.status, answer.headers["X-Content-Type-Options"])

    assert assets
    assert [True] == [worker["status"] for worker in workers]
    assert re.fullmatch(r"chat-\d+@.+", workers[0]["hostname"])
    assert {"chat.answer"} == {task["name"] for task in json.loads(tasks)["data"]} - {None}
    assert {task["state"] for task in json.loads(tasks)["data"]} <= {"RECEIVED", "STARTED", "SUCCESS"}
    for shown in (json.dumps(workers), tasks, details):
        assert secret not in shown
        assert "Bearer" not in shown


TASKS = "/tasks/datatable?draw=1&start=0&length=100&search[value]=&order[0][column]=0&order[0][dir]=desc&columns[0][data]=name"
