"""Lists read their page and not their table, with every filter. What is rare is the oldest here, so that a list which walks
back until it has found enough would read everything."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from schema.ids import new_id
from schema.postgres.connections import Pool, fetch_all, pool_for, system_tx, tenant_tx
from schema.queries.jobs import job_lists
from schema.queries.jobs.attempts import RENEW, renew_values
from schema.queries.jobs.job_lists import JobFilter, list_jobs
from schema.queries.sessions import session_search
from schema.queries.sessions.sessions import list_sessions
from schema.queries.tenants.audit import list_audit
from schema.queries.tenants.retention import BATCH, delete_expired
from tests.conftest import TestTenant, make_tenant
from tests.rows_read import rows_read

ROWS, RARE, PAGE = 4_000, 30, 20
PER_PAGE = 24 * (PAGE + 1) + 100
"""Rows that a page may read: one page of each kind and state, and the first rows of a few other tables."""

SESSIONS = """
INSERT INTO sessions (tenant_id, id, title, user_id, updated_at)
SELECT %(tenant)s, uuidv7(), 'x', CASE WHEN n <= %(rare)s THEN %(user)s::uuid END, now() - make_interval(secs => %(rows)s - n)
FROM generate_series(1, %(rows)s) n"""

JOBS = """
INSERT INTO jobs
  (tenant_id, id, queue, priority, payload, max_tries, deadline_at, finished_at, kind, state, user_id, session_id)
SELECT %(tenant)s, uuidv7(), 'chat', 1, '{}', 3, now(), now(), CASE WHEN n <= %(rare)s THEN 'pipeline' ELSE 'chat' END,
  CASE WHEN n <= %(rare)s THEN 'failed' ELSE 'succeeded' END,
  CASE WHEN n <= %(rare)s THEN %(user)s::uuid END,
  CASE WHEN n <= %(rare)s THEN (SELECT id FROM sessions WHERE tenant_id = %(tenant)s ORDER BY id LIMIT 1) END
FROM generate_series(1, %(rows)s) n"""

AUDIT = """
INSERT INTO audit_log (tenant_id, id, at, actor, action, target, result)
SELECT %(tenant)s, uuidv7(), now() - make_interval(secs => %(rows)s - n), CASE WHEN n <= %(rare)s THEN 'rare' ELSE 'usual' END,
  CASE WHEN n <= %(rare)s THEN 'rare.done' ELSE 'usual.done' END, CASE WHEN n <= %(rare)s THEN 'rare' ELSE 'usual' END,
  CASE WHEN n <= %(rare)s THEN 'denied' ELSE 'ok' END
FROM generate_series(1, %(rows)s) n"""


@pytest.fixture(scope="module")
def user() -> UUID:
    return new_id()


@pytest.fixture(scope="module")
def crowded(database_url: str, user: UUID) -> TestTenant:
    tenant = make_tenant(database_url)
    values = {"tenant": tenant.id, "user": user, "rows": ROWS, "rare": RARE}
    with psycopg.connect(database_url) as db:
        add_user = (
            "INSERT INTO users (tenant_id, id, email, name, role) VALUES (%s, %s, 'u@example.com', 'x', 'member')"
        )
        db.execute(add_user, (tenant.id, user))
        for statement in (SESSIONS, JOBS, AUDIT):
            db.execute(statement, values)
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("ANALYZE")
    return tenant


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=1) as opened:
        yield opened


DELIVERIES = """
INSERT INTO webhook_deliveries (tenant_id, id, event_id, lane, type, occurred_at, sequence, data, state, callback, ended_at)
SELECT %(tenant)s, uuidv7(), uuidv7(), 'x', 'job.failed', now(), n, '{}', 'delivered', '{"url": "u"}',
  now() - interval '40 days'
