"""The limits of a tenant, on a real store: what is let in, what is given back, and what is forgotten.

Time stands still here unless a test moves it.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from schema import redis_names
from schema.ids import new_id
from tests.workers.limit_calls import Books, Clock, Tenant
from workers.limits.limits import SETTLE, STATE, UNSEEDED, LimitPolicy, Limits, Reserved
from workers.redis.client import RedisClient, RedisUnavailable
from workers.redis.connection import RedisAddress, ReplyError

USD = 10**9


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[RedisClient]:
    redis_client = RedisClient(RedisAddress.from_url(redis_url))
    await redis_client.call("FLUSHDB")
    yield redis_client
    await redis_client.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def limits(redis_client: RedisClient, clock: Clock, books: Books) -> Limits:
    return Limits(redis_client, books, now_ms=clock)


# Requests


async def test_requests_over_the_limit_are_refused_until_the_first_is_61_seconds_away_at_most(
    limits: Limits, clock: Clock
) -> None:
    tenant = Tenant(limits, requests_per_minute=2)
    clock.pass_s(0.4)
    first, second, third = [await tenant.reserve() for _ in range(3)]
    assert [True, True, False] == [first.allowed, second.allowed, third.allowed]
    assert (("requests",), 61) == (third.violated, third.retry_after_s)
    clock.pass_s(60.5)
    assert not (await tenant.reserve()).allowed
    clock.pass_s(0.1)
    assert (await tenant.reserve()).allowed


async def test_the_moment_to_come_back_is_the_earliest_at_which_the_call_passes(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, tokens_per_minute=100)
    for tokens in (10, 20, 30, 40):
        await tenant.reserve(tokens=tokens)
        clock.pass_s(7)
    refused = await tenant.reserve(tokens=45)
    assert (("tokens",), 47) == (refused.violated, refused.retry_after_s)  # when 10, 20 and 30 are away
    clock.pass_s(refused.retry_after_s - 1)
    assert not (await tenant.reserve(tokens=45)).allowed
    clock.pass_s(1)
    assert (await tenant.reserve(tokens=45)).allowed


async def test_a_refused_call_takes_nothing_from_any_limit(limits: Limits) -> None:
    tenant = Tenant(limits, requests_per_minute=10, tokens_per_minute=100, budget_day_nanos=USD, budget_month_nanos=USD)
    await tenant.reserve(tokens=90, nanos=5)
    before = await tenant.used()
    assert ("tokens",) == (await tenant.reserve(tokens=20, nanos=5)).violated
    assert ("tokens", "budget_day", "budget_month") == (await tenant.reserve(tokens=20, nanos=USD)).violated
    assert before == await tenant.used() == {"requests": 1, "tokens": 90, "budget_day": 5, "budget_month": 5}
    assert Reserved(1, 90, 5) == await limits.reserved(tenant.id)


async def test_a_limit_of_zero_lets_nothing_in(limits: Limits) -> None:
    for policy in ({"requests_per_minute": 0}, {"tokens_per_minute": 0}, {"budget_day_nanos": 0}):
        verdict = await Tenant(limits, **policy).reserve(nanos=1)
        assert (False, True) == (verdict.allowed, verdict.retry_after_s > 0)


async def test_tenants_do_not_share_their_limits(limits: Limits) -> None:
    one, other = Tenant(limits, requests_per_minute=1), Tenant(limits, requests_per_minute=1)
    assert [True, False] == [(await one.reserve()).allowed, (await one.reserve()).allowed]
    assert (await other.reserve()).allowed


async def test_a_clock_that_was_set_back_does_not_shut_a_tenant_out(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, requests_per_minute=1)
    await tenant.reserve()
    clock.pass_s(-3600)
    assert (await tenant.reserve()).allowed


async def test_without_limits_redis_is_not_asked() -> None:
    tenant = Tenant(Limits(RedisClient(RedisAddress(port=1)), Books()))
    assert tenant.policy.is_unlimited
    assert not LimitPolicy(requests_per_minute=0).is_unlimited
    assert (await tenant.reserve(tokens=5, nanos=7)).allowed
    assert await tenant.extend(new_id(), tokens=5)
    assert {} == await tenant.used()


# Tokens


async def test_a_reservation_over_the_limit_is_cut_down_to_it(limits: Limits) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100), new_id()
    verdict = await tenant.reserve(job, tokens=1024)
    assert (True, 100) == (verdict.allowed, verdict.tokens)
    assert not (await tenant.reserve(tokens=1024)).allowed


async def test_a_reservation_of_nothing_does_not_pass_a_full_window(limits: Limits) -> None:
    tenant = Tenant(limits, tokens_per_minute=100)
    await tenant.reserve(tokens=100)
    assert not (await tenant.reserve(tokens=0)).allowed


async def test_what_was_not_used_goes_back_to_the_second_it_came_from(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100), new_id()
    await tenant.reserve(job, tokens=80)
    clock.pass_s(30)
    assert await tenant.settle(job, tokens=30)
    assert {"tokens": 30} == await tenant.used()
    clock.pass_s(31)
    assert {"tokens": 0} == await tenant.used()


async def test_a_refund_that_comes_after_its_minute_changes_no_window(
    limits: Limits, clock: Clock, redis_client: RedisClient
) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100, requests_per_minute=5), new_id()
    await tenant.reserve(job, tokens=80)
    clock.pass_s(70)
    await tenant.reserve(tokens=60)
    assert await tenant.settle(job, tokens=1, refund_request=True)
    assert {"tokens": 60, "requests": 1} == await tenant.used()
    assert [1, 1] == [await redis_client.call("HLEN", key) for key in redis_names.limits(tenant.id)[:2]]


async def test_tokens_beyond_the_reservation_are_a_debt_that_counts_from_now(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100), new_id()
    await tenant.reserve(job, tokens=80)
    clock.pass_s(70)  # a long answer: its reservation has left the window
    assert await tenant.settle(job, tokens=230)
    assert {"tokens": 150} == await tenant.used()
    assert 61 == (await tenant.reserve()).retry_after_s


async def test_a_running_answer_takes_more_while_there_is_room(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100, budget_day_nanos=50), new_id()
    await tenant.reserve(job, tokens=40, nanos=10)
    clock.pass_s(45)
    assert await tenant.extend(job, tokens=50, nanos=20)
    assert not await tenant.extend(job, tokens=20)
    assert not await tenant.extend(job, tokens=1, nanos=30)
    assert Reserved(1, 90, 30) == await limits.reserved(tenant.id)
    clock.pass_s(20)
    assert {"tokens": 50, "budget_day": 30} == await tenant.used()  # the first 40 have left the window
    assert await tenant.settle(job, tokens=60, nanos=25)  # and the 30 unused go back to the second slot
    assert {"tokens": 20, "budget_day": 25} == await tenant.used()


async def test_an_answer_whose_reservation_redis_forgot_is_not_cut_off(limits: Limits) -> None:
    tenant = Tenant(limits, tokens_per_minute=100)
    assert await tenant.extend(new_id(), tokens=1000)
    assert {"tokens": 0} == await tenant.used()


async def test_a_tenant_without_a_token_limit_has_no_token_window(limits: Limits, redis_client: RedisClient) -> None:
    tenant, job = Tenant(limits, requests_per_minute=5), new_id()
    assert 500 == (await tenant.reserve(job, tokens=500)).tokens
    assert await tenant.extend(job, tokens=256)
    assert await tenant.extend(job, tokens=256, nanos=9)
    assert [str(job).encode(), b"9 1795255200 0:1012"] == await redis_client.call(
        "HGETALL", redis_names.limits(tenant.id)[2]
    )
    assert Reserved(1, 1012, 9) == await limits.reserved(tenant.id)
    assert await tenant.settle(job, tokens=1900)
    assert 0 == await redis_client.call("EXISTS", redis_names.limits(tenant.id)[1])


# Settling


async def test_settling_twice_changes_nothing_the_second_time(limits: Limits) -> None:
    tenant, job = Tenant(limits, requests_per_minute=9, tokens_per_minute=100, budget_day_nanos=USD), new_id()
    await tenant.reserve(job, tokens=50, nanos=400)
    assert await tenant.settle(job, tokens=20, nanos=300)
    once = await tenant.used()
    assert not await tenant.settle(job, tokens=90, nanos=900, refund_request=True)
    assert once == await tenant.used() == {"requests": 1, "tokens": 20, "budget_day": 300}
    assert Reserved(0, 0, 0) == await limits.reserved(tenant.id)


async def test_a_failed_submit_gives_the_request_back_and_a_failed_job_does_not(limits: Limits) -> None:
    tenant, submit, job = Tenant(limits, requests_per_minute=9, tokens_per_minute=100), new_id(), new_id()
    await tenant.reserve(submit, tokens=50)
    await tenant.reserve(job, tokens=50)
    await tenant.settle(submit, refund_request=True)
    await tenant.settle(job)
    assert {"requests": 1, "tokens": 0} == await tenant.used()


async def test_a_job_that_asks_again_keeps_what_it_holds(limits: Limits) -> None:
    tenant, job = Tenant(limits, requests_per_minute=1, tokens_per_minute=100), new_id()
    first = await tenant.reserve(job, tokens=50, nanos=3)
    assert await tenant.extend(job, tokens=10)
    again = await tenant.reserve(job, tokens=70, nanos=9)
    assert (True, 60, 3) == (again.allowed, again.tokens, again.nanos)
    assert first.quotas[0] == again.quotas[0]
    assert {"requests": 1, "tokens": 60} == await tenant.used()


async def test_old_reservations_are_found_until_they_are_settled(limits: Limits, clock: Clock) -> None:
    tenant, jobs = Tenant(limits, requests_per_minute=9), [new_id() for _ in range(3)]
    for job in jobs:
        await tenant.reserve(job)
        clock.pass_s(100)
    assert [(tenant.id, jobs[0]), (tenant.id, jobs[1])] == await limits.list_old(150)
    assert [(tenant.id, jobs[0])] == await limits.list_old(150, limit=1)
    await tenant.settle(jobs[0])
    assert [(tenant.id, jobs[1])] == await limits.list_old(150)
    assert [] == await limits.list_old(3600)


async def test_a_reservation_of_which_only_the_note_for_the_sweeper_is_left_goes_when_it_is_settled(
    limits: Limits, redis_client: RedisClient, clock: Clock
) -> None:
    tenant, job = Tenant(limits, requests_per_minute=9), new_id()
    await tenant.reserve(job)
    await redis_client.call("DEL", *redis_names.limits(tenant.id))
    clock.pass_s(100)
    assert not await tenant.settle(job)
    assert [] == await limits.list_old(1)


# Money


async def test_money_is_reserved_and_then_spent_as_it_really_was(limits: Limits, books: Books) -> None:
    books.day, books.month = 2 * USD, 7 * USD
    tenant, job = Tenant(limits, budget_day_nanos=3 * USD, budget_month_nanos=9 * USD), new_id()
    assert (await tenant.reserve(job, nanos=USD // 2)).allowed
    assert {"budget_day": 2_500_000_000, "budget_month": 7_500_000_000} == await tenant.used()
    await tenant.settle(job, nanos=800_000_000)
    assert {"budget_day": 2_800_000_000, "budget_month": 7_800_000_000} == await tenant.used()
    assert 1 == books.asked
    refused = await tenant.reserve(nanos=USD // 2)
    assert ("budget_day",) == refused.violated
    assert 14 * 3600 == refused.retry_after_s  # midnight, UTC


async def test_an_empty_month_is_empty_until_the_next(limits: Limits, books: Books) -> None:
    books.month = 9 * USD
    tenant = Tenant(limits, budget_day_nanos=USD, budget_month_nanos=9 * USD)
    refused = await tenant.reserve(nanos=1)
    assert (("budget_month",), (9 * 24 + 14) * 3600) == (refused.violated, refused.retry_after_s)


async def test_a_call_that_costs_nothing_passes_an_empty_budget(limits: Limits, books: Books) -> None:
    books.day = 5 * USD
    tenant = Tenant(limits, budget_day_nanos=USD)
    assert not (await tenant.reserve(nanos=1)).allowed
    assert (await tenant.reserve(nanos=0)).allowed


async def test_a_new_day_begins_with_what_is_still_reserved(limits: Limits, books: Books, clock: Clock) -> None:
    tenant, job = Tenant(limits, budget_day_nanos=100, budget_month_nanos=1000), new_id()
    await tenant.reserve(job, nanos=60)
    clock.pass_s(14 * 3600)
    assert {"budget_day": 60, "budget_month": 60} == await tenant.used()
    assert not (await tenant.reserve(nanos=50)).allowed
    await tenant.settle(job, nanos=40)
    assert {"budget_day": 40, "budget_month": 40} == await tenant.used()


async def test_the_budgets_periods_end_where_the_calendars_do(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, budget_day_nanos=1, budget_month_nanos=1)
    moment = datetime(2027, 12, 30, 23, 59, 58, tzinfo=UTC)
    for _ in range(300):
        clock.ms = int(moment.timestamp() * 1000)
        day, month = await limits.state(tenant.id, tenant.policy)
        midnight = (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        first = (moment.replace(day=1) + timedelta(days=31)).replace(day=1, hour=0, minute=0, second=0)
        assert (midnight - moment).total_seconds() == day.reset_s
        assert (first - moment).total_seconds() == month.reset_s
        moment += timedelta(days=5, seconds=3)


async def test_a_budget_of_millions_is_counted_to_the_nano(limits: Limits, books: Books) -> None:
    books.day = 4_000_000 * USD + 1
    tenant, job = Tenant(limits, budget_day_nanos=8_000_000 * USD), new_id()
    verdict = await tenant.reserve(job, nanos=3_999_999 * USD + 7)
    assert (7_999_999 * USD + 8, USD - 8) == (verdict.quotas[0].used, verdict.quotas[0].remaining)
    await tenant.settle(job, nanos=3_000_000 * USD + 3)
    assert {"budget_day": 7_000_000 * USD + 4} == await tenant.used()


async def test_each_budget_warns_once_in_its_period(limits: Limits, books: Books, clock: Clock) -> None:
    tenant = Tenant(limits, budget_day_nanos=100, budget_month_nanos=300)
    warned = [(await tenant.reserve(nanos=nanos)).warn for nanos in (79, 1, 1, 100)]
    assert [(), ("budget_day",), (), ()] == warned
    clock.pass_s(3600)
    books.day, books.month = 0, 170  # and 81 are reserved
    assert [("budget_month",), ()] == [(await tenant.reserve(nanos=nanos)).warn for nanos in (0, 0)]
    clock.pass_s(86_400)
    assert ("budget_day",) == (await tenant.reserve(nanos=0)).warn


# A Redis that forgets, or is away


async def test_a_wiped_redis_lets_work_go_on_and_asks_for_what_was_spent(
    limits: Limits, books: Books, redis_client: RedisClient
) -> None:
    tenant, job = Tenant(limits, requests_per_minute=1, budget_day_nanos=100), new_id()
    await tenant.reserve(job, nanos=60)
    await redis_client.call("FLUSHALL")
    await redis_client.call("SCRIPT", "FLUSH")
    books.day = 90
    assert not await tenant.settle(job, nanos=60)
    assert Reserved(0, 0, 0) == await limits.reserved(tenant.id)
    verdict = await tenant.reserve(nanos=20)
    assert (("budget_day",), 2) == (verdict.violated, books.asked)
    assert (await tenant.reserve(nanos=10)).allowed
    assert 2 == books.asked


async def test_what_was_spent_while_redis_was_away_is_learnt_within_the_hour(
    limits: Limits, books: Books, clock: Clock
) -> None:
    tenant, job = Tenant(limits, budget_day_nanos=100), new_id()
    await tenant.reserve(job, nanos=10)
    await tenant.settle(job, nanos=10)
    books.day = 70  # these 10 and 60 others
    clock.pass_s(3599)
    assert {"budget_day": 10} == await tenant.used()
    clock.pass_s(1)
    assert {"budget_day": 70} == await tenant.used()


async def test_a_settlement_between_the_question_and_the_answer_is_not_missed(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, budget_day_nanos=100), new_id()
    await tenant.reserve(job, nanos=10)
    clock.pass_s(3600)

    async def settle_meanwhile(_: object) -> tuple[int, int]:
        await tenant.settle(job, nanos=30)
        assert [UNSEEDED] == await limits._run(STATE, tenant.id, *tenant.policy.arguments)  # others ask as well
        return 50, 50

    limits._spent = settle_meanwhile
    assert {"budget_day": 80} == await tenant.used()


async def test_seeding_changes_nothing_where_redis_knows(limits: Limits) -> None:
    tenant = Tenant(limits, budget_day_nanos=100)
    await limits.seed(tenant.id, 7, 7)  # nobody has asked
    await tenant.reserve(nanos=10)
    await limits.seed(tenant.id, 55, 55)
    assert {"budget_day": 10} == await tenant.used()


async def test_nothing_of_a_tenant_stays_in_redis(limits: Limits, redis_client: RedisClient) -> None:
    tenant, job = Tenant(limits, requests_per_minute=9, tokens_per_minute=9, budget_month_nanos=100), new_id()
    await tenant.reserve(job, tokens=5, nanos=10)
    await tenant.settle(job, tokens=7, nanos=10)
    keys = await redis_client.call("KEYS", "*")
    assert {*redis_names.limits(tenant.id)} > {key.decode() for key in keys}
    assert all([await redis_client.call("PTTL", key) > 0 for key in keys])


async def test_a_redis_that_is_away_is_the_callers_to_judge(unused_tcp_port: int) -> None:
    tenant = Tenant(Limits(RedisClient(RedisAddress(port=unused_tcp_port)), Books()), requests_per_minute=1)
    for call in (tenant.reserve, tenant.used, lambda: tenant.settle(new_id()), lambda: tenant.extend(new_id())):
        with pytest.raises(RedisUnavailable):
            await call()
    with pytest.raises(RedisUnavailable):
        await tenant.limits.list_old(1)


@pytest.mark.parametrize(
    ("reply", "raised"), [("LOADING still", RedisUnavailable), ("OOM", RedisUnavailable), ("ERR x", ReplyError)]
)
async def test_a_redis_that_cannot_do_its_work_is_away_and_a_mistake_of_ours_is_none(
    reply: str, raised: type[Exception], limits: Limits, redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ReplyError(reply)

    monkeypatch.setattr(redis_client, "call", refuse)
    with pytest.raises(raised):
        await limits._run(SETTLE, new_id())
