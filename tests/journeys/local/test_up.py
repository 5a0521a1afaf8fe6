"""`up`, started twice over one folder, since a start takes long. Whatever it writes is for its own user only, under whatever
umask; and it keeps its own Postgres and Valkey running: killed, they come back, and so do chats.
"""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.journeys.client import Client
from tests.journeys.conftest import run
from tests.journeys.local.up_process import Up
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "home"


@pytest.fixture(scope="module")
def left_by_the_first(home: Path) -> tuple[set[str], list[str]]:
    """What the first start and an upload left in the folder, and what of it others may use; then others may use all of it."""
    with Up(home, umask=0o000) as up:
        run(upload(up, b"The gate is green."))
        left = set(os.listdir(home)), list(open_to_others(home))
    for path in (home, *home.rglob("*")):
        if "postgres" not in path.relative_to(home).parts:  # Postgres itself refuses to start in an open folder
            path.chmod(path.stat().st_mode | 0o055)
    return left


@pytest.fixture(scope="module")
def up(home: Path, left_by_the_first: object) -> Iterator[Up]:
    with Up(home, umask=0o022, HEADRACE_OFFLINE_TOKENS_PER_S="10", HEADRACE_LEASE_S="8") as running:
        yield running


def test_nobody_else_can_read_what_a_start_and_an_upload_leave(left_by_the_first: tuple[set[str], list[str]]) -> None:
    names, open_ones = left_by_the_first
    assert {"files", "logs", "lock", "postgres", "valkey", "demo.key", "state.json"} <= names
    assert [] == open_ones


async def test_what_older_versions_left_readable_is_closed_at_the_next_start(home: Path, up: Up) -> None:
    assert [] == list(open_to_others(home))
    await upload(up, b"The gate is red.")
    assert [] == list(open_to_others(home))


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


async def test_a_stopped_worker_is_replaced_and_what_waits_for_it_is_answered(up: Up) -> None:
    async with Client(up.url, up.headers) as client:
        stopped = next(each for each in psutil.Process(up.process.pid).children() if each.cmdline()[-1] == "chat")
        stopped.suspend()
        _, job = await client.post("/api/chat", {"message": "What is 6 × 7?"}, Prefer="respond-async")

        assert "succeeded" == (await client.ended(job["job_id"]))["state"]
    assert f"chat (process {stopped.pid}) is stopped (SIGSTOP), and has said nothing for " in up.output


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


async def upload(up: Up, content: bytes) -> None:
    async with Client(up.url, up.headers) as client:
        answer = await client.upload({"note.md": content})
        await client.ended(answer["job_id"])


def open_to_others(home: Path) -> Iterator[str]:
    """What group or others may read, write or enter."""
    for path in (home, *home.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077:
            yield f"{oct(stat.S_IMODE(mode))} {path.relative_to(home)}"
