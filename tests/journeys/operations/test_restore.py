"""The restore drill: an installation is backed up while it answers, and restored on a machine that knows nothing of it. Quicker
tests, also of what is refused, are in `tests/api/local/test_backups.py`.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.local.stores.local_stores import open_stores
from tests.conftest import TestTenant, make_tenant
from tests.journeys.agent_setup import add_agent
from tests.journeys.client import Client
from tests.journeys.conftest import run
from tests.secret import SECRET_KEY
from tests.system import ROOT, ModelProcess, System
from tests.waiting import PATIENCE_S

HANDBOOK = b"# Handbook\n\n## Leave\n\nEverybody has 24 working days of paid leave a year.\n"
QUESTION = "How many days of paid leave does everybody have?"


@dataclass(frozen=True)
class Drill:
    """A backup that was made under load, the copy of its keys, and what its installation said before it."""

    file: Path
    keys: Path
    tenant: TestTenant
    answers: dict[str, Any]


@pytest.fixture(scope="module")
def drill(shared: System, shared_url: str, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    return run(make_drill(shared, shared_url, tmp_path_factory.mktemp("backup")))


async def make_drill(system: System, database_url: str, folder: Path) -> Drill:
    tenant = make_tenant(database_url, role="owner")
    add_agent(database_url, tenant, "leave", description="Leave and holidays.", examples=[QUESTION])
    if "ingestion" not in system.processes:
        system.start("ingestion")
    await system.ready("ingestion")
    async with Client(system.url, tenant.headers) as client:
        taken = await client.upload({"handbook.md": HANDBOOK}, collection="handbook")
        assert "succeeded" == (await client.ended(taken["job_id"]))["state"]
        hook = {"url": "http://127.0.0.1:9/in", "events": ["job.succeeded"]}
        assert 201 == (await client.post("/api/webhooks", hook))[0]
        chat = await client.submit("text-20", agent="leave")
        await client.ended(chat["job_id"])
        answers = await what_it_says(client, chat["session_id"])
        async with busy(client):
            await asyncio.to_thread(command, "backup", folder / "b.tar", "--keys", folder / "b.keys", env=system.env)
    return Drill(folder / "b.tar", folder / "b.keys", tenant, answers)


@contextlib.asynccontextmanager
async def busy(client: Client) -> AsyncIterator[None]:
    """Chats that are asked one after the other, some of them running at any moment; the context begins when some do."""
    asked = [0]

    async def ask() -> None:
        while True:
            async with await client.ask("text-20-at-20", "Under load.") as stream:
                await stream.until("message.delta")
                asked[0] += 1
                await stream.rest()

    tasks = [asyncio.create_task(ask()) for _ in range(4)]
    async with asyncio.timeout(PATIENCE_S):
        while asked[0] < len(tasks):
            await asyncio.sleep(0.02)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def what_it_says(client: Client, session_id: str) -> dict[str, Any]:
    """What an installation says of the things in the drill, but for what each answer has of its own."""
    status, found = await client.post("/api/search", {"query": QUESTION})
    assert status == 200, found
    documents = (await client.get("/api/documents"))["items"]
    async with client.http.get(f"/api/documents/{documents[0]['id']}/content") as content:
        assert content.status == 200
        bytes_of_it = await content.read()
    return {
        "passages": [(passage["text"], passage["document_id"]) for passage in found["passages"]],
        "documents": documents,
        "bytes": bytes_of_it,
        "session": await client.said(session_id),
        "session_id": session_id,
        "agents": sorted(agent["name"] for agent in (await client.get("/api/agents"))["items"]),
        "webhooks": (await client.get("/api/webhooks"))["items"],
    }


def command(*arguments: object, env: dict[str, str]) -> str:
    """Run a command of `./headrace` that must succeed, and return what it prints."""
    line = [sys.executable, "-m", "api", *map(str, arguments)]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def own_environment(home: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**kept, "HEADRACE_HOME": str(home), **settings}


async def test_a_machine_that_knows_nothing_gives_the_same_answers_from_a_backup_made_under_load(
    drill: Drill, provider: ModelProcess, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    said = command("restore", drill.file, "--keys", drill.keys, env=own_environment(home))
    assert "Rows and row-level security are as they were" in said
    assert "not in" not in said.replace("NOT in", "")
    assert [SECRET_KEY] == (home / "secret.keys").read_text().split()
    settings = {
        "HEADRACE_HOME": str(home),
        "HEADRACE_STORAGE": str(home / "files"),
        "HEADRACE_SECRET_KEYS": "",
        "HEADRACE_SECRET_KEYS_FILE": str(home / "secret.keys"),
    }
    with open_stores(home, durable=False) as stores:
        system = System(
            stores.database_url, stores.redis_url, folder=tmp_path, model_url=provider.base_url, settings=settings
        )
        assert count_unfinished(stores.database_url), "no chat was running"
        async with system, Client(system.url, drill.tenant.headers) as client:
            assert drill.answers == await what_it_says(client, drill.answers["session_id"])
            await assert_all_answered_once(client)


def count_unfinished(database_url: str) -> int:
    with psycopg.connect(database_url) as db:
        row = db.execute("SELECT count(*) FROM jobs WHERE finished_at IS NULL").fetchone()
        assert row is not None
        return row[0]


async def assert_all_answered_once(client: Client) -> None:
    """The chats that ran at the moment of the backup run again, and each question has one answer."""
    jobs = (await client.get("/api/jobs?kind=chat&limit=100"))["items"]
    for job in jobs:
        ended = await client.ended(job["id"])
        assert "succeeded" == ended["state"]
        assert ["user", "assistant"] == [role for role, _ in await client.said(ended["session_id"])]
