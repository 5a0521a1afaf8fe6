"""Documents in, answers with sources out; and what a kill, a deploy or a cancel in the middle of a batch does: nothing that the
person who uploaded it would notice."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import psycopg
import pytest

from tests.conftest import TestTenant, make_tenant
from tests.journeys.client import Client
from tests.system import System
from tests.waiting import PATIENCE_S, wait_for

FILES = 500 if os.environ.get("HEADRACE_TESTS") == "full" else 16
KILLS = 12 if FILES == 500 else 2
OFFLINE = "offline/extractive"
HANDBOOK = b"""# Handbook

## Leave

Everybody has 24 working days of paid leave a year.

## Business trips

Trips abroad are approved by the managing director.
"""


def letters(count: int) -> dict[str, bytes]:
    """Files of a few passages; every tenth says the same as the one before."""
    files = {}
    for number in range(count):
        same = number - 1 if number % 10 == 9 else number
        lines = [f"Letter {same}, part {part}. " + "The mill pays its invoices in time. " * 10 for part in range(4)]
        files[f"letters/{number:03}.txt"] = "\n\n".join(lines).encode()
    return files


@pytest.fixture
async def other(system: System, shared_url: str) -> AsyncIterator[tuple[TestTenant, Client]]:
    """Another tenant, for a quiet run of the same files."""
    tenant = make_tenant(shared_url)
    async with Client(system.url, tenant.headers) as opened:
        yield tenant, opened


def count(database_url: str, tenant: TestTenant) -> dict[str, Any]:
    """What a tenant's documents came to."""
    sql = """SELECT (SELECT count(*) FROM document_versions WHERE tenant_id = %(t)s AND state = 'ready') AS ready,
      (SELECT sum(embedded) FROM document_versions WHERE tenant_id = %(t)s) AS embedded,
      (SELECT count(*) FROM chunks WHERE tenant_id = %(t)s) AS chunks,
      (SELECT count(*) FROM chunk_vectors WHERE tenant_id = %(t)s) AS vectors,
      (SELECT count(*) FROM chunk_drafts WHERE tenant_id = %(t)s) AS drafts"""
    with psycopg.connect(database_url, row_factory=psycopg.rows.dict_row) as db:
        row = db.execute(sql, {"t": tenant.id}).fetchone()
        assert row is not None
        return row


async def test_an_answer_says_where_it_comes_from(system: System, client: Client, worker: str) -> None:
    taken = await client.upload({"handbook.md": HANDBOOK}, collection="handbook")
    async with await client.follow(taken["job_id"]) as stream:
        told = await stream.rest()
    assert ["document.ready"] == [event.type for event in told if event.type.startswith("document.")]

    asked = {"message": "How many working days of paid leave are there?", "model": OFFLINE, "collections": ["handbook"]}
    status, answer = await client.post("/api/chat", asked)
    assert 200 == status, answer
    assert "24 working days" in answer["text"]
    (first, *_) = answer["citations"]
    assert (1, taken["documents"][0]["id"]) == (first["number"], first["document_id"])
    assert "24 working days" in first["passage"]
    assert "Handbook > Leave" == first["heading"]
    stored = await client.get(f"/api/sessions/{answer['session_id']}/messages")
    assert answer["citations"] == stored["items"][-1]["citations"]


async def test_what_is_not_in_the_documents_is_said_not_to_be(system: System, client: Client, worker: str) -> None:
    taken = await client.upload({"handbook.md": HANDBOOK}, collection="handbook")
    async with await client.follow(taken["job_id"]) as stream:
        await stream.rest()
    status, found = await client.post("/api/search", {"query": "Which volcano erupted in Iceland last spring?"})
    assert (200, False) == (status, found["found"]), found
    asked = {"message": "Which volcano erupted in Iceland last spring?", "model": OFFLINE, "collections": ["handbook"]}
    status, answer = await client.post("/api/chat", asked)
    assert (200, True) == (status, "That is not in the documents." in answer["text"]), answer
    assert not answer.get("citations"), "what is nearest is named, and is no source of an answer"
    status, found = await client.post("/api/search", {"query": "who approves trips to other countries"})
    assert (200, True) == (status, found["found"]), found
    assert "managing director" in found["passages"][0]["text"]


