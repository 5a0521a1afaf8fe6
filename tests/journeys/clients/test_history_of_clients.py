"""Who calls `/v1` owns the conversation: what the `openai` package sends is what the model gets, all of it and in its order."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.conftest import TestTenant
from tests.journeys.agent_setup import add_agent, script
from tests.system import ModelProcess, System

LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {
                "deliberation": {"type": "string"},
                "because": {"type": "string"},
                "settled": {"type": "boolean"},
            },
            "required": ["deliberation", "settled"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def ai(system: System, tenant: TestTenant) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=tenant.key, max_retries=0) as client:
        yield client


@pytest.fixture
def word() -> str:
    """What the last question of the test contains, and no other."""
    return f"word-{uuid.uuid4().hex}"


def call_and_result(n: int) -> list[dict[str, Any]]:
    function = {"name": "look_up", "arguments": json.dumps({"deliberation": f"r{n}"})}
    call = {"id": f"c{n}", "type": "function", "function": function}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{n}", "content": f"result {n}"},
    ]


def a_task_with_six_calls(word: str) -> list[dict[str, Any]]:
    calls = [message for n in range(6) for message in call_and_result(n)]
    return [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "The task."},
        *calls,
        {"role": "assistant", "content": "All looked up."},
        {"role": "user", "content": f"And now? {word}"},
    ]


async def received(provider: ModelProcess, word: str) -> dict[str, Any]:
    """The body that the model got for the question with this word."""
    (record,) = await provider.records(word)
    return record["body"]


async def test_602_messages_arrive_as_602(ai: openai.OpenAI, provider: ModelProcess, word: str):
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(600)]
    messages = [{"role": "system", "content": "Be kind."}, *turns, {"role": "user", "content": word}]

    ai.chat.completions.create(model="openai/text-3", messages=messages)

    assert messages == (await received(provider, word))["messages"]


async def test_calls_stay_with_their_results(ai: openai.OpenAI, provider: ModelProcess, word: str):
    messages = a_task_with_six_calls(word)

    ai.chat.completions.create(model="openai/text-3", messages=messages, tools=[LOOK_UP])

    assert messages == (await received(provider, word))["messages"]


async def test_a_late_system_message_stays_where_it_is(ai: openai.OpenAI, provider: ModelProcess, word: str):
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "First."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "system", "content": "From now on, be brief."},
        {"role": "user", "content": word},
    ]

    ai.chat.completions.create(model="openai/text-3", messages=messages)

    assert messages == (await received(provider, word))["messages"]


@pytest.mark.parametrize("target", ["agent/AgentTasks", "auto"])
async def test_an_agent_sees_the_whole_conversation(
    target: str,
    ai: openai.OpenAI,
    provider: ModelProcess,
    system: System,
    shared_url: str,
    tenant: TestTenant,
    word: str,
):
    model = f"tasks-{word}"
    await script(provider.url, model, {"said": "Now this."}, {"said": "Now this."})
    add_agent(shared_url, tenant, "AgentTasks", description="Tasks, and what is next.", models=[f"openai/{model}"],
              examples=[f"And now? {word}"])  # fmt: skip
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n}"} for n in range(20)]
    messages = [*a_task_with_six_calls("")[:-1], *turns, {"role": "user", "content": f"And now? {word}"}]

    answer = ai.chat.completions.create(model=target, messages=messages, tools=[LOOK_UP])

    assert "Now this." == answer.choices[0].message.content
    first, *others = (await received(provider, word))["messages"]
    assert "You are AgentTasks." in first["content"]
    assert [(m["role"], m.get("tool_calls")) for m in messages] == [(m["role"], m.get("tool_calls")) for m in others]
    assert all(sent["content"] in got["content"] for sent, got in zip(messages, others, strict=True) if sent["content"])


async def test_the_keys_of_a_schema_keep_their_order(ai: openai.OpenAI, provider: ModelProcess, word: str):
    schema = LOOK_UP["function"]["parameters"]
    response_format = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"b": 1, "a": 2}'}}
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": word, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{**call, "extra_content": {"zeta": schema, "a": 1}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found", "tools": [schema]},
    ]

    ai.chat.completions.create(
        model="openai/text-3",
        messages=messages,
        tools=[LOOK_UP],
        response_format=response_format,
    )

    body = await received(provider, word)
    assert json.dumps([LOOK_UP]) == json.dumps(body["tools"])
    assert json.dumps(response_format) == json.dumps(body["response_format"])
    user, assistant, tool = body["messages"]
    assert json.dumps(messages[0]["content"][0]["cache_control"]) == json.dumps(user["content"][0]["cache_control"])
    extra = messages[1]["tool_calls"][0]["extra_content"]
    assert json.dumps(extra) == json.dumps(assistant["tool_calls"][0]["extra_content"])
    assert json.dumps([schema]) == json.dumps(tool["tools"])
