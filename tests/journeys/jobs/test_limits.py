"""A tenant's limits over several API processes: exact under concurrency, given back when workers die, told in headers."""

import asyncio
from typing import Any

import aiohttp

from schema.model_catalog.catalog import LATEST_TTL_S
from tests.conftest import TestTenant
from tests.journeys.client import Client
from tests.system import System
from tests.waiting import wait_for
from tests.workers.jobs import change, rows
from workers.limits.limits import Limits
from workers.redis.address import RedisAddress
from workers.redis.client import RedisClient


def limit(database_url: str, tenant: TestTenant, **limits: int) -> None:
    """Set limits of a tenant: columns of `tenants`."""
    for name, value in limits.items():
        change(database_url, f"UPDATE tenants SET {name} = %s WHERE id = %s", value, tenant.id)


async def set_price(database_url: str, model: str) -> None:
    """Give a model a price: $1 and $100 for a million tokens in and out. Every process has it after this."""
    sql = "INSERT INTO models (name, input_usd, output_usd) VALUES (%s, 1, 100) ON CONFLICT (name) DO NOTHING"
    change(database_url, sql, model)
    await asyncio.sleep(LATEST_TTL_S)  # who read prices just before has them for so long


async def nothing_spent(*_: Any) -> tuple[int, int]:
    return 0, 0


async def reserved(system: System, tenant: TestTenant) -> tuple[int, int, int]:
    """What the tenant's jobs hold now: jobs, tokens, nano-USD."""
    redis_client = RedisClient(RedisAddress.from_url(system.env["HEADRACE_REDIS_URL"]))
    held = await Limits(redis_client, nothing_spent).get_reserved(tenant.id)
    await redis_client.close()
    return held.jobs, held.tokens, held.nanos


async def post(http: aiohttp.ClientSession, url: str, tenant: TestTenant, model: str) -> tuple[int, Any]:
    body = {"message": "Tell me.", "model": f"openai/{model}"}
    async with http.post(f"{url}/api/chat", json=body, headers=tenant.headers) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()} | {
            "body": await answer.json()
        }


async def test_of_sixty_requests_through_four_processes_exactly_the_limit_is_accepted(
    system: System, tenant: TestTenant, shared_url: str
):
    limit(shared_url, tenant, requests_per_minute=20)
    others = ["api2", "api3", "api4"]
    for name in others:
        system.start(name)
    await asyncio.gather(*(system.ready(name) for name in others))
    urls = [system.url, *(system.url_of(name) for name in others)]
    async with aiohttp.ClientSession() as http:
        answers = await asyncio.gather(*(post(http, urls[i % 4], tenant, "text-3") for i in range(60)))
    refused = [told for status, told in answers if status == 429]
    assert (20, 40) == (sum(status == 200 for status, _ in answers), len(refused))
    assert {"rate_limit_exceeded"} == {told["body"]["code"] for told in refused}
    assert all('"requests";q=20;w=60' in told["ratelimit-policy"] for _, told in answers)
    assert all(0 < int(told["retry-after"]) <= 61 for told in refused)
    assert (0, 0, 0) == await wait_for_nothing_reserved(system, tenant)


async def test_fifty_answers_at_once_charge_no_more_tokens_than_the_limit_and_one_answer(
    system: System, tenant: TestTenant, shared_url: str
):
    limit(shared_url, tenant, tokens_per_minute=4000)
    async with aiohttp.ClientSession() as http:
        answers = await asyncio.gather(*(post(http, system.url, tenant, "text-175") for _ in range(50)))
    accepted = [told for status, told in answers if status == 200]
    (charged,) = rows(
        shared_url,
        "SELECT sum(input_tokens + output_tokens) AS tokens, count(*) AS jobs FROM usage_records WHERE tenant_id = %s",
        tenant.id,
    )
    assert accepted
    assert {200, 429} == {status for status, _ in answers}
    assert len(accepted) == charged["jobs"]
    assert charged["tokens"] <= 4000 + 177
    assert (0, 0, 0) == await wait_for_nothing_reserved(system, tenant)


