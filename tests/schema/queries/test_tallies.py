"""A tenant's figures are those of a full count, whatever was counted before and has been deleted, retried or ended since."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from schema.ids import first_id
from schema.postgres.connections import Db, Pool, fetch_all, pool_for, system_tx, tenant_tx
from schema.queries.tenants import tallies
from schema.queries.tenants.metrics import get_job_stats, get_stored_counts
from schema.queries.tenants.tallies import list_tenants_to_tally, tally
from tests.conftest import TestTenant
from tests.workers.jobs import rows

ENDED = ("succeeded", "failed", "cancelled")
FULL_COUNT = """
SELECT count(*) AS all, count(*) FILTER (WHERE state IN ('queued', 'dispatched')) AS queued,
  count(*) FILTER (WHERE state = 'running') AS running, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
  count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE created_at >= date_trunc('minute', now() - interval '1 day')) AS submitted_24h,
  count(*) FILTER (WHERE state = 'failed' AND created_at >= date_trunc('minute', now() - interval '1 day')) AS failed_24h
FROM jobs WHERE tenant_id = %s
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=2) as opened:
        yield opened


class History:
    """What happens to a tenant's jobs, as the tenant: added, ended, retried, deleted, with sessions or without."""

    def __init__(self, db: Db, tenant_id: UUID, dice: random.Random) -> None:
        self.db, self.tenant_id, self.dice = db, tenant_id, dice

    async def step(self) -> None:
        """Let one thing happen."""
        happens = (self.add, self.add, self.add, self.add_session, self.add_message, self.end, self.end, self.retry)
        await self.dice.choice((*happens, self.delete_jobs, self.delete_session, self.delete_messages))()

    def id(self) -> tuple[UUID, datetime]:
        """An id of now, of minutes ago, of hours ago or of days ago, and its time."""
        age = timedelta(seconds=self.dice.choice((0, 30, 300, 4_000, 86_000, 200_000)) * self.dice.random())
        at = datetime.now(UTC) - age
        return UUID(int=first_id(at).int + (7 << 76) + (2 << 62) + self.dice.getrandbits(60)), at

    async def add(self) -> None:
        (job_id, at), state = self.id(), self.dice.choice(("queued", "dispatched", "running", *ENDED))
        session = await self.some("sessions") if self.dice.random() < 0.5 and state in ENDED else None
        await self.db.execute(
            """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, deadline_at, max_tries, created_at,
              session_id) VALUES (%s, %s, 'chat', 'chat', %s, 5, '{}', now(), 3, %s, %s)""",
            (self.tenant_id, job_id, state, at, session),
        )

    async def add_session(self) -> None:
        sql = "INSERT INTO sessions (tenant_id, id, title) VALUES (%s, %s, 't')"
        await self.db.execute(sql, (self.tenant_id, self.id()[0]))

    async def add_message(self) -> None:
        sql = """INSERT INTO messages (tenant_id, id, session_id, turn, ordinal, role, parts)
          VALUES (%s, %s, %s, %s, 0, 'user', '[]')"""
        if session := await self.some("sessions"):
            await self.db.execute(sql, (self.tenant_id, self.id()[0], session, self.dice.getrandbits(30)))

    async def end(self) -> None:
        live = await self.some("jobs", "state IN ('queued', 'dispatched', 'running')")
        sql = "UPDATE jobs SET state = %s, finished_at = now() WHERE tenant_id = %s AND id = %s"
        await self.db.execute(sql, (self.dice.choice(ENDED), self.tenant_id, live))

    async def retry(self) -> None:
        ended = await self.some("jobs", "state IN ('failed', 'cancelled') AND session_id IS NULL")
        sql = "UPDATE jobs SET state = 'queued', finished_at = NULL WHERE tenant_id = %s AND id = %s"
        await self.db.execute(sql, (self.tenant_id, ended))

    async def delete_jobs(self) -> None:
        sql = "DELETE FROM jobs WHERE tenant_id = %s AND id = ANY(%s)"
        await self.db.execute(sql, (self.tenant_id, [await self.some("jobs") for _ in range(3)]))

    async def delete_session(self) -> None:
        sql = "DELETE FROM sessions WHERE tenant_id = %s AND id = %s"
        await self.db.execute(sql, (self.tenant_id, await self.some("sessions")))

    async def delete_messages(self) -> None:
        sql = "DELETE FROM messages WHERE tenant_id = %s AND session_id = %s"
        await self.db.execute(sql, (self.tenant_id, await self.some("sessions")))

    async def some(self, table: str, where: str = "true") -> UUID | None:
        rows = await fetch_all(self.db, f"SELECT id FROM {table} WHERE {where} ORDER BY id", {})
        return self.dice.choice(rows)["id"] if rows else None


