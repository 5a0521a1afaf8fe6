"""Anthropic's counterpart is realistic: the vendor's own SDK is satisfied by it, and it refuses what the vendor refuses."""

from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anthropic
import pytest

from tests.counterparts.anthropic.server import AnthropicServer
from tests.counterparts.anthropic.stream import REDACTED
from tests.counterparts.behaviours import Turn, calls, says, text

HI: Any = [{"role": "user", "content": "hi there"}]
LOOK: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
LOOKS: Any = {"messages": HI, "max_tokens": 2000, "tools": [LOOK]}


@asynccontextmanager
async def official(server: AnthropicServer, retries: int = 0, **options: Any):
    client = anthropic.AsyncAnthropic(base_url=server.url, api_key="k", max_retries=retries, **options)
    async with client:
        yield client


async def test_the_official_client_gets_whole_answers_and_streams():
    async with AnthropicServer() as server, official(server) as client:
        whole = await client.messages.create(model="text-25", messages=HI, max_tokens=100)
        async with client.messages.stream(model="text-25", messages=HI, max_tokens=20) as stream:
            pieces = [piece async for piece in stream.text_stream]
            final = await stream.get_final_message()

    assert (text(25), "end_turn") == (whole.content[0].text, whole.stop_reason)
    assert (2, 25) == (whole.usage.input_tokens, whole.usage.output_tokens)
    assert text(20) == "".join(pieces) == final.content[0].text
    assert ("max_tokens", 2, 20) == (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens)


async def test_the_official_client_gets_parallel_calls_also_without_arguments():
    async with AnthropicServer() as server, official(server) as client:
        server.script(calls(("look", {"city": "Hà Nội"}), ("look", {}), said="I look."), model="claude-x")
        async with client.messages.stream(model="claude-x", **LOOKS) as stream:
            final = await stream.get_final_message()

    assert ["text", "tool_use", "tool_use"] == [block.type for block in final.content]
    assert [{"city": "Hà Nội"}, {}] == [block.input for block in final.content[1:]]
    assert "tool_use" == final.stop_reason


async def test_a_thought_must_come_back_signed_as_it_was_before_results_are_taken():
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    turn = Turn("I look.", (("look", {}),), thought="which way does it flow")
    async with AnthropicServer() as server, official(server) as client:
        server.script(turn, says("Down."), model="claude-x")
        async with client.messages.stream(model="claude-x", thinking=thinking, **LOOKS) as stream:
            first = await stream.get_final_message()
        results: Any = [{"type": "tool_result", "tool_use_id": first.content[2].id, "content": "rain"}]
        after: Any = [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        for change in ("drop", "alter"):
            changed = first.model_copy(deep=True).content
            if change == "drop":
                changed.pop(0)
            else:
                changed[0].thinking += "!"
            wrong = [*HI, {"role": "assistant", "content": changed}, after[2]]
            with pytest.raises(anthropic.BadRequestError, match="thinking"):
                await client.messages.create(model="claude-x", thinking=thinking, **{**LOOKS, "messages": wrong})
        second = await client.messages.create(model="claude-x", thinking=thinking, **{**LOOKS, "messages": after})

    assert ("thinking", "which way does it flow") == (first.content[0].type, first.content[0].thinking)
    assert first.usage.output_tokens_details.thinking_tokens == 5
    assert "Down." == second.content[0].text


async def test_a_hidden_thought_and_a_refusal_come_as_the_vendor_sends_them():
    async with AnthropicServer() as server, official(server) as client:
        server.script(Turn("No.", thought=REDACTED), Turn("", stop="refusal"), model="claude-x")
        hidden = await client.messages.create(model="claude-x", messages=HI, max_tokens=9)
        async with client.messages.stream(model="claude-x", messages=HI, max_tokens=9) as stream:
            refused = await stream.get_final_message()

    assert ("redacted_thinking", REDACTED) == (hidden.content[0].type, hidden.content[0].data)
    assert ("refusal", "cyber", []) == (refused.stop_reason, refused.stop_details.category, refused.content)


async def test_what_was_marked_is_read_from_the_cache_the_next_time():
    system: Any = [{"type": "text", "text": "be very brief", "cache_control": {"type": "ephemeral"}}]
    async with AnthropicServer() as server, official(server) as client:
        usages = [
            (await client.messages.create(model="text-1", messages=HI, max_tokens=9, system=system)).usage for _ in "ab"
        ]
        plain = await client.messages.create(model="text-1", messages=HI, max_tokens=9, system="be very brief")

    counted = [(u.input_tokens, u.cache_creation_input_tokens, u.cache_read_input_tokens) for u in usages]
    assert [(2, 3, 0), (2, 0, 3)] == counted
    assert (5, 0) == (plain.usage.input_tokens, plain.usage.cache_read_input_tokens)


async def test_tokens_are_counted_and_models_are_listed_over_several_pages():
    async with AnthropicServer() as server, official(server) as client:
        counted = await client.messages.count_tokens(model="text-1", messages=HI, system="be brief")
        models = [model async for model in client.models.list()]
        one = await client.models.retrieve("claude-sonnet-5")

    assert 4 == counted.input_tokens
    assert 5 == len(models)
    assert 2 == len([record for record in server.requests if record.path.partition("?")[0] == "/v1/models"])
    assert one.capabilities.thinking.types.adaptive.supported
    assert 64_000 == one.max_tokens


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("refuse-401", anthropic.AuthenticationError),
        ("refuse-400", anthropic.BadRequestError),
        ("refuse-413", anthropic.APIStatusError),
        ("nobody", anthropic.NotFoundError),
        ("rate-limit-1", anthropic.RateLimitError),
        ("overloaded-1", anthropic.InternalServerError),
    ],
)
async def test_the_official_client_knows_its_errors(model: str, expected: type[anthropic.APIStatusError]):
    async with AnthropicServer() as server, official(server) as client:
        with pytest.raises(expected) as raised:
            await client.messages.create(model=model, messages=HI, max_tokens=9)

    assert str(raised.value.request_id).startswith("req_")


