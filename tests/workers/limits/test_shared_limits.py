"""Limits under concurrent calls, from several processes, and in any order."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from schema import redis_names
from schema.identity.budgets import CallerBudget
from schema.ids import new_id
from tests.waiting import PATIENCE_S
from tests.workers.limit_calls import Clock, FakeSpending, Tenant
from workers.limits import limits
from workers.limits.limits import Limits, Reserved
from workers.redis.client import RedisClient

ROOT = Path(__file__).parents[3]


async def test_four_processes_with_fifty_calls_each_allow_exactly_the_limit(redis_url: str) -> None:
    command = (sys.executable, "-m", "tests.workers.limit_calls", redis_url, str(new_id()), "50", "60")
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE) for _ in range(4)]
    async with asyncio.timeout(PATIENCE_S):
        for process in processes:
            assert process.stdout
            assert b"ready\n" == await process.stdout.readline()
        outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    accepted = [int(out) for out, _ in outputs]
    assert 60 == sum(accepted)
    assert [0] * 4 == [process.returncode for process in processes]


async def test_fifty_concurrent_answers_exceed_the_limit_by_at_most_one(
    redis_client: RedisClient,
) -> None:
    tenant = Tenant(Limits(redis_client, FakeSpending()), tokens_per_minute=1000)

    async def answer(reserve: int, used: int) -> int:
        job = new_id()
        if not (await tenant.reserve(job, tokens=reserve)).allowed:
            return 0
        if used > reserve and not await tenant.extend(job, tokens=used - reserve):
            used = reserve
        await tenant.settle(job, tokens=used)
        return used

    # Some reservations are right, some too low (they must be extended), some too high (the rest is returned).
    charged = sum(await asyncio.gather(*(answer(reserve, 175) for reserve in (175, 60, 300, 175, 100) * 10)))
    assert 1000 - 175 < charged <= 1000 + 175
    assert {"tokens": charged} == await tenant.used()


async def test_redis_own_clock_is_used(redis_client: RedisClient) -> None:
    tenant = Tenant(Limits(redis_client, FakeSpending()), requests_per_minute=1, budget_day_nanos=10)
    job = new_id()
    assert (await tenant.reserve(job)).allowed
    refused = await tenant.reserve()
    assert (False, True) == (refused.allowed, 59 <= refused.retry_after_s <= 61)
    assert (tenant.id, job) in await tenant.limits.list_old_reservations(-1)
    assert (tenant.id, job) not in await tenant.limits.list_old_reservations(60)


async def test_no_minute_exceeds_the_limit_and_no_refusal_lasts_a_second_too_long(
    redis_client: RedisClient,
) -> None:
    rng, clock = random.Random(7), Clock()
    tenant = Tenant(Limits(redis_client, FakeSpending(), now_ms=clock), requests_per_minute=10)
    accepted: list[int] = []
    for _ in range(1500):
        clock.ms += rng.choice((0, 40, 900, 2500, 7000))
        verdict = await tenant.reserve()
        recent = [at for at in accepted if at > clock.ms - 60_000]
        assert len(recent) + verdict.allowed <= 10
        if verdict.allowed:
            accepted.append(clock.ms)
        else:
            assert len([at for at in accepted if at > clock.ms - 61_000]) >= 10
    assert (
        await redis_client.call("HLEN", redis_names.limit_window(tenant.id, "requests")) <= 10
    )  # expired slots are deleted


@pytest.mark.parametrize("seed", range(5))
async def test_in_any_order_nothing_stays_reserved_and_the_window_has_what_was_used(
    seed: int, redis_client: RedisClient
) -> None:
    rng, clock, spending = random.Random(seed), Clock("2026-11-30T23:59:30+00:00"), FakeSpending(day=500, month=900)
    tenant = Tenant(
        Limits(redis_client, spending, now_ms=clock),
        requests_per_minute=120,
        tokens_per_minute=5000,
        budget_day_nanos=20_000,
        budget_month_nanos=90_000,
        callers=(
            CallerBudget(of="key", id=new_id(), budget_day_nanos=19_000, tokens_per_day=40_000),
            CallerBudget(of="user", id=new_id(), budget_month_nanos=80_000),
        ),
    )
    running, requests, tokens, spent = [], 0, 0, 0
    for step in range(400):
        clock.ms += rng.randrange(110)  # about 22 s in all: midnight stays ahead, and nothing leaves the window
        if rng.random() < 0.5 or not running:
            job = new_id()
            if (await tenant.reserve(job, tokens=rng.randrange(300), nanos=rng.randrange(900))).allowed:
                running.append(job)
                requests += 1
        elif rng.random() < 0.3:
            await tenant.extend(rng.choice(running), tokens=rng.randrange(200), nanos=rng.randrange(300))
        else:
            job = running.pop(rng.randrange(len(running)))
            used, cost, refund = rng.choice((0, rng.randrange(400))), rng.randrange(400), rng.random() < 0.1
            assert await tenant.settle(job, tokens=used, nanos=cost, refund_request=refund)
            requests, tokens, spent = requests - refund, tokens + used, spent + cost
        assert len(running) == (await tenant.limits.get_reserved(tenant.id)).jobs, step
    for job in running:
        await tenant.settle(job, tokens=3, nanos=2)
        tokens, spent = tokens + 3, spent + 2
    assert Reserved(0, 0, 0) == await tenant.limits.get_reserved(tenant.id)
    used = {"requests": requests, "tokens": tokens, "budget_day": 500 + spent, "budget_month": 900 + spent}
    used |= {"key_budget_day": spent, "key_tokens_day": tokens, "user_budget_month": spent}
    assert used == await tenant.used()
    assert [] == [job for owner, job in await tenant.limits.list_old_reservations(0) if owner == tenant.id]


async def test_windows_of_several_lengths_count_side_by_side(
    redis_client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = (*limits.WINDOWS, limits.Window("hourly", unit="requests", seconds=3600, limit="requests_per_minute"))
    monkeypatch.setattr(limits, "WINDOWS", windows)
    monkeypatch.setattr(limits, "WINDOWS_JSON", limits.describe_windows(windows))
    clock = Clock("2026-11-30T12:00:00+00:00")
    tenant = Tenant(Limits(redis_client, FakeSpending(), now_ms=clock), requests_per_minute=2)
    first = new_id()
    assert [True, True, False] == [(await tenant.reserve(job)).allowed for job in (first, new_id(), new_id())]
    clock.ms += 61_000
    assert ("hourly",) == (await tenant.reserve()).violated
    await tenant.settle(first, tokens=0, refund_request=True)
    assert {"requests": 0, "hourly": 1} == await tenant.used()
    assert (await tenant.reserve()).allowed
    clock.ms += 3_601_000
    assert {"requests": 0, "hourly": 0} == await tenant.used()
