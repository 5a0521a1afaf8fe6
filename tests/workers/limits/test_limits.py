"""Limits on a real Redis: what is allowed, what is returned, and what happens when Redis loses its data.

Time stands still unless a test advances it.
"""

import pytest

from schema import redis_names
from schema.ids import new_id
from tests.workers.limit_calls import Clock, FakeSpending, Tenant
from workers.limits.limits import STATE, UNSEEDED, LimitPolicy, Limits, Reserved, Spent
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient, RedisUnavailable

USD = 10**9


# Requests


async def test_requests_over_the_limit_are_refused_for_at_most_61_seconds(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, requests_per_minute=2)
    clock.advance(0.4)
    first, second, third = [await tenant.reserve() for _ in range(3)]
    assert [True, True, False] == [first.allowed, second.allowed, third.allowed]
    assert (("requests",), 61) == (third.violated, third.retry_after_s)
    clock.advance(60.5)
    assert not (await tenant.reserve()).allowed
    clock.advance(0.1)
    assert (await tenant.reserve()).allowed


async def test_retry_after_is_the_earliest_time_at_which_the_call_succeeds(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, tokens_per_minute=100)
    for tokens in (10, 20, 30, 40):
        await tenant.reserve(tokens=tokens)
        clock.advance(7)
    refused = await tenant.reserve(tokens=45)
    assert (("tokens",), 47) == (refused.violated, refused.retry_after_s)  # when 10, 20 and 30 have expired
    clock.advance(refused.retry_after_s - 1)
    assert not (await tenant.reserve(tokens=45)).allowed
    clock.advance(1)
    assert (await tenant.reserve(tokens=45)).allowed


async def test_a_refused_call_reserves_nothing(limits: Limits) -> None:
    tenant = Tenant(limits, requests_per_minute=10, tokens_per_minute=100, budget_day_nanos=USD, budget_month_nanos=USD)
    await tenant.reserve(tokens=90, nanos=5)
    before = await tenant.used()
    assert ("tokens",) == (await tenant.reserve(tokens=20, nanos=5)).violated
    assert ("tokens", "budget_day", "budget_month") == (await tenant.reserve(tokens=20, nanos=USD)).violated
    assert before == await tenant.used() == {"requests": 1, "tokens": 90, "budget_day": 5, "budget_month": 5}
    assert Reserved(1, 90, 5) == await limits.get_reserved(tenant.id)


async def test_a_limit_of_zero_allows_nothing(limits: Limits) -> None:
    for policy in ({"requests_per_minute": 0}, {"tokens_per_minute": 0}, {"budget_day_nanos": 0}):
        verdict = await Tenant(limits, **policy).reserve(nanos=1)
        assert (False, True) == (verdict.allowed, verdict.retry_after_s > 0)


async def test_tenants_do_not_share_their_limits(limits: Limits) -> None:
    one, other = Tenant(limits, requests_per_minute=1), Tenant(limits, requests_per_minute=1)
    assert [True, False] == [(await one.reserve()).allowed, (await one.reserve()).allowed]
    assert (await other.reserve()).allowed


async def test_a_clock_that_was_set_back_does_not_lock_a_tenant_out(limits: Limits, clock: Clock) -> None:
    tenant = Tenant(limits, requests_per_minute=1)
    await tenant.reserve()
    clock.advance(-3600)
    assert (await tenant.reserve()).allowed


async def test_without_limits_redis_is_not_called() -> None:
    tenant = Tenant(Limits(RedisClient(RedisAddress(port=1)), FakeSpending()))
    assert tenant.policy.is_unlimited
    assert not LimitPolicy(requests_per_minute=0).is_unlimited
    assert (await tenant.reserve(tokens=5, nanos=7)).allowed
    assert await tenant.extend(new_id(), tokens=5)
    assert {} == await tenant.used()


# Tokens


async def test_a_reservation_over_the_limit_is_clamped_to_it(limits: Limits) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100), new_id()
    verdict = await tenant.reserve(job, tokens=1024)
    assert (True, 100) == (verdict.allowed, verdict.tokens)
    assert not (await tenant.reserve(tokens=1024)).allowed


async def test_a_reservation_of_nothing_does_not_pass_a_full_window(limits: Limits) -> None:
    tenant = Tenant(limits, tokens_per_minute=100)
    await tenant.reserve(tokens=100)
    assert not (await tenant.reserve(tokens=0)).allowed


async def test_unused_tokens_are_returned_to_the_second_they_were_reserved_in(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100), new_id()
    await tenant.reserve(job, tokens=80)
    clock.advance(30)
    assert await tenant.settle(job, tokens=30)
    assert {"tokens": 30} == await tenant.used()
    clock.advance(31)
    assert {"tokens": 0} == await tenant.used()


