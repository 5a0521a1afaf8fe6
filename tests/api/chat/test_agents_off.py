"""A model that is named turns agents off, and the answer says so; with tools, an agent answers in the client's format."""

from typing import Any

import httpx

from tests.api.conftest import Running
from tests.conftest import make_tenant
from tests.counterparts.behaviours import says
from tests.journeys.agent_setup import add_agent
from tests.waiting import PATIENCE_S


async def asked(running: Running, key: str, path: str = "/api/chat", **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=PATIENCE_S) as http:
        answer = await http.post(path, json=body)
    assert 200 == answer.status_code, answer.text
    return answer.json()


async def test_a_named_model_says_that_no_agent_took_part(running: Running, database_url: str) -> None:
    tenant = make_tenant(database_url)
    add_agent(database_url, tenant, "Helper")
    message = {"message": "hi", "model": "openai/text-3"}
    assert "agents_off" == (await asked(running, tenant.key, **message))["notice"]["code"]
    assert (await asked(running, tenant.key, **message, agent="Helper"))["notice"] is None
    assert (await asked(running, tenant.key, **message, agent="chat"))["notice"] is None
    assert (await asked(running, running.tenant.key, **message))["notice"] is None  # it has no agents


async def test_the_agent_that_answers_when_no_other_does_may_be_named(running: Running, database_url: str) -> None:
    tenant = make_tenant(database_url)
    add_agent(database_url, tenant, "Helper")
    answer = await asked(running, tenant.key, message="hi", agent="chat")
    assert (None, "openai/text-5") == (answer["agent"], answer["model"])
    said = [{"role": "user", "content": "hi"}]
    assert (await asked(running, tenant.key, "/v1/chat/completions", model="agent/chat", messages=said))["choices"]


async def test_an_agent_with_tools_answers_in_the_format_that_its_client_asks_for(
    running: Running, database_url: str
) -> None:
    tenant = make_tenant(database_url)
    add_agent(database_url, tenant, "Worker", tools=["calculator"], models=["openai/json"], graph="react")
    running.models.script(*[says("It is 8."), says('{"n": 8}')] * 2, model="json")
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    said = [{"role": "user", "content": "2 times 4?"}]
    answer = await asked(
        running, tenant.key, "/v1/chat/completions", model="agent/Worker", messages=said, response_format=wanted
    )
    assert '{"n": 8}' == answer["choices"][0]["message"]["content"]
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    answer = await asked(
        running,
        tenant.key,
        "/v1/chat/completions",
        model="agent/Worker",
        messages=said,
        response_format=wanted,
        tools=tools,
    )
    assert '{"n": 8}' == answer["choices"][0]["message"]["content"]
