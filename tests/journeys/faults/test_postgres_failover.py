"""The primary is killed and its standby promoted: streams go on, nothing that was accepted is lost, no process starts again."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from api.local.stores.local_stores import Stores, open_stores
from schema.errors import Unavailable
from schema.installation.migrate import migrate
from schema.postgres.connections import Pool, pool_for, tenant_tx
from tests.chaos.proxy import Proxy
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.behaviours import text
from tests.journeys.client import Client, assert_complete
from tests.journeys.conftest import keep_commits, running
from tests.postgres_pair import PostgresPair, postgres_pair
from tests.secret import SECRET_KEY
from tests.system import ROOT, ModelProcess, System
from tests.waiting import eventually, wait_for

Pair = tuple[Stores, PostgresPair]
TRIES = 15
SUCCEEDED: LiteralString = "SELECT count(*) FILTER (WHERE outcome = 'succeeded') FROM attempts WHERE job_id = %s"
ANSWERS: LiteralString = "SELECT count(*) FROM messages WHERE job_id = %s AND role = 'assistant'"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A Postgres and a standby that its commits wait for."""
    folder = tmp_path_factory.mktemp("primary")
    with open_stores(folder, durable=False) as stores:
        assert stores.postgres is not None
        with postgres_pair(stores.postgres, tmp_path_factory.mktemp("standby")) as both:
            migrate(both.url)
            keep_commits(both.url)
            both.repair()
            yield stores, both


@pytest.fixture
def tenant(pair: Pair) -> TestTenant:
    return make_tenant(pair[1].url)


def ask(pair: PostgresPair, sql: LiteralString, job_id: str) -> list[tuple[object, ...]]:
    with psycopg.connect(pair.url) as db:
        return db.execute(sql, (UUID(job_id),)).fetchall()


@pytest.fixture
def system(pair: Pair, provider: ModelProcess, tmp_path: Path) -> Iterator[System]:
    stores, both = pair
    with running(System(both.url, stores.redis_url, folder=tmp_path, model_url=provider.base_url)) as started:
        yield started


async def test_a_stream_and_what_was_accepted_outlive_a_failover(
    pair: Pair, tenant: TestTenant, system: System
) -> None:
    _, both = pair
    pids = {name: process.pid for name, process in system.processes.items()}
    async with Client(system.url, tenant.headers) as client:
        stream = await client.ask("text-100-at-25")
        await stream.until("message.delta", 10)
        status, accepted = await client.post(
            "/api/chat", {"message": "And this.", "model": "openai/text-5"}, Prefer="respond-async"
        )
        assert 202 == status
        both.fail_over()

        assert text(100) == assert_complete(await stream.rest())

        async def is_done() -> bool:
            job = await client.get(f"/api/jobs/{accepted['job_id']}")
            return job.get("state") == "succeeded"

        await wait_for(is_done, "what was accepted before the failover was done after it")
    both.repair()
    assert pids == {name: process.pid for name, process in system.processes.items() if process.poll() is None}
    for job_id in (stream.job_id, accepted["job_id"]):
        assert [("succeeded",)] == ask(both, "SELECT state FROM jobs WHERE id = %s", str(job_id))
    assert [(1,)] == ask(both, "SELECT tries FROM jobs WHERE id = %s", str(stream.job_id))


async def test_an_attempt_whose_claim_the_failover_lost_is_done_once_more_and_told_once(
    pair: Pair, tenant: TestTenant, system: System
) -> None:
    """The claim doesn't wait for the standby. Nothing is flushed but by commits, so it isn't even sent before the kill, unless
    another process commits in between: then the primary is killed once more."""
    _, both = pair
    lost = 0
    both.set("wal_writer_delay = '10s'")
    for _ in range(TRIES):
        async with Client(system.url, tenant.headers) as client:
            stream = await client.ask("text-60-at-25")
            await stream.until("message.delta", 1)
            both.fail_over()
            lost += ask(both, "SELECT state FROM jobs WHERE id = %s", stream.job_id) == [("dispatched",)]
            events = await stream.rest()
        both.repair()
        assert text(60) == assert_complete(events)
        assert 1 == sum(event.type == "job.succeeded" for event in events)
        assert [(1,)] == ask(both, SUCCEEDED, stream.job_id)
        assert [(1,)] == ask(both, ANSWERS, stream.job_id)
        if lost:
            return
    raise AssertionError(f"no failover of {TRIES} lost a claim, so nothing was tried")


async def test_a_pool_leaves_a_server_that_takes_no_writes_with_all_its_connections(
    pair: Pair, tenant: TestTenant
) -> None:
    """An address that leads to a standby first and to the primary then, while the connections to the standby live on. Only one
    of them is tried: the others would each have failed a request, and would have read what is old until then."""
    _, both = pair
    async with Proxy(both.standby.port) as proxy:
        through = both.primary.url.replace(f":{both.primary.port}/", f":{proxy.port}/")
        async with pool_for(through, "headrace_app", max_size=4, kept=4) as pool:  # which the proxy must outlive
            assert [True] * 4 == await _are_standbys(pool, tenant)
            proxy.lead_to(both.primary.port, cut=False)
            with pytest.raises(Unavailable):
                async with tenant_tx(pool, tenant.id) as db:
                    await db.execute("UPDATE sessions SET title = title WHERE false")
            await eventually(lambda: _are_standbys(pool, tenant), [False] * 4)


async def _are_standbys(pool: Pool, tenant: TestTenant) -> list[bool]:
    """Whether each of the pool's four connections leads to a standby."""
    all_taken = asyncio.Barrier(4)

    async def ask_one() -> bool:
        async with tenant_tx(pool, tenant.id) as db:
            row = await (await db.execute("SELECT pg_is_in_recovery() AS standby")).fetchone()
            await all_taken.wait()
        return row is not None and row["standby"]

    return await asyncio.gather(*(ask_one() for _ in range(4)))


def test_an_operators_commands_find_the_primary_by_the_url_of_both(pair: Pair, tmp_path: Path) -> None:
    """`migrate`, `doctor` and `backup`, wherever the primary is among the two."""
    stores, both = pair
    env = {
        **os.environ,
        "HEADRACE_DATABASE_URL": both.url,
        "HEADRACE_REDIS_URL": stores.redis_url,
        "HEADRACE_SECRET_KEYS": SECRET_KEY,
        "HEADRACE_HOME": str(tmp_path / "home"),
        "HEADRACE_STORAGE": str(tmp_path / "files"),
    }
    backup = tmp_path / "backup.tar"
    said = dict[str, str]()
    for command in (("migrate",), ("backup", str(backup)), ("doctor", "--production")):
        done = subprocess.run(
            [sys.executable, "-m", "api", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        said[command[0]] = done.stdout + done.stderr
        assert "Traceback" not in said[command[0]]
    assert backup.exists(), said["backup"]
    for server in (both.primary, both.standby):
        assert f"127.0.0.1:{server.port} accepts connections" in said["doctor"]
    assert "commits wait for a standby" in said["doctor"]
