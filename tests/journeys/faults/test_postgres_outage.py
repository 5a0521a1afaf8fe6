"""Without Postgres nothing is accepted, and everything works again when it is back, in the same processes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import psycopg
import pytest

from api.local.processes import descendants
from api.local.stores.local_stores import Stores
from schema.identity.api_keys import new_api_key
from tests.conftest import make_tenant
from tests.counterparts.behaviours import text
from tests.journeys.agent_setup import add_agent, add_http_tool, script
from tests.journeys.client import Client, assert_complete
from tests.system import ModelProcess, System
from tests.waiting import PATIENCE_S, eventually, wait_for

Fragile = tuple[Stores, System]
ASK = {"message": "Tell me.", "model": "openai/text-5"}


@pytest.fixture(autouse=True)
async def mended(fragile: Fragile) -> AsyncIterator[None]:
    """Postgres runs again after each test, whatever became of it, and the API knows."""
    yield
    stores, system = fragile
    assert stores.postgres is not None
    stores.postgres.start()
    async with Client(system.url, {"Authorization": f"Bearer {new_api_key()}"}) as stranger:
        await eventually(lambda: status_of(stranger, "/api/jobs"), 401)


async def test_a_request_without_postgres_is_told_when_to_come_again(fragile: Fragile, fragile_client: Client):
    stores, system = fragile
    pids = {name: process.pid for name, process in system.processes.items()}
    stores.postgres.kill()
    async with fragile_client.http.post("/api/chat", json=ASK) as answer:
        assert (503, True) == (answer.status, int(answer.headers["Retry-After"]) > 0)
        assert "unavailable" == (await answer.json(content_type=None))["code"]
    async with fragile_client.http.post(
        "/v1/chat/completions", json={"model": "openai/text-5", "messages": [{"role": "user", "content": "?"}]}
    ) as answer:
        assert 503 == answer.status
        assert "error" in await answer.json()
    stores.postgres.start()

    async def is_accepted() -> bool:
        status, _ = await fragile_client.post("/api/chat", ASK)
        return status == 200

    await wait_for(is_accepted, "the same processes answer again")
    assert pids == {name: process.pid for name, process in system.processes.items() if process.poll() is None}


async def test_a_running_job_survives_a_restart_of_postgres(fragile: Fragile, fragile_client: Client):
    stores, _ = fragile
    stream = await fragile_client.ask("text-60-at-50")
    await stream.until("message.delta", 10)
    stores.postgres.kill()
    await stream.until("message.delta", 40)
    stores.postgres.start()

    assert text(60) == assert_complete(await stream.rest())
    assert "succeeded" == (await fragile_client.job(stream.job_id))["state"]


@contextmanager
def frozen(pid: int) -> Generator[None]:
    """Nothing of the process and those below it runs, and their connections stay."""
    pids = [pid, *descendants(pid)]
    for each in pids:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in pids:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


async def test_a_frozen_postgres_makes_no_live_worker_a_lost_one(fragile: Fragile, fragile_client: Client):
    """For longer than a lease, and without an error: whoever asks is answered when it goes on."""
    stores, _ = fragile
    assert stores.postgres is not None
    assert stores.postgres.pid is not None
    stream = await fragile_client.ask("text-400-at-40")
    await stream.until("message.delta", 10)
    with frozen(stores.postgres.pid):
        await asyncio.sleep(14)
    assert text(400) == assert_complete(await stream.rest())
    with psycopg.connect(stores.database_url) as db:
        sql = "SELECT outcome FROM attempts WHERE job_id = %s"
        assert [("succeeded",)] == db.execute(sql, (stream.job_id,)).fetchall()


async def test_a_frozen_postgres_is_a_503_and_what_is_sent_again_is_done_once(fragile: Fragile, fragile_client: Client):
    """All is answered while Postgres stands still, and what of it had arrived there is done when it goes on."""
    stores, _ = fragile
    assert stores.postgres is not None
    assert stores.postgres.pid is not None
    keyed = {"Idempotency_Key": "frozen", "Prefer": "respond-async"}

    async def accept() -> int:
        return (await fragile_client.post("/api/chat", ASK, **keyed))[0]

    assert 200 == await status_of(fragile_client, "/api/jobs")
    with frozen(stores.postgres.pid):
        assert [503] * 2 == await asyncio.gather(accept(), status_of(fragile_client, "/api/jobs"))
        await eventually(lambda: status_of(fragile_client, "/health/ready"), 503)
    await eventually(accept, 202)
    [job] = (await fragile_client.get("/api/jobs"))["items"]
    await eventually(lambda: state_of(fragile_client, job["id"]), "succeeded")


async def status_of(client: Client, path: str) -> int:
    async with client.http.get(path) as answer:
        assert answer.status != 503 or int(answer.headers["Retry-After"]) > 0
        return answer.status


async def state_of(client: Client, job_id: str) -> str:
    return (await client.job(job_id))["state"]


@asynccontextmanager
async def counting_tool() -> AsyncIterator[tuple[str, list[str], asyncio.Event, asyncio.Event]]:
    """An HTTP service: its address, the paths that were called, an event for the first call, and one that lets calls end."""
    paths: list[str] = []
    called, may_end = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        paths.append(head.split()[1].decode())
        called.set()
        await may_end.wait()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", paths, called, may_end


async def test_an_agent_outlasts_an_outage_between_its_tools(fragile: Fragile, provider: ModelProcess) -> None:
    """Ten seconds, which is longer than its lease and than a request waits for a connection."""
    stores, system = fragile
    tenant = make_tenant(stores.database_url)
    async with counting_tool() as (address, paths, called, may_end), Client(system.url, tenant.headers) as client:
        for name in ("open", "shut"):
            add_http_tool(stores.database_url, tenant, name, f"{address}/{name}/{{gate}}")
        add_agent(stores.database_url, tenant, "Gates", graph="react", tools=["open", "shut"])
        await script(
            provider.url,
            "gates",
            {"calls": [["open", {"gate": "1"}]]},
            {"calls": [["shut", {"gate": "2"}]]},
            {"behaviour": "text-5"},
        )
        stream = await client.ask("gates", "Open the first gate, then confirm shut.", agent="Gates")
        await asyncio.wait_for(called.wait(), PATIENCE_S)
        stores.postgres.kill()
        back_at = time.monotonic() + 10
        may_end.set()  # and now nothing that it brought can be noted
        await wait_for(lambda: time.monotonic() > back_at, "ten seconds have passed")
        stores.postgres.start()
        events = await stream.rest()

    assert text(5) == assert_complete(events)
    assert ["/open/1", "/shut/2"] == paths
    assert "job.restarted" not in [event.type for event in events]
    with psycopg.connect(stores.database_url) as db:
        sql = "SELECT j.tries, a.outcome FROM jobs j JOIN attempts a ON a.job_id = j.id WHERE j.id = %s"
        assert [(1, "succeeded")] == db.execute(sql, (stream.job_id,)).fetchall()
