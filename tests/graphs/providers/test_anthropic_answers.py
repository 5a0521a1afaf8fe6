"""Anthropic's protocol: what its answers and errors become, and what it says of its models."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from graphs.providers.anthropic.provider import Anthropic, parse_base_url
from graphs.providers.capabilities import Capabilities, capabilities
from graphs.providers.contract import (
    Finished,
    Message,
    ModelRequest,
    RefusalDelta,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from graphs.providers.errors import (
    ContextTooLong,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefused,
    ProviderRejectedKey,
    ProviderSaidNothing,
    ProviderStreamCut,
)
from graphs.tool_calls import ToolCalls
from tests.counterparts.anthropic.server import AnthropicServer
from tests.counterparts.behaviours import Turn, calls, fails, says
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
async def server() -> AsyncIterator[AnthropicServer]:
    async with AnthropicServer() as server:
        yield server


@pytest.fixture
async def provider(server: AnthropicServer) -> AsyncIterator[Anthropic]:
    async with aiohttp.ClientSession() as session:
        yield Anthropic(session, server.url, key="sk-ant-key", timeouts=PATIENT)


def body_of(server: AnthropicServer, place: int = -1) -> dict[str, Any]:
    return server.records[place].body


def asks(*messages: Message, model: str = "text-1", **fields: Any) -> ModelRequest:
    return ModelRequest(model=model, messages=messages, **fields)


def result(call_id: str, text: str) -> Message:
    return Message("tool", (ToolResultPart(call_id, text),))


async def test_parallel_calls_come_whole_also_without_arguments(server: AnthropicServer, provider: Anthropic):
    server.script(calls(("look", {"city": "Hà Nội"}), ("look", {}), said="I look."))

    deltas = await collect(provider, asks(Message.of("user", "hi"), model="scripted", tools=(LOOK,)))

    made = ToolCalls()
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            made.add(delta)
    assert [{"city": "Hà Nội"}, {}] == [msgspec.json.decode(call["arguments"]) for call in made.in_order]
    assert "tool_calls" == deltas[-1].reason
    assert "I look." == text_of(deltas)


async def test_a_refusal_is_one(server: AnthropicServer, provider: Anthropic):
    server.script(Turn("It is", stop="refusal"))

    deltas = await collect(provider, asks(Message.of("user", "hi"), model="scripted"))

    assert ["It is not allowed."] == [d.text for d in deltas if isinstance(d, RefusalDelta)]
    assert ("It is", "content_filter") == (text_of(deltas), deltas[-1].reason)


async def test_a_paused_turn_is_sent_back_and_goes_on(server: AnthropicServer, provider: Anthropic):
    server.script(Turn("One, ", stop="pause_turn"), Turn("two, ", stop="pause_turn"), says("three."))

    deltas = await collect(provider, asks(Message.of("user", "count"), model="scripted"))

    assert "One, two, three." == text_of(deltas)
    assert [1, 2, 3] == [len(record.body["messages"]) for record in server.records]
    assert "two, " == body_of(server)["messages"][-1]["content"][-1]["text"]
    assert [Finished] == [type(delta) for delta in deltas if isinstance(delta, Finished)]
    assert 3 == deltas[-1].usage.output_tokens
    assert deltas[-1].usage.input_tokens > 3


@pytest.mark.parametrize(
    ("stop", "reason"),
    [("max_tokens", "length"), ("model_context_window_exceeded", "length"), ("stop_sequence", "stop")],
)
async def test_an_end_has_its_reason(server: AnthropicServer, provider: Anthropic, stop: str, reason: str):
    server.script(Turn("words", stop=stop))

    assert reason == (await collect(provider, asks(Message.of("user", "hi"), model="scripted")))[-1].reason


async def test_an_unknown_end_and_an_empty_answer_are_no_answers(server: AnthropicServer, provider: Anthropic):
    server.script(Turn("words", stop="exploded"), Turn(""), Turn(""))
    question = Message.of("user", "hi")
    for error in (ProviderStreamCut, ProviderSaidNothing):
        with pytest.raises(error) as cut:
            await collect(provider, asks(question, model="scripted"))
        assert cut.value.retryable
    called = Message("assistant", (ToolCallPart("c1", "look", "{}"),))
    after_results = await collect(provider, asks(question, called, result("c1", "x"), model="scripted", tools=(LOOK,)))

    assert [("stop", "")] == [(d.reason, text_of(after_results)) for d in after_results]


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (529, "Overloaded", ProviderOverloaded),
        (429, "slow down", ProviderRateLimited),
        (402, "no credit", ProviderQuotaExhausted),
        (400, "Your credit balance is too low to access the Anthropic API.", ProviderQuotaExhausted),
        (400, "prompt is too long: 250000 tokens > 200000 maximum", ContextTooLong),
        (413, "Request exceeds the maximum size", ProviderRefused),
        (401, "invalid x-api-key", ProviderRejectedKey),
    ],
)
async def test_an_error_is_what_it_means(
    server: AnthropicServer, provider: Anthropic, status: int, message: str, expected: type[Exception]
):
    server.script(fails(status, message))

    with pytest.raises(expected):
        await collect(provider, asks(Message.of("user", "hi"), model="scripted"))


async def test_a_model_says_what_it_can_do_and_lists_have_all_pages(server: AnthropicServer, provider: Anthropic):
    assert Capabilities(True, True, 200_000) == await capabilities(provider, "claude-sonnet-5")
    assert await provider.describe("nobody") is None
    assert 5 == len(await provider.list_models())


async def test_a_server_without_the_list_is_asked_once_and_its_models_are_known_by_name(
    server: AnthropicServer, provider: Anthropic, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "_models", lambda exchange, name: exchange.answer(404, {"detail": "Not Found"}))
    for _ in range(2):
        await collect(provider, ask("claude-sonnet-4-5", reasoning_effort="high"))

    assert {"type": "enabled", "budget_tokens": 16_384} == body_of(server)["thinking"]
    assert 1 == len(server.requests) - len(server.records)


async def test_the_key_is_sent_in_its_header_and_never_told(server: AnthropicServer, provider: Anthropic):
    await collect(provider, ask("text-1"))

    headers = server.records[0].headers
    assert ("sk-ant-key", "2023-06-01", "/v1/messages") == (
        headers["x-api-key"],
        headers["anthropic-version"],
        server.records[0].path,
    )
    async with AnthropicServer(key="sk-ant-right") as locked, aiohttp.ClientSession() as session:
        with pytest.raises(ProviderRejectedKey) as rejected:
            await Anthropic(session, locked.url, key="sk-ant-wrong-key-of-mine").check_key()
    assert "wrong-key" not in rejected.value.message


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com"),
        ("https://api.anthropic.com/v1/", "https://api.anthropic.com"),
        ("http://gateway:4000/anthropic", "http://gateway:4000/anthropic"),
    ],
)
def test_a_base_url_is_read_as_the_vendors_clients_and_others_write_it(url: str, expected: str):
    assert expected == parse_base_url(url)


@pytest.mark.parametrize("url", ["gateway:4000", "ftp://x", "https://u:p@x"])
def test_a_base_url_that_is_none_is_refused(url: str):
    with pytest.raises(ValueError, match="URL"):
        parse_base_url(url)
