"""Claims and lists of webhook deliveries read their page and not their table. What is rare is the oldest here."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from schema.ids import new_id
from schema.postgres.connections import Db, Pool, fetch_all, pool_for, system_tx, tenant_tx
from schema.queries.webhooks.deliveries import DeliveryFilter, list_deliveries
from schema.queries.webhooks.outbox import claim_deliveries
from tests.conftest import TestTenant, make_tenant

ROWS, RARE, PAGE = 6_000, 30, 20
PER_PAGE = 5 * RARE + 20
"""Rows that a page may read: one page of each state, or a job's few deliveries for each."""

ADD = """
INSERT INTO webhook_deliveries
  (tenant_id, id, event_id, endpoint_id, lane, type, sequence, data, job_id, state, ended_at, next_at)
SELECT %(tenant)s, uuidv7(), uuidv7(), CASE WHEN n <= %(rare)s THEN %(rare_endpoint)s::uuid ELSE %(endpoint)s::uuid END, 'dead',
  CASE WHEN n <= %(rare)s THEN 'job.failed' ELSE 'job.succeeded' END, n, '{}',
  CASE WHEN n <= %(rare)s THEN %(rare_endpoint)s::uuid END, CASE WHEN n <= %(rare)s THEN 'exhausted' ELSE %(state)s END,
  now(), now() FROM generate_series(1, %(rows)s) n
"""
READ = """
SELECT coalesce(seq_scan, 0) AS scans, coalesce(idx_tup_fetch, 0) AS rows FROM pg_stat_xact_user_tables
WHERE relname = 'webhook_deliveries'
"""
RARE_ENDPOINT, ENDPOINT = new_id(), new_id()
ADD_ENDPOINT = (
    "INSERT INTO webhook_endpoints (tenant_id, id, url, events, key_id, sealed) VALUES (%s, %s, 'u', '[]', 'k', 's')"
)


@pytest.fixture(scope="module", params=["delivered", "pending"])
def crowded(database_url: str, request: pytest.FixtureRequest) -> TestTenant:
    tenant = make_tenant(database_url)
    values: dict[str, Any] = {"tenant": tenant.id, "rows": ROWS, "rare": RARE, "state": request.param}
    with psycopg.connect(database_url, autocommit=True) as db:
        for endpoint_id in (RARE_ENDPOINT, ENDPOINT):
            db.execute(ADD_ENDPOINT, (tenant.id, endpoint_id))
        db.execute(ADD, values | {"rare_endpoint": RARE_ENDPOINT, "endpoint": ENDPOINT})
        db.execute("ANALYZE")
    return tenant


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=1) as opened:
        yield opened


async def rows_read(db: Db) -> int:
    (row,) = await fetch_all(db, READ, {})
    assert not row["scans"], "it was read from end to end"
    return row["rows"]


FILTERS = {
    "all": DeliveryFilter(),
    "of an endpoint": DeliveryFilter(endpoint_id=RARE_ENDPOINT),
    "of a crowded endpoint in a rare state": DeliveryFilter(endpoint_id=ENDPOINT, states=["exhausted"]),
    "in a rare state": DeliveryFilter(states=["exhausted"]),
    "of a rare type": DeliveryFilter(types=["job.failed"]),
    "of a job": DeliveryFilter(job_id=RARE_ENDPOINT),
    "since never": DeliveryFilter(since=datetime.now(UTC) + timedelta(days=1)),
    "until long ago": DeliveryFilter(until=datetime.now(UTC) - timedelta(days=1)),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_a_page_costs_its_length(crowded: TestTenant, pool: Pool, name: str) -> None:
    async with tenant_tx(pool, crowded.id) as db:
        before = await rows_read(db)
        found = await list_deliveries(db, crowded.id, FILTERS[name], limit=PAGE)
        read = await rows_read(db) - before
    assert len(found) in (0, PAGE)
    assert read <= PER_PAGE


async def test_a_claim_costs_what_it_takes_however_much_waits(database_url: str, crowded: TestTenant) -> None:
    async with pool_for(database_url, "headrace_system", max_size=1) as system_pool, system_tx(system_pool) as db:
        before = await rows_read(db)
        claimed = await claim_deliveries(
            db, owner="w@x/1/1", lease_s=40, room=100, slow_room=50, per_tenant=20, slow=[], held=[]
        )
        read = await rows_read(db) - before
    assert [] == [one for one in claimed if not isinstance(one.id, UUID)]
    assert len(claimed) <= 2 * 2
    assert read <= 50