async def test_a_refund_after_its_minute_changes_no_window(
    limits: Limits, clock: Clock, redis_client: RedisClient
) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100, requests_per_minute=5), new_id()
    await tenant.reserve(job, tokens=80)
    clock.advance(70)
    await tenant.reserve(tokens=60)
    assert await tenant.settle(job, tokens=1, refund_request=True)
    assert {"tokens": 60, "requests": 1} == await tenant.used()
    keys = [redis_names.limit_window(tenant.id, name) for name in ("requests", "tokens")]
    assert [1, 1] == [await redis_client.call("HLEN", key) for key in keys]


async def test_tokens_beyond_the_reservation_count_from_now(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100), new_id()
    await tenant.reserve(job, tokens=80)
    clock.advance(70)  # a long answer: its reservation has left the window
    assert await tenant.settle(job, tokens=230)
    assert {"tokens": 150} == await tenant.used()
    assert 61 == (await tenant.reserve()).retry_after_s


async def test_a_running_answer_can_extend_its_reservation_within_the_limit(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, tokens_per_minute=100, budget_day_nanos=50), new_id()
    await tenant.reserve(job, tokens=40, nanos=10)
    clock.advance(45)
    assert await tenant.extend(job, tokens=50, nanos=20)
    assert not await tenant.extend(job, tokens=20)
    assert not await tenant.extend(job, tokens=1, nanos=30)
    assert Reserved(1, 90, 30) == await limits.get_reserved(tenant.id)
    clock.advance(20)
    assert {"tokens": 50, "budget_day": 30} == await tenant.used()  # the first 40 have left the window
    assert await tenant.settle(job, tokens=60, nanos=25)  # and the 30 unused go back to the second slot
    assert {"tokens": 20, "budget_day": 25} == await tenant.used()


async def test_an_answer_whose_reservation_redis_lost_is_not_stopped(limits: Limits) -> None:
    tenant = Tenant(limits, tokens_per_minute=100)
    assert await tenant.extend(new_id(), tokens=1000)
    assert {"tokens": 0} == await tenant.used()


async def test_a_tenant_without_a_token_limit_has_no_token_window(limits: Limits, redis_client: RedisClient) -> None:
    tenant, job = Tenant(limits, requests_per_minute=5), new_id()
    assert 500 == (await tenant.reserve(job, tokens=500)).tokens
    assert await tenant.extend(job, tokens=256)
    assert await tenant.extend(job, tokens=256, nanos=9)
    assert [str(job).encode(), b"9 1795255200 0:1012"] == await redis_client.call(
        "HGETALL", redis_names.limits(tenant.id)[0]
    )
    assert Reserved(1, 1012, 9) == await limits.get_reserved(tenant.id)
    assert await tenant.settle(job, tokens=1900)
    assert 0 == await redis_client.call("EXISTS", redis_names.limit_window(tenant.id, "tokens"))


# Settling


async def test_settling_twice_has_no_further_effect(limits: Limits) -> None:
    tenant, job = Tenant(limits, requests_per_minute=9, tokens_per_minute=100, budget_day_nanos=USD), new_id()
    await tenant.reserve(job, tokens=50, nanos=400)
    assert await tenant.settle(job, tokens=20, nanos=300)
    once = await tenant.used()
    assert not await tenant.settle(job, tokens=90, nanos=900, refund_request=True)
    assert once == await tenant.used() == {"requests": 1, "tokens": 20, "budget_day": 300}
    assert Reserved(0, 0, 0) == await limits.get_reserved(tenant.id)


async def test_a_failed_submit_refunds_the_request_and_a_failed_job_does_not(limits: Limits) -> None:
    tenant, submit, job = Tenant(limits, requests_per_minute=9, tokens_per_minute=100), new_id(), new_id()
    await tenant.reserve(submit, tokens=50)
    await tenant.reserve(job, tokens=50)
    await tenant.settle(submit, refund_request=True)
    await tenant.settle(job)
    assert {"requests": 1, "tokens": 0} == await tenant.used()


async def test_a_job_that_reserves_again_keeps_its_reservation(limits: Limits) -> None:
    tenant, job = Tenant(limits, requests_per_minute=1, tokens_per_minute=100), new_id()
    first = await tenant.reserve(job, tokens=50, nanos=3)
    assert await tenant.extend(job, tokens=10)
    again = await tenant.reserve(job, tokens=70, nanos=9)
    assert (True, 60, 3) == (again.allowed, again.tokens, again.nanos)
    assert first.quotas[0] == again.quotas[0]
    assert {"requests": 1, "tokens": 60} == await tenant.used()


