"""What is counted of ended jobs: in windows, for each tenant and for all together, once each, kept while it is asked for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schema.postgres.connections import Pool, pool_for, system_tx, tenant_tx
from schema.queries.tenants.performance import (
    KEPT_S,
    WINDOWS,
    Performance,
    Summary,
    Window,
    count_samples,
    forget_old_counts,
    get_summary,
)
from schema.vault import PLATFORM
from tests.conftest import TestTenant, make_tenant
from tests.workers.jobs import change, rows
from tests.workers.retained_rows import add


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_app", max_size=2) as opened:
        yield opened


@pytest.fixture
async def system_pool(database_url: str) -> AsyncIterator[Pool]:
    async with pool_for(database_url, "headrace_system", max_size=4) as opened:
        yield opened


def ended(url: str, tenant: TestTenant, *, ago_s: float = 0.0, state: str = "succeeded", **values: Any) -> None:
    used = {"input_tokens": 10, "output_tokens": 20, "cost_nanos": 30}
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    add(url, "job_samples", tenant, at=at, state=state, **({"kind": "chat", **used} | values))


async def count_all(system_pool: Pool) -> int:
    async with system_tx(system_pool) as db:
        return await count_samples(db)


async def summary_of(pool: Pool, tenant_id: UUID) -> Summary:
    async with tenant_tx(pool, tenant_id) as db:
        return (await get_summary(db, tenant_id))[1]


async def test_jobs_are_counted_in_the_windows_that_they_ended_in(
    pool: Pool, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    """In the middle of each window, and of the time before it, so that no full minute or hour in between matters."""
    for _, length_s in WINDOWS.values():
        ended(database_url, tenant, ago_s=length_s / 2)
        ended(database_url, tenant, ago_s=length_s * 1.5 + 30, state="failed")
    await count_all(system_pool)
    summary = await summary_of(pool, tenant.id)
    shown = {(window, now): dict(one.counts) for (window, _, now), one in summary.items()}
    # Ages in minutes: 2.5 30 720 5040 of those that succeeded, 8 90.5 2160.5 15120.5 of those that failed.
    expected: dict[Window, tuple[tuple[int, int], tuple[int, int]]] = {
        "5m": ((1, 0), (0, 1)),
        "hour": ((2, 1), (0, 1)),
        "day": ((3, 2), (0, 1)),
        "week": ((4, 3), (0, 1)),
    }
    for window, sides in expected.items():
        for is_now, (succeeded, failed) in zip((True, False), sides, strict=True):
            counts = shown[window, is_now]
            assert (succeeded, failed) == (counts.get("succeeded", 0), counts.get("failed", 0)), (window, is_now)
            both = succeeded + failed
            assert [10 * both, 20 * both, 30 * both] == [
                counts[name] for name in ("input_tokens", "output_tokens", "cost_nanos")
            ]


async def test_percentiles_are_those_of_the_times_to_a_twentieth(
    pool: Pool, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    for number in range(1, 101):
        ended(database_url, tenant, run_s=number / 10, wait_s=0.0, first_token_s=None)
    await count_all(system_pool)
    one = (await summary_of(pool, tenant.id))["hour", "chat", True]
    for share, exact in ((0.5, 5.0), (0.95, 9.5), (0.99, 9.9)):
        assert one.percentile("run", share) == pytest.approx(exact, rel=0.06)
    assert (one.percentile("wait", 0.5) or 1.0) < 0.001
    assert one.percentile("first_token", 0.5) is None
    assert Performance().percentile("run", 0.5) is None


async def test_the_platform_sees_the_sum_of_all_tenants_and_a_tenant_its_own(
    pool: Pool, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    other = make_tenant(database_url)
    before = await jobs_of(pool, PLATFORM)
    ended(database_url, tenant)
    ended(database_url, other)
    await count_all(system_pool)
    assert [1, 1, before + 2] == [await jobs_of(pool, who) for who in (tenant.id, other.id, PLATFORM)]


async def jobs_of(pool: Pool, tenant_id: UUID) -> int:
    found = (await summary_of(pool, tenant_id)).get(("day", "chat", True), Performance())
    return found.counts["succeeded"]


async def test_schedulers_that_count_at_once_count_each_job_once(
    pool: Pool, system_pool: Pool, database_url: str, tenant: TestTenant
) -> None:
    for number in range(200):
        ended(database_url, tenant, run_s=number)
    await asyncio.gather(*(count_all(system_pool) for _ in range(4)))
    await count_all(system_pool)
    assert 200 == await jobs_of(pool, tenant.id)
    assert [] == rows(database_url, "SELECT id FROM job_samples WHERE tenant_id = %s", tenant.id)


async def test_counts_go_that_no_window_reaches(system_pool: Pool, database_url: str, tenant: TestTenant) -> None:
    now = datetime.now(UTC)
    change(database_url, "DELETE FROM performance_counts")
    for grain, kept_s in KEPT_S.items():
        for age_s in (kept_s - 60, kept_s + 60):
            counted = {"kind": "chat", "measure": "failed", "bucket": 0, "n": age_s}
            add(database_url, "performance_counts", tenant, grain=grain, at=now - timedelta(seconds=age_s), **counted)
    async with system_tx(system_pool) as db:
        assert 2 == await forget_old_counts(db)
    left = rows(database_url, "SELECT n FROM performance_counts")
    assert {kept_s - 60 for kept_s in KEPT_S.values()} == {row["n"] for row in left}


def test_counts_are_kept_for_the_window_and_the_time_before_it() -> None:
    for grain, length_s in WINDOWS.values():
        assert KEPT_S[grain] >= 2 * length_s + 3600
