"""Redis' master is killed, and sentinels promote its replica: streams go on there, and new jobs run, without a restart."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import make_tenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.journeys.conftest import running
from tests.sentinels import WatchedValkey, watched_valkey
from tests.system import ModelProcess, System


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedValkey]:
    with watched_valkey(tmp_path_factory.mktemp("watched")) as opened:
        yield opened


@pytest.fixture(scope="module")
def watched(
    database_url: str, servers: WatchedValkey, provider: ModelProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    with running(System(database_url, servers.url, folder=folder, model_url=provider.base_url)) as system:
        yield system


@pytest.fixture
async def user(database_url: str, watched: System) -> AsyncIterator[Client]:
    async with Client(watched.url, make_tenant(database_url).headers) as opened:
        yield opened


async def test_streams_go_on_and_new_jobs_run_at_the_new_master(
    servers: WatchedValkey, watched: System, user: Client
) -> None:
    before, master = {name: process.pid for name, process in watched.processes.items()}, servers.master_port
    streams = [await user.ask("text-400-at-40") for _ in range(4)]
    for stream in streams:
        await stream.until("message.delta", 20)

    servers.kill()
    during = [await user.submit("text-10") for _ in range(5)]
    late = await user.follow(streams[0].job_id)
    told = await asyncio.gather(*(stream.rest() for stream in (*streams, late)))

    assert [text(400)] * 5 == [assert_complete(events) for events in told]
    assert master != servers.master_port
    ended = [await user.ended(job["job_id"]) for job in during]
    assert [("succeeded", text(10))] * 5 == [(job["state"], job["result"]["text"]) for job in ended]
    assert text(30) == assert_complete(await (await user.ask("text-30-at-60")).rest())
    assert before == {name: process.pid for name, process in watched.processes.items()}
    assert [None] * len(before) == [process.poll() for process in watched.processes.values()]
    servers.start()
