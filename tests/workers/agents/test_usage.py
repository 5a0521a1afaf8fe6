"""What an answer costs: the price of the model that gave it, not of the one that was asked for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from schema.events import UsageRecorded
from tests.conftest import TestTenant
from tests.counterparts.behaviours import Turn, calls, fails, says
from tests.journeys.agent_setup import add_agent, grant_tools
from tests.workers.agent_runs import MODEL, AgentWorker, open_agent_worker
from tests.workers.jobs import change, rows

OTHER = "openai/dearer"


@pytest.fixture(scope="module")
async def worker(database_url: str, redis_url: str) -> AsyncIterator[AgentWorker]:
    async with open_agent_worker(database_url, redis_url) as opened:
        price = "INSERT INTO models (name, input_usd, output_usd, fallbacks) VALUES (%s, %s, %s, %s)"
        change(database_url, price, MODEL, 1, 1, Jsonb([OTHER]))
        change(database_url, price, OTHER, 100, 100, Jsonb([]))
        yield opened
        change(database_url, "DELETE FROM models WHERE name IN (%s, %s)", MODEL, OTHER)


def spent(worker: AgentWorker, tenant: TestTenant) -> dict[str, tuple[int, int, int]]:
    """Jobs, tokens and nanos of each model."""
    found = rows(worker.url, "SELECT * FROM usage_records WHERE tenant_id = %s", tenant.id)
    return {row["model"]: (row["jobs"], row["input_tokens"] + row["output_tokens"], row["cost_nanos"]) for row in found}


async def test_a_fallbacks_answer_has_the_fallbacks_price(worker: AgentWorker, tenant: TestTenant) -> None:
    add_agent(worker.url, tenant, "Guide", graph="chat")
    asker = worker.asker(tenant)
    worker.models.answer_with(lambda _: fails(500), model="counting")
    worker.models.script(says("Good morning."), model="dearer")
    answered = await asker.ask("Hello there!")
    assert "Good morning." == answered.text
    ((model, (jobs, tokens, nanos)),) = spent(worker, tenant).items()
    assert (OTHER, 1, 100_000 * tokens) == (model, jobs, nanos)
    assert tokens > 0


async def test_calls_of_two_models_have_two_prices(worker: AgentWorker, tenant: TestTenant) -> None:
    grant_tools(worker.url, tenant, "mathematics")
    add_agent(worker.url, tenant, "Guide", graph="react", tools=["mathematics"])
    asker = worker.asker(tenant)
    turns = iter([calls(("mathematics", {"expression": "17*23"})), *[fails(500)] * 9])
    worker.models.answer_with(lambda _: next(turns), model="counting")
    worker.models.script(says("It is 391."), model="dearer")
    answered = await asker.ask("What is 17 × 23?")
    assert "It is 391." == answered.text
    used = spent(worker, tenant)
    assert {MODEL, OTHER} == set(used)
    assert [(0, 1_000), (1, 100_000)] == [(used[name][0], used[name][2] // used[name][1]) for name in (MODEL, OTHER)]
    (recorded,) = [event for event in answered.events if isinstance(event, UsageRecorded)]
    assert OTHER == recorded.model
    assert [MODEL, OTHER] == [one.model for one in recorded.models or ()]


def _calls_once(body: dict[str, Any]) -> Turn:
    if body["messages"][-1]["role"] == "tool":
        return says("It is 391.")
    return calls(("mathematics", {"expression": "17*23"}))


async def test_the_prompt_of_each_call_decides_what_it_costs_not_their_sum(
    worker: AgentWorker, tenant: TestTenant
) -> None:
    tiers = (
        "UPDATE models SET dearer_above_tokens = 70000, dearer_input_usd = 10, dearer_output_usd = 10 WHERE name = %s"
    )
    change(worker.url, tiers, MODEL)
    grant_tools(worker.url, tenant, "mathematics")
    add_agent(worker.url, tenant, "Guide", graph="react", tools=["mathematics"])
    found = []
    for words in (66_000, 72_000):
        asker = worker.asker(tenant)
        worker.models.answer_with(_calls_once, model="counting")
        answered = await asker.ask("What is 17 × 23? " + "a " * words)
        (recorded,) = [event for event in answered.events if isinstance(event, UsageRecorded)]
        used = recorded.models or []
        assert {words} == {one.prompt_tokens // 1000 * 1000 for one in used}
        assert 2 * words <= sum(one.input_tokens for one in used)
        found.append(recorded.cost_usd)
        nanos = sum(one.input_tokens + one.output_tokens for one in used) * (1_000 if words < 70_000 else 10_000)
        assert nanos / 10**9 == recorded.cost_usd
    assert 5 * found[0] < found[1]
