"""An outage of Postgres is two log lines of each process, however many connections and attempts it has."""

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

from schema.postgres import outage_log
from schema.postgres.connections import connection, pool_for
from schema.postgres.outage_log import STALE_S, Outage, OutageFilter
from tests.chaos.proxy import Proxy
from tests.waiting import wait_for


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    """One of the test's own, which the pools' lines go to."""
    own, logger = Outage(), logging.getLogger(outage_log.POOL_LOGGER)
    monkeypatch.setattr(outage_log, "PROCESS", own)
    kept, logger.filters = logger.filters, [OutageFilter(own)]
    yield own
    logger.filters = kept


async def test_a_restart_of_postgres_is_two_lines(
    database_url: str, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    there = urlsplit(database_url)
    assert there.port
    async with Proxy(there.port) as proxy:
        url = database_url.replace(f":{there.port}/", f":{proxy.port}/")
        pools = [pool_for(url, "headrace_app", max_size=4, name=f"outage {n}") for n in range(3)]
        for pool in pools:
            await pool.open(wait=True)
        with capture_logs() as lines:
            proxy.lead_to(1)
            for pool in pools:
                await pool.check()
            await wait_for(lambda: _is(lines, ["postgres_lost"]), "an attempt failed")
            proxy.lead_to(there.port)
            for pool in pools:
                async with connection(pool) as db:
                    await db.execute("SELECT 1")
            await wait_for(lambda: _is(lines, ["postgres_lost", "postgres_back"]), "a connection works")
        for pool in pools:
            await pool.close()
    assert [] == [record.getMessage() for record in caplog.records if record.name == outage_log.POOL_LOGGER]


async def _is(lines: list[dict[str, object]], events: list[str]) -> bool:
    return events == [line["event"] for line in lines]


def test_a_new_outage_is_told_of_again_and_its_leftovers_are_not() -> None:
    now = 0.0
    outage = Outage(lambda: now)
    with capture_logs() as lines:
        for _ in range(50):
            outage.connection_failed("refused")
        now = 3.0
        outage.connected()
        outage.connected()
        outage.connection_broke()
        now = 4.0 + STALE_S
        outage.connection_broke()
        outage.connected()
        outage.connection_failed("refused again")
    told = [(line["event"], line.get("why") or line.get("after_s")) for line in lines]
    assert [
        ("postgres_lost", "refused"),
        ("postgres_back", 3.0),
        ("postgres_lost", "a connection was closed by the server or the network"),
        ("postgres_back", 0.0),
        ("postgres_lost", "refused again"),
    ] == told


def test_other_lines_of_the_pools_pass(caplog: pytest.LogCaptureFixture, outage: Outage) -> None:
    logger = logging.getLogger(outage_log.POOL_LOGGER)
    logger.warning("task run %s failed: %s: %s", "a", "b", "c")
    logger.warning("error connecting in %r: %s", "pool", psycopg.OperationalError("refused"))
    assert ["task run a failed: b: c"] == [record.getMessage() for record in caplog.records]