async def test_killed_workers_leave_every_file_exactly_once(
    system: System,
    client: Client,
    tenant: TestTenant,
    other: tuple[TestTenant, Client],
    shared_url: str,
    worker: str,
) -> None:
    files = letters(FILES)
    names = [worker, "ingestion2"]
    system.start("ingestion2")
    await system.ready("ingestion2")
    taken = await client.upload(files)
    chance = random.Random(7)

    def has_ready(goal: int) -> bool:
        return count(shared_url, tenant)["ready"] >= goal

    async def kill_now_and_then() -> None:
        for number in range(1, KILLS + 1):
            goal = FILES * number // (KILLS + 2)
            await wait_for(partial(has_ready, goal), f"{goal} files are ready")
            name = chance.choice(names)
            system.kill(name)
            system.start(name)

    async with await client.follow(taken["job_id"]) as stream:
        killer = asyncio.create_task(kill_now_and_then())
        told = await stream.rest()
        await killer
    assert "job.succeeded" == told[-1].type

    quiet_tenant, quiet = other
    for name in names:
        await system.ready(name)
    quietly = await quiet.upload(files)
    async with await quiet.follow(quietly["job_id"]) as stream:
        await stream.rest()
    assert count(shared_url, quiet_tenant) == count(shared_url, tenant)
    assert FILES == count(shared_url, tenant)["ready"]
    restarts = [event.data["discard_after"] for event in told if event.type == "job.restarted"]
    last = max((event.seq for event in told if event.type == "job.restarted"), default=0)
    final = Counter(e.data["document_id"] for e in told if e.type == "document.ready" and e.seq > last)
    assert FILES == len(final), restarts
    assert {1} == set(final.values())


async def test_a_deploy_in_the_middle_of_a_batch_spends_no_try(
    system: System, client: Client, tenant: TestTenant, shared_url: str, worker: str
) -> None:
    taken = await client.upload(letters(12))
    await wait_for(lambda: count(shared_url, tenant)["ready"] >= 2, "the batch is under way")
    system.kill(worker, signal.SIGTERM)
    system.start("ingestion2")
    async with await client.follow(taken["job_id"]) as stream:
        told = await stream.rest()
    assert "job.succeeded" == told[-1].type
    job = await client.job(taken["job_id"])
    assert "succeeded" == job["attempts"][-1]["outcome"]
    assert {"handed_back"} >= {attempt["outcome"] for attempt in job["attempts"][:-1]}
    with psycopg.connect(shared_url) as db:
        tries = db.execute("SELECT max(tries) FROM document_versions WHERE tenant_id = %s", (tenant.id,)).fetchone()
    assert (1,) == tries
    await asyncio.to_thread(system.processes[worker].wait, PATIENCE_S)


async def test_a_batch_that_is_cancelled_keeps_what_is_finished(
    system: System, client: Client, tenant: TestTenant, shared_url: str, worker: str
) -> None:
    taken = await client.upload(letters(20))
    await wait_for(lambda: count(shared_url, tenant)["ready"] >= 2, "the batch is under way")
    status, _ = await client.post(f"/api/jobs/{taken['job_id']}/cancel")
    assert status in (200, 202)
    async with await client.follow(taken["job_id"]) as stream:
        told = await stream.rest()
    assert "job.cancelled" == told[-1].type
    found = await client.get("/api/documents?limit=100")
    states = Counter(one["state"] for one in found["items"])
    assert {"ready", "cancelled"} == set(states)
    assert 20 == states.total()
    status, _ = await client.post(f"/api/jobs/{taken['job_id']}/retry")
    assert status in (200, 202)
    async with await client.follow(taken["job_id"]) as stream:
        await stream.rest()
    await wait_for(lambda: count(shared_url, tenant)["ready"] == 20, "the others are read too")


async def test_another_embedder_takes_over_while_searches_go_on(system: System, shared_url: str, worker: str) -> None:
    owner = make_tenant(shared_url, role="owner")
    async with Client(system.url, owner.headers) as client:
        taken = await client.upload(letters(10))
        async with await client.follow(taken["job_id"]) as stream:
            await stream.rest()
        async with client.http.patch("/api/collections/default", json={"embedder": "openai/small"}) as answer:
            changed = await answer.json()
            assert 200 == answer.status, changed
        async with await client.follow(changed["job_id"]) as stream:
            ending = asyncio.create_task(stream.rest())
            found = []
            while not ending.done():
                found.append((await client.post("/api/search", {"query": "when are invoices paid"}))[1]["passages"])
            assert "job.succeeded" == ending.result()[-1].type
        assert all(found)
        after = await client.get("/api/collections/default")
        assert ("openai/small", None) == (after["embedder"], after["reembedding"])
        status, searched = await client.post("/api/search", {"query": "when are invoices paid", "mode": "vector"})
        assert 200 == status, searched
        assert searched["passages"]
    numbers = count(shared_url, owner)
    assert numbers["chunks"] == numbers["vectors"]


async def test_what_is_read_does_not_count_against_the_tokens_of_chats(
    system: System, client: Client, tenant: TestTenant, shared_url: str, worker: str
) -> None:
    with psycopg.connect(shared_url) as db:
        db.execute("UPDATE tenants SET tokens_per_minute = 3000 WHERE id = %s", (tenant.id,))
    taken = await client.upload(letters(12))
    async with await client.follow(taken["job_id"]) as stream:
        told = await stream.rest()
    used = next(event.data["input_tokens"] for event in told if event.type == "usage.recorded")
    assert used > 3000
    status, answer = await client.post("/api/chat", {"message": "Hello!", "model": OFFLINE})
    assert 200 == status, answer
