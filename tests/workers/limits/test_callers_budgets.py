"""Budgets of keys and users, beside their tenant's: each counts what is its own, all of them allow a call or none does."""

import asyncio

import pytest

from schema.identity.budgets import CallerBudget
from schema.ids import new_id
from tests.workers.limit_calls import Clock, FakeSpending, Tenant
from workers.limits.limits import LimitPolicy, Limits, Quota, Spent, Verdict
from workers.limits.refusals import RequestedUsage, budget_used_up, find_too_large

USD = 10**9


def key(**limits: int) -> CallerBudget:
    return CallerBudget(of="key", id=new_id(), **limits)


def user(**limits: int) -> CallerBudget:
    return CallerBudget(of="user", id=new_id(), **limits)


async def test_fifty_calls_at_once_never_exceed_a_keys_budget(limits: Limits) -> None:
    tenant = Tenant(limits, callers=(key(budget_day_nanos=1000, tokens_per_day=10_000), user(budget_month_nanos=5000)))
    jobs = [new_id() for _ in range(50)]
    verdicts = await asyncio.gather(*(tenant.reserve(job, tokens=7, nanos=30) for job in jobs))
    allowed = [job for job, verdict in zip(jobs, verdicts, strict=True) if verdict.allowed]
    assert 33 == len(allowed)
    assert {("key_budget_day",)} == {verdict.violated for verdict in verdicts if not verdict.allowed}
    assert {"key_budget_day": 990, "key_tokens_day": 231, "user_budget_month": 990} == await tenant.used()
    await asyncio.gather(*(tenant.settle(job, tokens=5, nanos=20) for job in allowed))
    assert {"key_budget_day": 660, "key_tokens_day": 165, "user_budget_month": 660} == await tenant.used()


async def test_each_owner_pays_for_its_own_calls(limits: Limits) -> None:
    mine, yours, person = key(budget_day_nanos=100), key(budget_day_nanos=100), user(budget_day_nanos=150)
    first = Tenant(limits, budget_day_nanos=1000, callers=(mine, person))
    second = Tenant(limits, budget_day_nanos=1000, callers=(yours, person))
    second.id = first.id
    assert (await first.reserve(nanos=80)).allowed
    assert ("key_budget_day",) == (await first.reserve(nanos=30)).violated
    assert ("user_budget_day",) == (await second.reserve(nanos=80)).violated
    assert (await second.reserve(nanos=70)).allowed
    assert {"budget_day": 150, "key_budget_day": 80, "user_budget_day": 150} == await first.used()
    assert {"budget_day": 150, "key_budget_day": 70, "user_budget_day": 150} == await second.used()


async def test_an_answer_that_grows_is_held_to_the_days_tokens(limits: Limits) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=50, callers=(key(tokens_per_day=100),)), new_id()
    assert ("key_tokens_day",) == (await tenant.reserve(tokens=101)).violated
    assert (
        await tenant.reserve(job, tokens=60)
    ).allowed  # a minute's limit is no reason to refuse a long call, a day's is
    assert not await tenant.extend(job, tokens=41)
    await tenant.settle(job, tokens=55)
    assert 55 == (await tenant.used())["key_tokens_day"]


async def test_a_budget_begins_with_what_was_spent_before_it_was_set(
    limits: Limits, spending: FakeSpending, clock: Clock
) -> None:
    spending.callers = {"key": Spent(70, 300, 1000)}
    tenant = Tenant(limits, callers=(key(budget_day_nanos=100, budget_month_nanos=1000, tokens_per_day=2000),))
    assert {"key_budget_day": 70, "key_budget_month": 300, "key_tokens_day": 1000} == await tenant.used()
    assert 1 == spending.reads  # the tenant has no budget
    clock.advance(14 * 3600)
    spending.callers = {"key": Spent(0, 300, 0)}
    assert {"key_budget_day": 0, "key_budget_month": 300, "key_tokens_day": 0} == await tenant.used()


async def test_money_and_tokens_of_an_owner_warn_once_each(limits: Limits) -> None:
    tenant = Tenant(limits, callers=(key(budget_day_nanos=100, tokens_per_day=100),))
    calls = ((10, 85), (75, 1), (1, 1))
    warned = [(await tenant.reserve(tokens=tokens, nanos=nanos)).warn for tokens, nanos in calls]
    assert [("key_budget_day",), ("key_tokens_day",), ()] == warned


async def test_a_tenant_without_limits_asks_redis_only_for_callers_with_budgets() -> None:
    assert LimitPolicy().is_unlimited
    assert not LimitPolicy(callers=(key(tokens_per_day=1),)).is_unlimited
    assert not LimitPolicy(callers=(key(tokens_per_day=1),)).limits_money


@pytest.mark.parametrize(
    ("name", "limit", "told"),
    [
        ("budget_day", USD, "This tenant's budget of $1.00 a day is used up. It renews at 00:00 UTC, or an admin can"),
        (
            "key_budget_month",
            USD,
            "This API key's budget of $1.00 a month is used up. It renews on the first of the next",
        ),
        (
            "user_tokens_day",
            5000,
            "This user's budget of 5,000 tokens a day is used up. It renews at 00:00 UTC, or an owner",
        ),
    ],
)
def test_a_refusal_says_which_budget_how_much_and_when_it_renews(name: str, limit: int, told: str) -> None:
    assert budget_used_up(Quota(name, limit, limit, 60)).startswith(told)


def test_a_call_that_needs_more_than_a_key_has_left_is_told_what_is_left() -> None:
    quota = Quota("key_tokens_day", 2000, 1500, 60)
    told = find_too_large(Verdict(False, ("key_tokens_day",), 60, (quota,)), RequestedUsage(20, 1024, 0))
    assert told is not None
    assert "reserves 1,044 tokens" in told.message
    assert "500 of this API key's 2,000 tokens a day are left" in told.message
