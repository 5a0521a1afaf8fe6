"""`up` keeps its own Postgres and Valkey running: killed, they come back, and so do chats."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.journeys.client import Client
from tests.journeys.local.up_process import Up
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("up") / "home", HEADRACE_OFFLINE_TOKENS_PER_S="10") as running:
        yield running


@pytest.mark.parametrize(("store", "program"), [("valkey", "valkey-server"), ("postgres", "postgres")])
async def test_a_killed_store_is_started_again_and_an_open_stream_goes_on(up: Up, store: str, program: str) -> None:
    async with Client(up.url, up.headers) as client:
        async with client.http.post(
            "/api/chat", json={"message": QUESTION}, headers={"Accept": "text/event-stream"}
        ) as answer:
            await answer.content.readuntil(b"event: message.delta")
            before = server(up, program)
            os.kill(before.pid, signal.SIGKILL)
            rest = (await answer.content.read()).decode()

        assert "event: job.succeeded" in rest
        await wait_for(lambda: f"{store} answers again." in up.output, f"{store} is back")
        assert f"{store} was killed by SIGKILL; restarting now." in up.output
        assert before.pid != server(up, program).pid
        await wait_for(lambda: answers(client), "a chat is answered")


QUESTION = (
    " ".join(["The gate lets the water in, and the spillway takes the flood away."] * 6) + " What does the gate do?"
)


async def answers(client: Client) -> bool:
    """Whether a new chat is accepted and answered; while a store starts, the API may say 503."""
    status, answer = await client.post("/api/chat", {"message": "What is 6 × 7?"}, Prefer="respond-async")
    if status != 202:
        return False
    return (await client.ended(answer["job_id"]))["state"] == "succeeded"


def server(up: Up, program: str) -> psutil.Process:
    return next(each for each in psutil.Process(up.process.pid).children() if each.name() == program)