FROM generate_series(1, %(rows)s) n"""


async def test_a_batch_of_what_has_expired_reads_itself_and_not_all_that_is_due(
    database_url: str, crowded: TestTenant
) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute(DELIVERIES, {"tenant": crowded.id, "rows": 5 * BATCH})
        db.execute("ANALYZE webhook_deliveries")
    async with pool_for(database_url, "headrace_system", max_size=1) as system, system_tx(system) as db:
        assert BATCH == await delete_expired(db, delivery_days=30)
        sql = """SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables
          WHERE relname = 'webhook_deliveries'"""
        (read,) = await fetch_all(db, sql, {})
    assert read["rows"] <= 2 * BATCH


LISTS: dict[str, tuple[Callable[..., Awaitable[list[Any]]], dict[str, Any]]] = {
    "jobs": (list_jobs, {}),
    "jobs of a kind": (list_jobs, {"kind": "pipeline"}),
    "jobs in a state": (list_jobs, {"states": ["failed"]}),
    "jobs in several states": (list_jobs, {"states": ["failed", "cancelled"]}),
    "jobs of a kind in a state": (list_jobs, {"kind": "pipeline", "states": ["failed"]}),
    "jobs in a state that none is in": (list_jobs, {"states": ["cancelled"]}),
    "jobs of a session": (list_jobs, {"session_id": "a session with jobs"}),
    "sessions": (list_sessions, {}),
    "audit": (list_audit, {}),
    "audit of an actor": (list_audit, {"actor": "rare"}),
    "audit of an action": (list_audit, {"action": "rare.done"}),
    "audit of a noun": (list_audit, {"action": "rare"}),
    "audit of a target": (list_audit, {"target": "rare"}),
    "audit with a result": (list_audit, {"result": "denied"}),
    "audit of an actor with a result": (list_audit, {"actor": "rare", "result": "denied"}),
    "audit of nothing": (list_audit, {"actor": "nobody"}),
}
OF_A_USER = {"jobs": list_jobs, "sessions": list_sessions}


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_reads_its_page(pool: Pool, crowded: TestTenant, name: str) -> None:
    listed, filters = LISTS[name]
    if "session_id" in filters:
        filters = {"session_id": await session_with_jobs(pool, crowded)}
    async with tenant_tx(pool, crowded.id) as db:
        found = await listed(db, crowded.id, limit=PAGE, **filters)
        assert await rows_read(db) <= PER_PAGE
    empty = "none" in name or "nothing" in name
    assert len(found) == (0 if empty else PAGE)


@pytest.mark.parametrize("name", OF_A_USER)
async def test_a_list_of_a_user_reads_the_rows_of_that_user(
    pool: Pool, crowded: TestTenant, user: UUID, name: str
) -> None:
    async with tenant_tx(pool, crowded.id, user_id=user) as db:
        found = await OF_A_USER[name](db, crowded.id, limit=PAGE, user_id=user)
        assert await rows_read(db) <= PER_PAGE
    assert len(found) == PAGE


@pytest.mark.parametrize("wanted", [{"agent": "nobody"}, {"model": "none"}, {"error": "none", "states": ["failed"]}])
async def test_filters_without_an_index_look_at_so_many_rows(
    pool: Pool, crowded: TestTenant, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lists, "SCANNED", PAGE)
    async with tenant_tx(pool, crowded.id) as db:
        page = await job_lists.list_job_page(db, crowded.id, JobFilter(**wanted), limit=PAGE)
        assert await rows_read(db) <= 2 * PER_PAGE
    assert ([], True) == (page.jobs, page.next_before is not None)


async def test_a_time_or_a_beginning_of_ids_reads_its_page(pool: Pool, crowded: TestTenant) -> None:
    async with tenant_tx(pool, crowded.id) as db:
        (newest, *_) = await list_jobs(db, crowded.id, limit=1)
        only = JobFilter(first_id=newest.id, end_id=UUID(int=newest.id.int + 1))
        before = await rows_read(db)
        page = await job_lists.list_job_page(db, crowded.id, only, limit=PAGE)
        assert await rows_read(db) - before <= PER_PAGE
    assert [newest.id] == [job.id for job in page.jobs]


async def test_a_search_looks_at_so_many_sessions(
    pool: Pool, crowded: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_search, "SCANNED", PAGE)
    async with tenant_tx(pool, crowded.id) as db:
        page = await session_search.search_sessions(db, crowded.id, "what nobody said", limit=PAGE)
        assert await rows_read(db) <= 2 * PER_PAGE
    assert ([], True) == (page.sessions, page.next_before is not None)


async def test_pages_of_filtered_jobs_follow_one_another(pool: Pool, crowded: TestTenant) -> None:
    async with tenant_tx(pool, crowded.id) as db:
        whole = await list_jobs(db, crowded.id, limit=100, states=["failed"])
        first = await list_jobs(db, crowded.id, limit=PAGE, states=["failed"])
        rest = await list_jobs(db, crowded.id, limit=PAGE, states=["failed"], before=first[-1].id)
    assert (
        [job.id for job in whole]
        == [job.id for job in (*first, *rest)]
        == sorted((job.id for job in whole), reverse=True)
    )
    assert len(whole) == RARE


def test_renewing_a_lease_writes_the_row_and_no_index(database_url: str, crowded: TestTenant) -> None:
    job_id = new_id()
    with psycopg.connect(database_url) as db:
        db.execute(
            """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, max_tries, deadline_at, attempt,
              lease_owner)
            VALUES (%s, %s, 'chat', 'chat', 'running', 1, '{}', 3, now(), 1, 'w/1/1')""",
            (crowded.id, job_id),
        )
        db.execute(RENEW, renew_values([(crowded.id, job_id, 1)], 30, worker="w/1/1"))
        updates = db.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'jobs'"
        ).fetchone()
        db.rollback()
    assert updates == (1, 1)


async def session_with_jobs(pool: Pool, tenant: TestTenant) -> UUID:
    async with tenant_tx(pool, tenant.id) as db:
        return next(
            job.session_id for job in await list_jobs(db, tenant.id, limit=1, states=["failed"]) if job.session_id
        )