async def test_old_reservations_are_listed_until_they_are_settled(limits: Limits, clock: Clock) -> None:
    tenant, jobs = Tenant(limits, requests_per_minute=9), [new_id() for _ in range(3)]
    for job in jobs:
        await tenant.reserve(job)
        clock.advance(100)
    assert [(tenant.id, jobs[0]), (tenant.id, jobs[1])] == await limits.list_old_reservations(150)
    assert [(tenant.id, jobs[0])] == await limits.list_old_reservations(150, limit=1)
    await tenant.settle(jobs[0])
    assert [(tenant.id, jobs[1])] == await limits.list_old_reservations(150)
    assert [] == await limits.list_old_reservations(3600)


async def test_settling_removes_a_reservation_that_is_only_left_in_the_list(
    limits: Limits, redis_client: RedisClient, clock: Clock
) -> None:
    tenant, job = Tenant(limits, requests_per_minute=9), new_id()
    await tenant.reserve(job)
    await redis_client.call("DEL", *redis_names.limits(tenant.id))
    clock.advance(100)
    assert not await tenant.settle(job)
    assert [] == await limits.list_old_reservations(1)


# A Redis that loses its data or is unavailable


async def test_after_a_wipe_work_continues_and_spending_is_read_from_postgres(
    limits: Limits, spending: FakeSpending, redis_client: RedisClient
) -> None:
    tenant, job = Tenant(limits, requests_per_minute=1, budget_day_nanos=100), new_id()
    await tenant.reserve(job, nanos=60)
    await redis_client.call("FLUSHALL")
    await redis_client.call("SCRIPT", "FLUSH")
    spending.day = 90
    assert not await tenant.settle(job, nanos=60)
    assert Reserved(0, 0, 0) == await limits.get_reserved(tenant.id)
    verdict = await tenant.reserve(nanos=20)
    assert (("budget_day",), 2) == (verdict.violated, spending.reads)
    assert (await tenant.reserve(nanos=10)).allowed
    assert 2 == spending.reads


async def test_spending_while_redis_was_unavailable_is_known_within_the_hour(
    limits: Limits, spending: FakeSpending, clock: Clock
) -> None:
    tenant, job = Tenant(limits, budget_day_nanos=100), new_id()
    await tenant.reserve(job, nanos=10)
    await tenant.settle(job, nanos=10)
    spending.day = 70  # these 10 and 60 others
    clock.advance(3599)
    assert {"budget_day": 10} == await tenant.used()
    clock.advance(1)
    assert {"budget_day": 70} == await tenant.used()


async def test_a_settlement_during_seeding_is_not_missed(limits: Limits, clock: Clock) -> None:
    tenant, job = Tenant(limits, budget_day_nanos=100), new_id()
    await tenant.reserve(job, nanos=10)
    clock.advance(3600)

    async def settle_meanwhile(*_: object) -> tuple[int, int]:
        await tenant.settle(job, nanos=30)
        assert [UNSEEDED] == await limits._run_script(STATE, tenant.id, tenant.policy.argument)  # others call as well
        return 50, 50

    limits._read_spent = settle_meanwhile
    assert {"budget_day": 80} == await tenant.used()


async def test_seeding_has_no_effect_on_valid_figures(limits: Limits) -> None:
    tenant = Tenant(limits, budget_day_nanos=100)
    await limits.seed(tenant.id, Spent(7, 7))  # before the first call
    await tenant.reserve(nanos=10)
    await limits.seed(tenant.id, Spent(55, 55))
    assert {"budget_day": 10} == await tenant.used()


async def test_all_keys_of_a_tenant_expire(limits: Limits, redis_client: RedisClient) -> None:
    tenant, job = Tenant(limits, requests_per_minute=9, tokens_per_minute=9, budget_month_nanos=100), new_id()
    await tenant.reserve(job, tokens=5, nanos=10)
    await tenant.settle(job, tokens=7, nanos=10)
    keys = await redis_client.call("KEYS", "*")
    windows = {redis_names.limit_window(tenant.id, name) for name in ("requests", "tokens")}
    assert {*redis_names.limits(tenant.id), *windows} > {key.decode() for key in keys}
    assert all([await redis_client.call("PTTL", key) > 0 for key in keys])


async def test_an_unavailable_redis_raises_for_the_caller_to_decide(unused_tcp_port: int) -> None:
    tenant = Tenant(Limits(RedisClient(RedisAddress(port=unused_tcp_port)), FakeSpending()), requests_per_minute=1)
    for call in (tenant.reserve, tenant.used, lambda: tenant.settle(new_id()), lambda: tenant.extend(new_id())):
        with pytest.raises(RedisUnavailable):
            await call()
    with pytest.raises(RedisUnavailable):
        await tenant.limits.list_old_reservations(1)
