"""Budgets: what jobs reserve and use of a tenant's money, and that nothing gives any of it back.

Time stands still unless a test advances it.
"""

from datetime import UTC, datetime, timedelta

import pytest

from schema.ids import new_id
from tests.workers.limit_calls import Clock, FakeSpending, Tenant
from workers.limits.limits import Limits

USD = 10**9


@pytest.mark.parametrize("used", [-(10**9), -1])
async def test_what_a_job_used_can_give_nothing_back(limits: Limits, used: int) -> None:
    tenant = Tenant(limits, tokens_per_minute=1000, budget_day_nanos=USD, budget_month_nanos=USD)
    spent, job_id = new_id(), new_id()
    await tenant.reserve(spent, tokens=500, nanos=USD // 2)
    await tenant.settle(spent, tokens=500, nanos=USD // 2)
    before = await tenant.used()
    await tenant.reserve(job_id, tokens=100, nanos=100)
    await tenant.settle(job_id, tokens=used, nanos=used)
    assert before == await tenant.used()


async def test_a_reservation_can_give_nothing_back(limits: Limits) -> None:
    tenant = Tenant(limits, tokens_per_minute=1000, budget_day_nanos=USD, budget_month_nanos=USD)
    job_id = new_id()
    await tenant.reserve(job_id, tokens=500, nanos=USD // 2)
    before = await tenant.used()
    await tenant.extend(job_id, tokens=-400, nanos=-USD)
    await tenant.reserve(new_id(), tokens=1, nanos=-USD)
    assert {**before, "tokens": 501} == await tenant.used()


async def test_money_is_reserved_and_then_charged_as_used(limits: Limits, spending: FakeSpending) -> None:
    spending.day, spending.month = 2 * USD, 7 * USD
    tenant, job = Tenant(limits, budget_day_nanos=3 * USD, budget_month_nanos=9 * USD), new_id()
    assert (await tenant.reserve(job, nanos=USD // 2)).allowed
    assert {"budget_day": 2_500_000_000, "budget_month": 7_500_000_000} == await tenant.used()
    await tenant.settle(job, nanos=800_000_000)
    assert {"budget_day": 2_800_000_000, "budget_month": 7_800_000_000} == await tenant.used()
    assert 1 == spending.reads
    refused = await tenant.reserve(nanos=USD // 2)
    assert ("budget_day",) == refused.violated
    assert 14 * 3600 == refused.retry_after_s  # midnight, UTC


async def test_an_exhausted_month_stays_exhausted_until_the_next(limits: Limits, spending: FakeSpending) -> None:
    spending.month = 9 * USD
    tenant = Tenant(limits, budget_day_nanos=USD, budget_month_nanos=9 * USD)
    refused = await tenant.reserve(nanos=1)
    assert (("budget_month",), (9 * 24 + 14) * 3600) == (refused.violated, refused.retry_after_s)


async def test_a_free_call_is_allowed_with_an_exhausted_budget(limits: Limits, spending: FakeSpending) -> None:
    spending.day = 5 * USD
    tenant = Tenant(limits, budget_day_nanos=USD)
    assert not (await tenant.reserve(nanos=1)).allowed
    assert (await tenant.reserve(nanos=0)).allowed


async def test_a_new_day_starts_with_what_is_still_reserved(
    limits: Limits, spending: FakeSpending, clock: Clock
) -> None:
    tenant, job = Tenant(limits, budget_day_nanos=100, budget_month_nanos=1000), new_id()
    await tenant.reserve(job, nanos=60)
    clock.advance(14 * 3600)
    assert {"budget_day": 60, "budget_month": 60} == await tenant.used()
    assert not (await tenant.reserve(nanos=50)).allowed
    await tenant.settle(job, nanos=40)
    assert {"budget_day": 40, "budget_month": 40} == await tenant.used()


async def test_budget_periods_end_with_the_calendar_day_and_month(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, budget_day_nanos=1, budget_month_nanos=1)
    moment = datetime(2027, 12, 30, 23, 59, 58, tzinfo=UTC)
    for _ in range(300):
        clock.ms = int(moment.timestamp() * 1000)
        day, month = await limits.get_quotas(tenant.id, tenant.policy)
        midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        first = (moment.replace(day=1) + timedelta(days=31)).replace(day=1, hour=0, minute=0, second=0)
        assert (midnight - moment).total_seconds() == day.reset_s
        assert (first - moment).total_seconds() == month.reset_s
        moment += timedelta(days=5, seconds=3)


async def test_a_budget_of_millions_is_counted_to_the_nano(limits: Limits, spending: FakeSpending) -> None:
    spending.day = 4_000_000 * USD + 1
    tenant, job = Tenant(limits, budget_day_nanos=8_000_000 * USD), new_id()
    verdict = await tenant.reserve(job, nanos=3_999_999 * USD + 7)
    assert (7_999_999 * USD + 8, USD - 8) == (verdict.quotas[0].used, verdict.quotas[0].remaining)
    await tenant.settle(job, nanos=3_000_000 * USD + 3)
    assert {"budget_day": 7_000_000 * USD + 4} == await tenant.used()


async def test_each_budget_warns_once_in_its_period(limits: Limits, spending: FakeSpending, clock: Clock) -> None:
    tenant = Tenant(limits, budget_day_nanos=100, budget_month_nanos=300)
    warned = [(await tenant.reserve(nanos=nanos)).warn for nanos in (79, 1, 1, 100)]
    assert [(), ("budget_day",), (), ()] == warned
    clock.advance(3600)
    spending.day, spending.month = 0, 170  # and 81 are reserved
    assert [("budget_month",), ()] == [(await tenant.reserve(nanos=nanos)).warn for nanos in (0, 0)]
    clock.advance(86_400)
    assert ("budget_day",) == (await tenant.reserve(nanos=0)).warn
