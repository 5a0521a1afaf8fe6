"""The gauges of what waits in Postgres."""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from schema.errors import Unavailable
from schema.ids import first_id, new_id
from schema.metrics.catalog import JOBS_IN_STATE, OLDEST_WAITING, POSTGRES_UP
from schema.postgres.connections import Pool, pool_for
from tests.conftest import TestTenant, make_tenant
from workers.health.backlog import REST, BacklogFigures


@pytest.fixture
async def system_pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_system", max_size=2) as opened:
        yield opened


def value(family: Any, *labels: str) -> float:
    return family.of(*labels)._value.get()


def add_job(database_url: str, tenant: TestTenant, kind: str, state: str, *, ago_s: float, **columns: Any) -> None:
    """Insert a job that was submitted so many seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    values = {"id": first_id(at) if ago_s > 86_400 else new_id(), "kind": kind, "queue": kind, "state": state}
    values |= {"tenant_id": tenant.id, "created_at": at, "run_at": at, **columns}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    sql = (
        f"INSERT INTO jobs ({names}, priority, payload, deadline_at, max_tries) VALUES ({places}, 5, '{{}}', now(), 3)"
    )
    with psycopg.connect(database_url) as db:
        db.execute(sql, values)


async def test_what_waits_of_all_tenants_is_counted(system_pool: Pool, database_url: str, tenant: TestTenant) -> None:
    other = make_tenant(database_url)
    for owner, state, ago_s in (
        (tenant, "queued", 100),
        (other, "queued", 40),
        (other, "dispatched", 5),
        (tenant, "running", 900),
    ):
        add_job(database_url, owner, "chat", state, ago_s=ago_s)
    add_job(database_url, tenant, "chat", "queued", ago_s=5000, parked=True)
    add_job(database_url, tenant, "chat", "queued", ago_s=10, run_at=datetime.now(UTC) + timedelta(hours=1))
    for ago_s in (10, 3600, 3 * 86_400):
        add_job(database_url, tenant, "pipeline", "failed", ago_s=ago_s)
    await BacklogFigures(system_pool).measure()
    counted = {state: value(JOBS_IN_STATE, "chat", state) for state in ("queued", "dispatched", "running", "dead")}
    assert {"queued": 4, "dispatched": 1, "running": 1, "dead": 0} == counted
    assert 2 == value(JOBS_IN_STATE, "pipeline", "dead")
    assert 100 <= value(OLDEST_WAITING, "chat") < 900
    assert (0, 1) == (value(OLDEST_WAITING, "pipeline"), value(POSTGRES_UP))
    with autoscaler(database_url) as db:
        assert (4, 0) == db.execute("SELECT queue_load('chat'), queue_load('pipeline')").fetchone()


@contextmanager
def autoscaler(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as one that may ask for the load of a queue; its role is gone at the end."""
    with psycopg.connect(database_url) as db:
        db.execute("CREATE ROLE headrace_scaler")
        db.execute("GRANT EXECUTE ON FUNCTION queue_load(text) TO headrace_scaler")
        db.execute("SET LOCAL ROLE headrace_scaler")
        yield db
        db.rollback()


@pytest.mark.parametrize(
    "asked", ["SELECT id FROM jobs", "RESET ROLE; SET LOCAL ROLE headrace_app; SELECT queue_load('chat')"]
)
def test_an_autoscaler_learns_the_load_and_nothing_else_and_tenants_do_not(database_url: str, asked: str) -> None:
    with autoscaler(database_url) as db, pytest.raises(psycopg.errors.InsufficientPrivilege, match="denied"):
        db.execute(asked)


async def test_figures_are_missing_while_postgres_is_away(database_url: str) -> None:
    nowhere = pool_for(database_url.replace("@127.0.0.1", "@127.0.0.9"), "headrace_system", max_size=1, name="nowhere")
    await nowhere.open()
    try:
        with pytest.raises(Unavailable):
            await BacklogFigures(nowhere).measure()
    finally:
        await nowhere.close()
    assert 0 == value(POSTGRES_UP)
    assert math.isnan(value(JOBS_IN_STATE, "chat", "queued"))
    assert math.isnan(value(OLDEST_WAITING, "chat"))


async def test_a_slow_query_is_asked_less_often(system_pool: Pool) -> None:
    times = iter((0.0, 2.0, 2.0 * REST))
    asked = list[float]()

    def clock() -> float:
        asked.append(next(times))
        return asked[-1]

    figures = BacklogFigures(system_pool, clock)
    await figures.measure()  # from 0 to 2 s
    await figures.measure()
    assert 3 == len(asked), "the second call only asked for the time"