async def test_an_answer_that_outgrows_what_is_left_is_ended_there(
    system: System, tenant: TestTenant, client: Client, shared_url: str
):
    limit(shared_url, tenant, tokens_per_minute=1300)
    _, answer = await client.post("/api/chat", {"message": "Tell me.", "model": "openai/text-5000-at-900"})
    assert "length" == answer["finish_reason"]
    assert 900 < answer["usage"]["output_tokens"] < 1300 + 512
    assert (0, 0, 0) == await wait_for_nothing_reserved(system, tenant)


async def test_reservations_return_to_zero_when_workers_are_killed(
    system: System, tenant: TestTenant, client: Client, shared_url: str
):
    limit(shared_url, tenant, tokens_per_minute=1_000_000, requests_per_minute=1000)
    streams = [await client.ask("text-200-at-20") for _ in range(8)]
    for stream in streams:
        await stream.until("message.delta", 5)
    held = await reserved(system, tenant)
    system.kill("chat")
    system.start("chat")
    await asyncio.gather(*(stream.rest() for stream in streams))
    (charged,) = rows(shared_url, "SELECT count(*) AS jobs FROM usage_records WHERE tenant_id = %s", tenant.id)
    assert (8, 8) == (held[0], charged["jobs"])
    assert (0, 0, 0) == await wait_for_nothing_reserved(system, tenant)


async def test_a_spent_budget_refuses_and_warns_before(
    system: System, tenant: TestTenant, client: Client, shared_url: str
):
    await set_price(shared_url, "openai/text-500")
    limit(shared_url, tenant, budget_day_nanos=180_000_000)  # 0.18 $: three answers of 500 tokens are 0.15 $
    async with aiohttp.ClientSession() as http:
        answers = []
        for _ in range(3):
            answers.append(await post(http, system.url, tenant, "text-500"))
            await wait_for_nothing_reserved(system, tenant)  # an answer is told a moment before it is settled
    spent = rows(shared_url, "SELECT sum(cost_nanos) AS nanos FROM usage_records WHERE tenant_id = %s", tenant.id)
    statuses = [status for status, _ in answers]
    assert [200, 200, 429] == statuses
    assert "budget_exceeded" == answers[2][1]["body"]["code"]
    assert spent[0]["nanos"] <= 180_000_000

    def warned() -> list[Any]:
        return rows(shared_url, "SELECT * FROM audit_log WHERE tenant_id = %s AND action = 'budget.warned'", tenant.id)

    assert "budget_day" == (await wait_for(warned, "the warning is written"))[0]["target"]


async def test_fifty_calls_at_once_never_exceed_a_keys_budget(system: System, tenant: TestTenant, shared_url: str):
    await set_price(shared_url, "openai/text-40")
    budget = 150_000_000  # $0.15: less than 50 answers cost, were they one after the other. Each reserves 1,024 tokens, $0.10
    change(shared_url, "UPDATE api_keys SET budget_day_nanos = %s WHERE tenant_id = %s", budget, tenant.id)
    async with aiohttp.ClientSession() as http:
        answers = await asyncio.gather(*(post(http, system.url, tenant, "text-40") for _ in range(50)))
    refused = [told["body"] for status, told in answers if status != 200]
    assert {"budget_exceeded"} == {told["code"] for told in refused}
    assert all(
        "of this API key's budget of $0.15 a day" in told["detail"] or "is used up" in told["detail"]
        for told in refused
    )
    await wait_for_nothing_reserved(system, tenant)
    sql = "SELECT sum(cost_nanos) AS nanos, sum(jobs) AS jobs, count(key_id) AS of_keys, count(*) AS rows FROM usage_records"
    (spent,) = rows(shared_url, f"{sql} WHERE tenant_id = %s", tenant.id)
    assert 0 < spent["nanos"] <= budget
    assert (50 - len(refused), spent["rows"]) == (spent["jobs"], spent["of_keys"])


async def wait_for_nothing_reserved(system: System, tenant: TestTenant) -> tuple[int, int, int]:
    async def none() -> tuple[int, int, int] | None:
        held = await reserved(system, tenant)
        return held if held == (0, 0, 0) else None

    return await wait_for(none, "nothing is reserved")