async def assert_right(pool: Pool, database_url: str, tenant_id: UUID) -> None:
    async with tenant_tx(pool, tenant_id) as db:
        told, kept = await get_job_stats(db, tenant_id), await get_stored_counts(db, tenant_id)
    (expected,) = rows(database_url, FULL_COUNT, tenant_id)
    stored = [
        rows(database_url, f"SELECT count(*) AS n FROM {table} WHERE tenant_id = %s", tenant_id)[0]["n"]
        for table in ("sessions", "messages")
    ]
    assert expected == {name: getattr(told, name) for name in expected}
    assert stored == [kept.sessions, kept.messages]


@pytest.mark.parametrize("seed", range(8))
async def test_figures_are_those_of_a_full_count_after_any_history(
    pool: Pool, database_url: str, tenant: TestTenant, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "STEP", 10)
    dice = random.Random(seed)
    for _ in range(12):
        for _ in range(dice.randrange(12)):
            async with tenant_tx(pool, tenant.id) as db:
                await History(db, tenant.id, dice).step()
        if dice.random() < 0.6:
            async with tenant_tx(pool, tenant.id) as db:
                await tally(db, tenant.id)
        await assert_right(pool, database_url, tenant.id)
    with psycopg.connect(database_url) as db:
        assert db.execute("SELECT sum(abs(n)) FROM tallies WHERE tenant_id = %s", (tenant.id,)).fetchone()


async def add_jobs(pool: Pool, tenant: TestTenant, jobs: int, *, age: str, state: str = "failed") -> None:
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute(
            """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, deadline_at, max_tries)
            SELECT %s, uuidv7(-%s::interval), 'chat', 'chat', %s, 5, '{}', now(), 3 FROM generate_series(1, %s)""",
            (tenant.id, age, state, jobs),
        )


async def count_on(pool: Pool, tenant: TestTenant) -> None:
    async with tenant_tx(pool, tenant.id) as db:
        await tally(db, tenant.id)


async def tallied(pool: Pool, tenant: TestTenant) -> int:
    async with tenant_tx(pool, tenant.id) as db:
        row = await (
            await db.execute("SELECT coalesce(sum(n), 0)::int AS n FROM tallies WHERE what = 'failed'")
        ).fetchone()
    assert row is not None
    return row["n"]


async def test_nothing_is_counted_while_somebody_deletes_what_is_counted(
    pool: Pool, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a row could be counted after its deletion looked whether it is."""
    await add_jobs(pool, tenant, 5, age="1 hour")
    await count_on(pool, tenant)
    await add_jobs(pool, tenant, 2, age="0 s")
    monkeypatch.setattr(tallies, "LAG_S", -60)
    async with tenant_tx(pool, tenant.id) as deleting:
        await deleting.execute("DELETE FROM jobs WHERE id = (SELECT min(id::text)::uuid FROM jobs)")
        await (await deleting.execute("SELECT 1 AS done")).fetchone()
        await count_on(pool, tenant)
        assert 5 == await tallied(pool, tenant)
    assert 4 == await tallied(pool, tenant)
    await count_on(pool, tenant)
    assert 6 == await tallied(pool, tenant)
    await assert_right(pool, database_url, tenant.id)


async def test_young_jobs_end_without_a_word_to_the_tallies(pool: Pool, database_url: str, tenant: TestTenant) -> None:
    """The way of every chat: it takes no lock and writes no row."""
    await add_jobs(pool, tenant, 1, age="1 hour")
    await count_on(pool, tenant)
    await add_jobs(pool, tenant, 1, age="0 s", state="running")
    async with tenant_tx(pool, tenant.id) as db:
        await db.execute("UPDATE jobs SET state = 'failed' WHERE state = 'running'")
        locks = await (await db.execute("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'")).fetchone()
    assert {"n": 0} == locks
    assert 1 == await tallied(pool, tenant)
    await assert_right(pool, database_url, tenant.id)


async def test_tenants_with_nothing_new_are_left_alone(pool: Pool, database_url: str, tenant: TestTenant) -> None:
    async with pool_for(database_url, "headrace_system", max_size=1) as system_pool:
        assert tenant.id not in await due(system_pool)
        await add_jobs(pool, tenant, 1, age="1 hour")
        assert tenant.id in await due(system_pool)
        await count_on(pool, tenant)
        assert tenant.id not in await due(system_pool)


async def due(system_pool: Pool) -> list[UUID]:
    async with system_tx(system_pool) as db:
        return await list_tenants_to_tally(db)


async def test_minutes_of_past_days_become_one_row(pool: Pool, database_url: str, tenant: TestTenant) -> None:
    with psycopg.connect(database_url) as db:
        db.execute(
            """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, deadline_at, max_tries, created_at)
            SELECT %s, uuidv7(make_interval(hours => -n)), 'chat', 'chat', 'failed', 5, '{}', now(), 3,
              now() - make_interval(hours => n)
            FROM generate_series(1, 100) n""",
            (tenant.id,),
        )
    await count_on(pool, tenant)
    async with tenant_tx(pool, tenant.id) as db:
        minutes = await fetch_all(db, "SELECT n FROM tallies WHERE what = 'failed' ORDER BY n DESC", {})
    assert 24 <= len(minutes) <= 27
    assert minutes[0]["n"] >= 75
    await assert_right(pool, database_url, tenant.id)
