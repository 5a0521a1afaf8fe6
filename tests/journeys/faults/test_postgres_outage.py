"""Without Postgres nothing is accepted, and everything works again when it is back, in the same processes."""

import pytest

from api.local.local_stores import Stores
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.system import System
from tests.waiting import wait_for

Fragile = tuple[Stores, System]
ASK = {"message": "Tell me.", "model": "openai/text-5"}


@pytest.fixture(autouse=True)
def mended(fragile: Fragile):
    """Postgres runs again after each test, whatever became of it."""
    yield
    postgres = fragile[0].postgres
    assert postgres is not None
    postgres.start()


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
