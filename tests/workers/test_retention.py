"""What is kept for as long as it is to be kept, and no longer: content, records, sign-ins, keys, tenants, reservations."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from schema.ids import new_id
from schema.postgres.connections import tenant_tx
from schema.queries.tenants import retention as queries
from schema.redis_names import RESERVATIONS, tenant_pattern
from schema.tables import TENANT_TABLES, UsageDay
from tests.api.documents.stored_documents import shelve
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.waiting import PATIENCE_S
from tests.workers.jobs import (
    Script,
    change,
    job_row,
    rows,
    saying,
    submission,
    submit_one,
    turn,
    worker_context,
)
from tests.workers.limit_calls import Clock, FakeSpending
from tests.workers.retained_rows import (
    add,
    add_user,
    configure,
    hook,
    judge,
    keep_for_clients,
    measure,
    plan,
    sweeping,
)
from workers.limits.limits import LimitPolicy, Limits
from workers.queue.attempts import attempt_job
from workers.queue.job_core import JobCore
from workers.queue.submit import submit
from workers.retention import Retention
from workers.webhooks.schedule import DELIVERY_DAYS

POLICY = LimitPolicy(requests_per_minute=1000, tokens_per_minute=100_000)


@pytest.fixture
async def retention(core: JobCore, database_url: str) -> AsyncIterator[Retention]:
    async with sweeping(core, database_url, core.limits) as opened:
        yield opened


def count(database_url: str, table: str, tenant: TestTenant) -> int:
    column = "id" if table == "tenants" else "tenant_id"
    (row,) = rows(database_url, f"SELECT count(*) AS number FROM {table} WHERE {column} = %s", tenant.id)
    return row["number"]


async def redis_keys(core: JobCore, tenant: TestTenant) -> set[bytes]:
    return set(await core.redis.call("KEYS", tenant_pattern(tenant.id)))


async def ended_chat(core: JobCore, database_url: str, redis_url: str, tenant: TestTenant) -> UUID:
    """Run a chat in a session of its own and return the job."""
    submitted = await submit(core, turn(tenant))
    async with worker_context(database_url, redis_url) as worker:
        seq = job_row(database_url, submitted.job_id)["dispatch_seq"]
        await attempt_job(worker.queue, Script(*saying()), tenant.id, submitted.job_id, seq)
    assert "succeeded" == job_row(database_url, submitted.job_id)["state"]
    return submitted.job_id


def age(database_url: str, job_id: UUID, days: int) -> UUID:
    """Make an ended job as old as this, its session too, and return its new id: ids tell the time."""
    row = job_row(database_url, job_id)
    old_id = UUID(int=row["id"].int - (days * 86_400_000 << 80))
    for table, key in (("attempts", "job_id"), ("job_logs", "job_id"), ("idempotency_keys", "job_id")):
        change(database_url, f"DELETE FROM {table} WHERE {key} = %s", job_id)
    sql = "UPDATE jobs SET id = %s, finished_at = finished_at - make_interval(days => %s) WHERE id = %s"
    change(database_url, sql, old_id, days, job_id)
    sql = "UPDATE sessions SET updated_at = updated_at - make_interval(days => %s) WHERE id = %s"
    change(database_url, sql, days, row["session_id"])
    return old_id


def add_login(database_url: str, tenant: TestTenant, user_id: UUID, *, ended: timedelta) -> UUID:
    """Add a sign-in that has been over for this long."""
    login_id = new_id()
    add(database_url, "logins", tenant, id=login_id, user_id=user_id, expires_at=datetime.now(UTC) - ended)
    add(database_url, "refresh_tokens", tenant, login_id=login_id, digest="d")
    until = {"expires_at": datetime.now(UTC) - ended}
    add(database_url, "browser_sessions", tenant, id=login_id, login_id=login_id, digest="d", **until)
    return login_id


def add_deed(database_url: str, tenant: TestTenant, *, days_ago: int = 0) -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    about = {"actor": "system", "action": "test.done", "result": str(days_ago)}
    add(database_url, "audit_log", tenant, id=new_id(), at=at, **about)


async def test_content_past_its_tenants_retention_goes_and_the_rest_stays(
    core: JobCore, retention: Retention, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    other = make_tenant(database_url)
    old = age(database_url, await ended_chat(core, database_url, redis_url, tenant), 31)
    young = age(database_url, await ended_chat(core, database_url, redis_url, tenant), 29)
    kept = age(database_url, await ended_chat(core, database_url, redis_url, other), 400)
    change(database_url, "UPDATE tenants SET retention_days = 30 WHERE id = %s", tenant.id)
    await retention.sweep()
    assert [] == rows(database_url, "SELECT id FROM jobs WHERE id = %s", old)
    assert [young] == [row["id"] for row in rows(database_url, "SELECT id FROM jobs WHERE tenant_id = %s", tenant.id)]
    assert [kept] == [row["id"] for row in rows(database_url, "SELECT id FROM jobs WHERE tenant_id = %s", other.id)]
    for who in (tenant, other):
        assert (1, 2) == (count(database_url, "sessions", who), count(database_url, "messages", who))


async def test_a_session_that_somebody_went_on_with_keeps_all_that_was_said(
    core: JobCore, retention: Retention, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    job_id = await ended_chat(core, database_url, redis_url, tenant)
    session_id = job_row(database_url, job_id)["session_id"]
    age(database_url, job_id, 31)
    change(database_url, "UPDATE sessions SET updated_at = now() WHERE id = %s", session_id)
    change(database_url, "UPDATE tenants SET retention_days = 30 WHERE id = %s", tenant.id)
    await retention.sweep()
    facts = [count(database_url, table, tenant) for table in ("sessions", "messages", "jobs")]
    assert [1, 2, 0] == facts


async def test_a_session_that_is_gone_on_with_while_the_sweeper_looks_stays(
    core: JobCore, retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    session_id, used = new_id(), datetime.now(UTC) - timedelta(days=31)
    add(database_url, "sessions", tenant, id=session_id, title="t", updated_at=used)
    change(database_url, "UPDATE tenants SET retention_days = 30 WHERE id = %s", tenant.id)
    async with tenant_tx(core.pool, tenant.id) as db:
        touched = await db.execute("UPDATE sessions SET updated_at = now() WHERE id = %s RETURNING id", (session_id,))
        await touched.fetchone()
        sweep = asyncio.create_task(retention.sweep())
        await blocked(database_url)
    await sweep
    assert 1 == count(database_url, "sessions", tenant)


async def blocked(database_url: str) -> None:
    """Wait until somebody in this database waits for a row."""
    async with asyncio.timeout(PATIENCE_S):
        while not rows(
            database_url,
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        ):
            await asyncio.sleep(0.02)


async def test_the_audit_log_is_kept_for_the_tenants_days(
    retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    short = make_tenant(database_url)
    change(database_url, "UPDATE tenants SET audit_days = 10 WHERE id = %s", short.id)
    for who in (tenant, short):
        for days in (5, 11, 399, 401):
            add_deed(database_url, who, days_ago=days)
    await retention.sweep()
    left = [
        {row["result"] for row in rows(database_url, "SELECT result FROM audit_log WHERE tenant_id = %s", who.id)}
        for who in (tenant, short)
    ]
    assert [{"5", "11", "399"}, {"5"}] == left


async def test_expired_sign_ins_go_a_day_later_with_their_tokens(
    retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    user_id = add_user(database_url, tenant)
    add_login(database_url, tenant, user_id, ended=timedelta(hours=25))
    kept = [add_login(database_url, tenant, user_id, ended=timedelta(hours=hours)) for hours in (23, -1)]
    await retention.sweep()
    for column, table in (("id", "logins"), ("login_id", "refresh_tokens")):
        found = rows(database_url, f"SELECT {column} AS id FROM {table} WHERE tenant_id = %s", tenant.id)
        assert set(kept) == {row["id"] for row in found}


async def test_cookies_and_codes_go_when_their_time_is_over(
    retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    for hours in (1, -1):
        until = {"expires_at": datetime.now(UTC) - timedelta(hours=hours)}
        key_id = new_id()
        add(database_url, "api_keys", tenant, id=key_id, find=str(key_id)[-8:], digest="d", name="k", role="member")
        add(database_url, "browser_sessions", tenant, id=new_id(), key_id=key_id, digest="d", **until)
        add(database_url, "sign_in_codes", tenant, key_id=key_id, digest="d", **until)
    await retention.sweep()
    assert [1, 1] == [count(database_url, table, tenant) for table in ("browser_sessions", "sign_in_codes")]


async def test_idempotency_keys_are_good_for_a_day(
    core: JobCore, retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    job = await submit_one(core, tenant)
    for key, hours in (("old", 25), ("young", 23)):
        made = {"job_id": job.job_id, "created_at": datetime.now(UTC) - timedelta(hours=hours)}
        add(database_url, "idempotency_keys", tenant, route="r", key=key, fingerprint="f", **made)
    await retention.sweep()
    found = rows(database_url, "SELECT key FROM idempotency_keys WHERE tenant_id = %s", tenant.id)
    assert ["young"] == [row["key"] for row in found]
    assert 1 == count(database_url, "jobs", tenant)


async def test_what_became_of_due_times_is_known_for_90_days(
    retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    for days in (89, 91):
        plan(database_url, tenant, days_ago=days)
    await retention.sweep()
    (kept,) = rows(database_url, "SELECT due_at FROM schedule_runs WHERE tenant_id = %s", tenant.id)
    assert 89 == (datetime.now(UTC) - kept["due_at"]).days
    assert 2 == count(database_url, "schedules", tenant)


async def test_deliveries_go_so_many_days_after_they_ended(
    retention: Retention, database_url: str, tenant: TestTenant
) -> None:
    hook(database_url, tenant)
    before = count(database_url, "webhook_deliveries", tenant)
    ended = "UPDATE webhook_deliveries SET ended_at = now() - make_interval(days => %s) WHERE tenant_id = %s"
    for days, kept in ((DELIVERY_DAYS - 1, before), (DELIVERY_DAYS + 1, 0)):
        change(database_url, ended, days, tenant.id)
        await retention.sweep()
        assert kept == count(database_url, "webhook_deliveries", tenant)
    assert before > 0


async def test_one_sweep_takes_more_than_one_batch(
    retention: Retention, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BATCH", 3)
    user_id = add_user(database_url, tenant)
    for _ in range(10):
        add_login(database_url, tenant, user_id, ended=timedelta(days=2))
    await retention.sweep()
    assert 0 == count(database_url, "logins", tenant)


async def fill(core: JobCore, database_url: str, redis_url: str, tenant: TestTenant) -> None:
    """Give a tenant a row in every table and a key of every sort."""
    user_id = add_user(database_url, tenant)
    add_login(database_url, tenant, user_id, ended=timedelta(hours=-1))
    (key,) = rows(database_url, "SELECT id FROM api_keys WHERE tenant_id = %s", tenant.id)
    add(
        database_url, "sign_in_codes", tenant, key_id=key["id"], digest="d", expires_at=datetime.now(UTC) + timedelta(1)
    )
    job_id = await ended_chat(core, database_url, redis_url, tenant)
    waiting = await submit(core, turn(tenant, job_row(database_url, job_id)["session_id"]))
    sealed = {"key_id": VAULT.key_ids[0], "sealed": b"s"}
    add(database_url, "idempotency_keys", tenant, route="r", key="k", fingerprint="f", job_id=job_id)
    add(database_url, "job_secrets", tenant, job_id=waiting.job_id, **sealed)
    add(database_url, "credentials", tenant, id=new_id(), service="openai", **sealed)
    add(database_url, "tallies", tenant, what="failed", minute=datetime.now(UTC), n=1)
    add(
        database_url,
        "usage_days",
        tenant,
        day=datetime.now(UTC).date(),
        **dict.fromkeys(UsageDay.model_fields.keys() - {"tenant_id", "day"}, 1),
    )
    add(database_url, "tally_marks", tenant, counted_before=new_id())
    counted = {"kind": "chat", "at": datetime.now(UTC)}
    add(database_url, "job_samples", tenant, state="failed", input_tokens=1, output_tokens=1, cost_nanos=1, **counted)
    add(database_url, "performance_counts", tenant, grain="hour", measure="failed", bucket=0, n=1, **counted)
    add(database_url, "identity_providers", tenant, id=new_id(), name="n", issuer=tenant.slug, audience="a")
    configure(database_url, tenant)
    hook(database_url, tenant)
    plan(database_url, tenant)
    await shelve(core, database_url, tenant)
    learn(database_url, tenant, user_id, job_id)
    measure(database_url, tenant, job_id)
    judge(database_url, tenant, job_id)
    keep_for_clients(database_url, tenant, job_id)
    await core.limits.reserve(tenant.id, waiting.job_id, POLICY, tokens=5, nanos=0)


def learn(database_url: str, tenant: TestTenant, user_id: UUID, job_id: UUID) -> None:
    """Give a tenant what is kept to answer better, and a call of a tool."""
    (message,) = rows(database_url, "SELECT id FROM messages WHERE job_id = %s AND role = 'assistant'", job_id)
    vector = {"embedder": "e", "embedding": "[1,2]"}
    add(database_url, "memories", tenant, id=new_id(), user_id=user_id, text="t", **vector)
    add(database_url, "feedback", tenant, message_id=message["id"], rating="up", user_id=user_id)
    add(database_url, "learned_examples", tenant, message_id=message["id"], agent="a", question="q")
    add(database_url, "tool_effects", tenant, job_id=job_id, call_id="c", tool="t", attempt=1)
    kept = {"agent": "a", "scope": "", "config_version": "1.1", "digest": "d", "question": "q", "answer": Jsonb({})}
    add(
        database_url,
        "cached_answers",
        tenant,
        id=new_id(),
        expires_at=datetime.now(UTC) + timedelta(days=1),
        **vector,
        **kept,
    )


async def test_a_deleted_tenant_leaves_no_row_and_no_key_and_others_lose_none(
    core: JobCore, retention: Retention, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    other = make_tenant(database_url)
    for who in (tenant, other):
        await fill(core, database_url, redis_url, who)
    tables = ["tenants", *(str(table.__tablename__) for table in TENANT_TABLES)]
    held, keys = {table: count(database_url, table, other) for table in tables}, await redis_keys(core, other)
    assert [] == [table for table, number in held.items() if number == 0]
    assert await redis_keys(core, tenant)
    stored = {
        row["stored_as"]
        for row in rows(database_url, "SELECT stored_as FROM document_versions WHERE tenant_id = %s", tenant.id)
    }
    change(database_url, "UPDATE tenants SET state = 'deleting' WHERE id = %s", tenant.id)
    await retention.sweep()
    noted = rows(
        database_url, "SELECT stored_as FROM file_removals WHERE tenant_id = %s AND due_at <= now()", tenant.id
    )
    assert stored | {"n", "f"} == {row["stored_as"] for row in noted}  # they go when the bytes are gone
    tables.remove("file_removals")
    assert {} == {table: number for table in tables if (number := count(database_url, table, tenant))}
    assert set() == await redis_keys(core, tenant)
    held.pop("file_removals")
    assert (held, keys) == (
        {table: count(database_url, table, other) for table in tables},
        await redis_keys(core, other),
    )


async def test_a_large_tenant_is_deleted_by_as_many_sweeps_as_it_takes(
    core: JobCore, retention: Retention, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BATCH", 1)
    for _ in range(50):
        add(database_url, "sessions", tenant, id=new_id(), title="t")
        add_deed(database_url, tenant)
    change(database_url, "UPDATE tenants SET state = 'deleting' WHERE id = %s", tenant.id)
    for left in (30, 10, 0):
        await retention.sweep()
        assert [left, left] == [count(database_url, table, tenant) for table in ("sessions", "audit_log")]
    assert 0 == count(database_url, "tenants", tenant)


async def test_a_running_job_of_a_deleted_tenant_stops_and_brings_nothing_back(
    core: JobCore, retention: Retention, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    submitted, script = await submit(core, turn(tenant)), Script(saying()[0], asyncio.Event())
    async with worker_context(database_url, redis_url) as worker:
        running = asyncio.create_task(attempt_job(worker.queue, script, tenant.id, submitted.job_id, 1))
        async with asyncio.timeout(PATIENCE_S):
            await script.at_work.wait()
            change(database_url, "UPDATE tenants SET state = 'deleting' WHERE id = %s", tenant.id)
            await retention.sweep()
            await running
        assert script.closed
    assert "cancelled" == job_row(database_url, submitted.job_id)["state"]
    await retention.sweep()
    assert [0, 0, 0] == [count(database_url, table, tenant) for table in ("tenants", "jobs", "audit_log")]
    assert set() == await redis_keys(core, tenant)


async def test_reservations_of_jobs_that_ended_or_never_were_are_given_back(
    core: JobCore, database_url: str, redis_url: str, tenant: TestTenant
) -> None:
    clock = Clock()
    limits = Limits(core.redis, FakeSpending(), now_ms=clock)
    ended, waits = await ended_chat(core, database_url, redis_url, tenant), (await submit_one(core, tenant)).job_id
    for job_id in (ended, waits, new_id()):
        await limits.reserve(tenant.id, job_id, POLICY, tokens=10, nanos=0)
    clock.advance(59)
    await limits.reserve(tenant.id, new_id(), POLICY, tokens=10, nanos=0)  # its submit is on its way
    async with sweeping(core, database_url, limits) as retention:
        await retention.settle_reservations()
        assert 4 == (await limits.get_reserved(tenant.id)).jobs
        clock.advance(2)
        await retention.settle_reservations()
    assert (2, 20) == ((await limits.get_reserved(tenant.id)).jobs, (await limits.get_reserved(tenant.id)).tokens)
    members = await core.redis.call("ZRANGE", RESERVATIONS, 0, -1)
    assert f"{tenant.id}:{waits}".encode() in members
    assert f"{tenant.id}:{ended}".encode() not in members


async def test_jobs_that_wait_long_do_not_hide_those_that_ended(
    core: JobCore, database_url: str, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.retention.CHECKED", 3)
    await core.redis.call("DEL", RESERVATIONS)
    clock = Clock()
    limits = Limits(core.redis, FakeSpending(), now_ms=clock)
    for _ in range(8):
        job = submission(tenant)
        await limits.reserve(tenant.id, job.job_id, POLICY, tokens=1, nanos=0)
        await submit(core, job)
    clock.advance(1)
    await limits.reserve(tenant.id, new_id(), POLICY, tokens=1, nanos=0)
    clock.advance(61)
    async with sweeping(core, database_url, limits) as retention:
        for _ in range(3):
            await retention.settle_reservations()
    assert 8 == (await limits.get_reserved(tenant.id)).jobs
