"""Agents end to end: a question, the right agent, real HTTP calls of its tools with the caller's token, every step to be seen."""

import pytest

from tests.conftest import TestTenant
from tests.journeys.agents import DEBT, SHIPMENT, add_agent, add_tools, script
from tests.journeys.client import Client, assert_whole, kinds
from tests.system import ModelProcess

QUESTION = "What is the debt for customer MST 0104985841?"


@pytest.fixture
def agents(shared_url: str, tenant: TestTenant, erp_url: str) -> None:
    add_tools(shared_url, tenant, erp_url)
    add_agent(shared_url, tenant, "AgentDebt", **DEBT)
    add_agent(shared_url, tenant, "AgentShipment", **SHIPMENT)


async def test_a_question_finds_its_agent_which_asks_the_erp_with_the_callers_token(
    client: Client, provider: ModelProcess, agents: None
) -> None:
    debt = {"calls": [["get_customer_debt", {"tax_code": "0104985841"}]]}
    await script(provider.url, "debt-model", debt, {"said": "They owe 125,750,000 VND."})
    async with await client.ask("debt-model", QUESTION, agent="auto") as stream:
        events = await stream.rest()
    assert "They owe 125,750,000 VND." == assert_whole(events)
    assert [
        "job.queued", "job.started", "agent.routed", "tool.started", "tool.finished", "message.delta",
        "message.completed", "usage.recorded", "job.succeeded",
    ] == kinds(events)  # fmt: skip
    told = {event.type: event.data for event in events}
    assert ("AgentDebt", "react") == (told["agent.routed"]["agent"], told["agent.routed"]["graph"])
    assert ("get_customer_debt", {"tax_code": "0104985841"}) == (
        told["tool.started"]["name"], told["tool.started"]["arguments"]
    )  # fmt: skip
    assert told["tool.finished"]["ok"], told["tool.finished"]
    assert "125750000" in told["tool.finished"]["output"].replace(",", "").replace(".", "")
    assert "AgentDebt" == told["message.completed"]["agent"]


async def test_offline_answers_from_the_erp_too(client: Client, agents: None) -> None:
    status, answer = await client.post(
        "/api/chat", {"message": QUESTION, "model": "offline/extractive", "agent": "auto"}
    )
    assert (200, "AgentDebt") == (status, answer["agent"]), answer
    assert "125750000" in answer["text"].replace(",", "").replace(".", "")
