"""What the `openai` package can be told reaches the model, and what can't is named."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.conftest import TestTenant
from tests.counterparts.behaviours import SIGNATURE
from tests.journeys.agent_setup import add_agent, grant_tools, script
from tests.system import ModelProcess, System

OPENAIS: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "logit_bias": {"50256": -100},
    "max_completion_tokens": 50,
    "metadata": {"project": "mill"},
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "A weir is"},
    "presence_penalty": -0.5,
    "prompt_cache_key": "mill-1",
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_object"},
    "safety_identifier": "person-7",
    "seed": 11,
    "service_tier": "flex",
    "stop": ["\n\n"],
    "store": False,
    "temperature": 0.25,
    "tools": [
        {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    ],
    "tool_choice": "auto",
    "top_p": 0.9,
    "user": "person-7",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
OTHERS: dict[str, Any] = {
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "chat_template_kwargs": {"enable_thinking": False},
    "guided_json": {"type": "object", "properties": {"deliberation": {"type": "string"}, "ok": {"type": "boolean"}}},
    "nothing": None,
}


@pytest.fixture
def ai(system: System, tenant: TestTenant) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=tenant.key, max_retries=0) as client:
        yield client


def question() -> list[dict[str, Any]]:
    return [{"role": "user", "content": uuid.uuid4().hex}]


async def received(provider: ModelProcess, messages: list[dict[str, Any]]) -> dict[str, Any]:
    (record,) = await provider.records(messages[0]["content"])
    return record["body"]


async def test_all_that_openai_knows_arrives_as_it_was_sent(ai: openai.OpenAI, provider: ModelProcess):
    messages = question()

    answer = ai.chat.completions.with_raw_response.create(model="openai/text-3", messages=messages, **OPENAIS)

    body = await received(provider, messages)
    assert json.dumps(OPENAIS) == json.dumps({name: body.get(name) for name in OPENAIS})
    assert {"model", "messages", "stream", "stream_options"} == body.keys() - OPENAIS.keys()
    assert "x-headrace-ignored" not in answer.headers


async def test_so_does_what_only_other_servers_know(ai: openai.OpenAI, provider: ModelProcess):
    messages = question()

    ai.chat.completions.create(model="openai/text-3", messages=messages, extra_body=OTHERS)

    body = await received(provider, messages)
    assert json.dumps(OTHERS) == json.dumps({name: body[name] for name in OTHERS})


def test_what_a_provider_has_no_place_for_is_named(ai: openai.OpenAI):
    asked = {"model": "offline/extractive", "messages": question()}

    answer = ai.chat.completions.with_raw_response.create(**asked, user="person-7", extra_body={"top_k": 40})
    stream = ai.chat.completions.with_raw_response.create(**asked, stream=True, extra_body={"top_k": 40})

    assert ["top_k, user", "top_k"] == [said.headers["x-headrace-ignored"] for said in (answer, stream)]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({f"p{n}": n for n in range(65)}, "65 unknown parameters"),
        ({"a\r\nSet-Cookie": 1}, "is no name of a parameter"),
        ({"": 1}, "is no name of a parameter"),
        ({"guided_json": "x" * 300_000}, "256 KB"),
    ],
)
def test_too_many_too_large_and_misnamed_ones_are_refused(extra: dict[str, Any], reason: str, ai: openai.OpenAI):
    with pytest.raises(openai.BadRequestError, match=reason):
        ai.chat.completions.create(model="openai/text-3", messages=question(), extra_body=extra)


async def test_a_key_that_comes_again_with_another_parameter_is_refused(ai: openai.OpenAI):
    asked = {"model": "openai/text-3", "messages": question(), "extra_headers": {"Idempotency-Key": uuid.uuid4().hex}}
    first = ai.chat.completions.create(**asked, extra_body={"top_k": 1})

    assert first.id == ai.chat.completions.create(**asked, extra_body={"top_k": 1}).id
    with pytest.raises(openai.UnprocessableEntityError):
        ai.chat.completions.create(**asked, extra_body={"top_k": 2})


async def test_what_messages_carry_beyond_the_protocol_arrives_too(ai: openai.OpenAI, provider: ModelProcess):
    word, cached = uuid.uuid4().hex, {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    signed = {"extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}, **signed}
    thought = {"reasoning_content": "Think.", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
    messages: list[Any] = [
        {"role": "system", "content": [cached]},
        {"role": "user", "content": "First.", "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": [call], **thought},
        {"role": "tool", "tool_call_id": "c1", "content": "42", "name": "look_up"},
        {"role": "user", "content": word},
    ]
    nothing = {"refusal": None, "annotations": [], "audio": None}  # what the package itself sends back of an answer

    ai.chat.completions.create(
        model="openai/text-3", messages=[m | nothing if m["role"] == "assistant" else m for m in messages]
    )

    (record,) = await provider.records(word)
    assert messages == record["body"]["messages"]


async def test_a_signature_that_came_with_a_call_comes_to_the_client(ai: openai.OpenAI, provider: ModelProcess):
    word = uuid.uuid4().hex
    await script(provider.url, word, *[{"calls": [["look_up", {}]], "signed": True}] * 2)
    asked = {"model": f"openai/{word}", "messages": question(), "tools": OPENAIS["tools"]}

    answer = ai.chat.completions.create(**asked)
    with ai.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion()

    for completion in (answer, streamed):
        (call,) = completion.choices[0].message.tool_calls or []
        assert SIGNATURE["extra_content"] == (call.model_extra or {})["extra_content"]


async def test_an_agent_gives_it_back_with_the_result(
    ai: openai.OpenAI, provider: ModelProcess, shared_url: str, tenant: TestTenant
):
    word = uuid.uuid4().hex
    compute = {"calls": [["mathematics", {"expression": "17*23"}]], "signed": True}
    await script(provider.url, word, compute, {"said": "It is 391."})
    grant_tools(shared_url, tenant, "mathematics")
    add_agent(shared_url, tenant, "AgentSums", graph="react", tools=["mathematics"], models=[f"openai/{word}"])

    ai.chat.completions.create(model="agent/AgentSums", messages=[{"role": "user", "content": f"17 times 23? {word}"}])

    _, second = await provider.records(word)
    (made,) = [call for message in second["body"]["messages"] for call in message.get("tool_calls", ())]
    assert SIGNATURE == {name: made[name] for name in made.keys() - {"id", "type", "function"}}


async def test_a_conversation_that_is_too_long_fails_with_openais_code(ai: openai.OpenAI, provider: ModelProcess):
    word, said = uuid.uuid4().hex, "This model's maximum context length is 8192 tokens."
    await script(provider.url, word, *[{"said": said, "status": 400}] * 2)
    asked = {"model": f"openai/{word}", "messages": question()}

    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=said) as refused:
            ai.chat.completions.create(**asked, stream=stream)
        assert "context_length_exceeded" == refused.value.code


async def test_an_account_without_credit_fails_with_openais_code(ai: openai.OpenAI, provider: ModelProcess):
    word = uuid.uuid4().hex
    await script(provider.url, word, {"said": "Pay first.", "status": 402})

    with pytest.raises(openai.RateLimitError, match="Pay first") as refused:
        ai.chat.completions.create(model=f"openai/{word}", messages=question())
    assert "insufficient_quota" == refused.value.code
