"""A tenant in figures, and what it may know of itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from api.settings import ApiSettings
from schema.ids import new_id
from tests.api.conftest import serving
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT

SETTLED = ("succeeded", "failed", "cancelled")


def add_job(
    database_url: str, tenant: TestTenant, state: str, *, ago_h: float = 1, waited_s: int = 0, ran_s: int = 0
) -> None:
    """Insert a job that was submitted `ago_h` hours ago."""
    created = datetime.now(UTC) - timedelta(hours=ago_h)
    started = created + timedelta(seconds=waited_s) if state in (*SETTLED, "running") else None
    finished = started + timedelta(seconds=ran_s) if started and state in SETTLED else None
    sql = """INSERT INTO jobs (tenant_id, id, kind, queue, state, priority, payload, deadline_at, max_tries, created_at,
      started_at, finished_at) VALUES (%s, %s, 'chat', 'chat', %s, 5, '{}', now(), 3, %s, %s, %s)"""
    with psycopg.connect(database_url) as db:
        db.execute(sql, (tenant.id, new_id(), state, created, started, finished))


def limit(database_url: str, tenant: TestTenant, **columns: int) -> None:
    with psycopg.connect(database_url) as db:
        for name, value in columns.items():
            db.execute(f"UPDATE tenants SET {name} = %s WHERE id = %s", (value, tenant.id))


async def read(api: httpx.AsyncClient, tenant: TestTenant) -> dict[str, Any]:
    answer = await api.get("/api/tenant/metrics", headers=tenant.headers)
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_jobs_are_counted_by_the_states_that_people_see(
    api: httpx.AsyncClient, owner: TestTenant, stranger: TestTenant, database_url: str
) -> None:
    for state in ("queued", "dispatched", "running", "succeeded", "failed", "failed", "cancelled"):
        add_job(database_url, owner, state)
    add_job(database_url, owner, "failed", ago_h=30)
    add_job(database_url, stranger, "failed")
    jobs = (await read(api, owner))["jobs"]
    names = ("all", "queued", "running", "succeeded", "failed", "cancelled", "submitted_24h", "failed_24h")
    assert (8, 2, 1, 1, 3, 1, 7, 2) == tuple(jobs[name] for name in names)


async def test_waits_and_runs_are_told_as_percentiles_of_the_last_day(
    api: httpx.AsyncClient, owner: TestTenant, database_url: str
) -> None:
    for second in range(101):
        add_job(database_url, owner, "succeeded", waited_s=second, ran_s=2 * second)
    add_job(database_url, owner, "succeeded", ago_h=48, waited_s=3000, ran_s=3000)
    jobs = (await read(api, owner))["jobs"]
    assert {"p50_s": pytest.approx(50), "p95_s": pytest.approx(95)} == jobs["wait_24h"]
    assert {"p50_s": pytest.approx(100), "p95_s": pytest.approx(190)} == jobs["run_24h"]


async def test_a_tenant_without_anything_has_no_percentiles(api: httpx.AsyncClient, owner: TestTenant) -> None:
    told = await read(api, owner)
    assert {"p50_s": None, "p95_s": None} == told["jobs"]["wait_24h"]
    nothing = dict.fromkeys(("sessions", "messages", "users", "documents", "stored_bytes"), 0)
    assert {**nothing, "keys": 1} == told["kept"]
    assert {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0} == told["today"] == told["month"]
    assert [] == told["limits"]


async def test_limits_say_how_far_they_are_used(api: httpx.AsyncClient, owner: TestTenant, database_url: str) -> None:
    limit(database_url, owner, requests_per_minute=60, budget_day_nanos=2_500_000_000)
    limits = {quota["name"]: quota for quota in (await read(api, owner))["limits"]}
    assert {"requests", "budget_day"} == set(limits)
    assert (60, 0, 60, "requests") == tuple(limits["requests"][name] for name in ("limit", "used", "remaining", "unit"))
    assert (2.5, 2.5, "usd") == tuple(limits["budget_day"][name] for name in ("limit", "remaining", "unit"))


async def test_without_redis_everything_but_the_limits_is_told(settings: ApiSettings, database_url: str) -> None:
    owner = make_tenant(database_url, role="owner")
    limit(database_url, owner, requests_per_minute=60)
    away = ApiSettings(database_url=settings.database_url, redis_url="redis://127.0.0.1:1/0", vault=VAULT)
    async with serving(away) as client:
        told = await read(client, owner)
    assert (None, 0) == (told["limits"], told["jobs"]["all"])


async def test_an_admin_sees_any_tenant_in_figures(
    admin: httpx.AsyncClient, owner: TestTenant, database_url: str
) -> None:
    add_job(database_url, owner, "queued")
    told = (await admin.get(f"/api/admin/tenants/{owner.id}/metrics")).json()
    assert (1, 1) == (told["jobs"]["all"], told["kept"]["keys"])


async def test_everybody_may_know_their_tenant_but_not_its_figures(api: httpx.AsyncClient, tenant: TestTenant) -> None:
    own = (await api.get("/api/tenant")).json()
    assert (tenant.slug, str(tenant.id), "active", ["*"]) == tuple(
        own[name] for name in ("slug", "id", "state", "models")
    )
    assert 403 == (await api.get("/api/tenant/metrics")).status_code