async def test_the_official_client_gets_through_an_overload_and_raises_an_error_in_the_stream():
    async with AnthropicServer() as server, official(server, retries=2) as client:
        answer = await client.messages.create(model="rate-limit-1", messages=HI, max_tokens=50)
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(model="error-after-3", messages=HI, max_tokens=50) as stream:
                await stream.get_final_message()

    assert text(10) == answer.content[0].text


@pytest.mark.parametrize(
    ("change", "says_so"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [{"role": "system", "content": "x"}, *HI]}, "role 'system'"),
        ({"messages": [{"role": "user", "content": " "}]}, "non-whitespace"),
        (
            {"messages": [*HI, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
            "tool_use_id",
        ),
        ({"user": "me"}, "user"),
        ({"temperature": 1.0}, "temperature"),
        ({"tools": [{**LOOK, "name": "a.b"}]}, "name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "budget_tokens"),
        ({"system": [{"type": "text", "text": str(n), "cache_control": {"type": "ephemeral"}} for n in range(5)]}, "4"),
    ],
)
async def test_it_refuses_what_the_vendor_refuses(change: dict[str, Any], says_so: str):
    body = {"model": "text-1", "messages": HI, "max_tokens": 9, **change}
    headers = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
    async with (
        AnthropicServer() as server,
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{server.url}/v1/messages", json=body) as response,
    ):
        answer = await response.json()

    assert (400, "error", "invalid_request_error") == (response.status, answer["type"], answer["error"]["type"])
    assert says_so in answer["error"]["message"]


async def test_sampling_is_taken_by_the_older_version_alone():
    body = {"model": "text-1", "messages": HI, "max_tokens": 9, "temperature": 0.2}
    async with AnthropicServer() as server, aiohttp.ClientSession(headers={"x-api-key": "k"}) as session:
        statuses = []
        for version in ("2023-06-01", "2026-10-21"):
            headers = {"anthropic-version": version}
            async with session.post(f"{server.url}/v1/messages", json=body, headers=headers) as response:
                statuses.append(response.status)

    assert [200, 400] == statuses
