"""Ollama's own ways: its host setting, its messages, and models that are pulled when they are missing."""

import json
from typing import Any

import msgspec
import pytest
from ollama._client import _parse_host as official_parse_host

from graphs.providers.calls.ids import make_call_id
from graphs.providers.capabilities import Capabilities, capabilities
from graphs.providers.contract import (
    ExtraDelta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    Progress,
    ReasoningDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import (
    ModelUnknown,
    ProviderInvalidResponse,
    ProviderRefused,
    ProviderStreamCut,
    ToolsUnsupported,
)
from graphs.providers.ollama.addresses import parse_host
from graphs.providers.ollama.provider import Ollama
from graphs.providers.ollama.show import parse_show
from graphs.providers.ollama.wire_format import LineReader, request_body
from graphs.providers.registry import open_session
from tests.counterparts.behaviours import says, text
from tests.counterparts.ollama_server import OllamaServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of


def request_json(request: ModelRequest) -> dict:
    return msgspec.json.decode(request_body(request))


@pytest.mark.parametrize(
    "host",
    [
        "", "1.2.3.4", ":56789", "1.2.3.4:56789", "http://1.2.3.4", "https://1.2.3.4", "example.com",
        "https://example.com:56789/path/", "example.com/path", "[0001:002:003:0004::1]", "https://[::1]:56789",
    ],
)  # fmt: skip
def test_a_host_means_what_the_official_client_takes_it_for(host: str):
    assert official_parse_host(host) == parse_host(host)


def test_the_address_that_servers_listen_on_is_this_machine():
    assert parse_host("0.0.0.0") == "http://127.0.0.1:11434"
    assert parse_host("[::]:1") == "http://[::1]:1"


def test_settings_of_the_request_become_options():
    body = request_json(ask("m", max_tokens=5, seed=0, stop=("a", "b"), temperature=0.0, top_p=0.9))

    assert body["options"] == {"num_predict": 5, "seed": 0, "stop": ["a", "b"], "temperature": 0.0, "top_p": 0.9}


def test_nothing_is_sent_for_what_is_not_set():
    assert {"model", "messages", "stream", "truncate", "shift"} == set(request_json(ask("m")))


def test_what_is_too_long_is_never_cut_in_silence():
    body = request_json(ask("m"))

    assert (False, False) == (body["truncate"], body["shift"])


@pytest.mark.parametrize(
    ("chars", "fields", "expected"),
    [
        (300, {}, None),
        (9_000, {}, None),
        (10_000, {}, 8192),
        (60_000, {}, 32768),
        (10**6, {}, 131_072),
        (300, {"max_tokens": 5000}, 8192),
        (60_000, {"extra": {"num_ctx": 2048}}, 2048),
        (300, {"tools": ({"type": "function", "function": {"name": "f", "description": "a" * 12_000}},)}, 8192),
    ],
)
def test_the_window_is_as_large_as_the_prompt_needs(chars: int, fields: dict, expected: int | None):
    assert expected == request_json(ask("m", "a" * chars, **fields)).get("options", {}).get("num_ctx")


def test_a_conversation_with_tools_and_pictures_becomes_ollamas():
    messages = (
        Message("user", (TextPart("what is it"), ImagePart("data:image/png;base64,aGk="))),
        Message("assistant", (ToolCallPart("c1", "weather", '{"city":"Huế"}'),)),
        Message("tool", (ToolResultPart("c1", "rain"),)),
    )

    body = request_json(ModelRequest(model="m", messages=messages))["messages"]

    assert body[0] == {"role": "user", "content": "what is it", "images": ["aGk="]}
    assert body[1]["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Huế"}}}]
    assert body[2] == {"role": "tool", "content": "rain", "tool_name": "weather"}


@pytest.mark.parametrize("url", ["https://example.com/cat.png", "data:image/png,raw", "data:image/png;base64,€"])
def test_a_picture_that_ollama_cannot_take_is_refused(url: str):
    with pytest.raises(ProviderRefused):
        request_json(ModelRequest(model="m", messages=(Message("user", (ImagePart(url),)),)))


def test_a_json_schema_becomes_the_format():
    schema = {"type": "object"}

    assert (
        schema
        == request_json(ask("m", response_format={"type": "json_schema", "json_schema": {"schema": schema}}))["format"]
    )
    assert request_json(ask("m", response_format={"type": "json_object"}))["format"] == "json"


def test_tool_choice_none_offers_no_tools():
    tools = ({"type": "function", "function": {"name": "f"}},)

    assert list(tools) == request_json(ask("m", tools=tools))["tools"]
    assert "tools" not in request_json(ask("m", tools=tools, tool_choice="none"))


WEATHER, TIME = ({"type": "function", "function": {"name": name}} for name in ("weather", "time"))


@pytest.mark.parametrize(
    ("choice", "offered", "told"),
    [
        ("required", [WEATHER, TIME], "Answer only with a call of one of your tools, now."),
        ({"type": "function", "function": {"name": "time"}}, [TIME], "Answer only with a call of the tool time, now."),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER]}}, [WEATHER], None),
    ],
)
def test_tool_choice_is_told_to_a_model_whose_protocol_has_none(choice: Any, offered: list[Any], told: str | None):
    body = request_json(ask("m", tools=(WEATHER, TIME), tool_choice=choice))
    assert offered == body["tools"]
    said = [message["content"] for message in body["messages"] if message["role"] == "system"]
    assert ([told] if told else []) == said


def test_a_cached_prompt_is_estimated_and_marked():
    reader = LineReader("ollama", ask("m"))
    reader.feed([b'{"message":{"content":"hi"},"done":true,"done_reason":"stop","eval_count":1}'])

    usage = reader.finish()[-1].usage
    assert usage.estimated
    assert usage.output_tokens == 1


async def test_a_missing_model_is_pulled_with_progress_and_then_answers():
    async with OllamaServer() as server, open_session() as session:
        deltas = await collect(Ollama(session, server.url, timeouts=PATIENT), ask("absent-text-5"))

    steps = [d for d in deltas if isinstance(d, Progress)]
    assert deltas[: len(steps)] == steps
    assert (steps[0].text, steps[-1].text) == ("pulling manifest", "success")
    assert [s.done for s in steps if s.total == 1000] == [0, 250, 500, 750, 1000]
    assert text(5) == text_of(deltas)
    assert [r.path for r in server.requests] == ["/api/chat", "/api/pull", "/api/chat"]


async def test_a_model_that_cannot_be_pulled_is_unknown():
    async with OllamaServer() as server, open_session() as session:
        with pytest.raises(ModelUnknown):
            await collect(Ollama(session, server.url, timeouts=PATIENT), ask("absent-never"))


async def test_a_pull_that_stops_half_way_may_be_tried_again():
    async with OllamaServer() as server, open_session() as session:
        with pytest.raises(ProviderStreamCut) as caught:
            await collect(Ollama(session, server.url, timeouts=PATIENT), ask("absent-halfway"))

    assert caught.value.retryable


async def test_leaving_during_a_pull_closes_the_socket():
    async with OllamaServer() as server, open_session() as session:
        stream = Ollama(session, server.url, timeouts=PATIENT).stream(ask("absent-text-5"))
        assert isinstance(await anext(stream), Progress)
        await stream.aclose()

        await server.until(lambda: server.requests[-1].client_closed_ns > 0)
        assert server.requests[-1].path == "/api/pull"


async def test_thinking_and_tool_calls_arrive_over_the_wire():
    async with OllamaServer() as server, open_session() as session:
        provider = Ollama(session, server.url, timeouts=PATIENT)

        thought = await collect(provider, ask("reasoning"))
        called = await collect(provider, ask("tool-call"))

    assert ReasoningDelta(text(5)) == thought[0]
    assert [
        ToolCallDelta(0, make_call_id(ask("tool-call").messages, 0), "get_weather", '{"city":"Hà Nội"}'),
        Finished("tool_calls", Usage(5, 3), model="tool-call"),
    ] == called


def test_what_was_thought_before_a_call_goes_back_with_it():
    request = ask("m")
    reader = LineReader("ollama", request)
    call = {"function": {"name": "weather", "arguments": {}}}
    lines = [
        {"message": {"thinking": "It "}},
        {"message": {"thinking": "rains?", "tool_calls": [call]}},
        {"done": True},
    ]
    for line in lines:
        reader.feed([json.dumps(line).encode()])
    *_, extra, last = reader.finish()

    assert isinstance(last, Finished)
    assert isinstance(extra, ExtraDelta)
    assert ({"thinking": "It rains?"}, "tool_calls") == (extra.extra, last.reason)
    message = Message("assistant", (ToolCallPart("c1", "weather", "{}"),), extra.extra, vendor="ollama")
    another = msgspec.structs.replace(message, vendor="cohere")
    sent = request_json(ModelRequest(model="m", messages=(message, another)))["messages"]
    assert ["It rains?", None] == [one.get("thinking") for one in sent]


def test_calls_without_ids_get_others_at_the_next_step():
    first, second = ask("m", "one"), ask("m", "two")

    assert make_call_id(first.messages, 0) == make_call_id(first.messages, 0)
    assert 3 == len(
        {make_call_id(first.messages, 0), make_call_id(first.messages, 1), make_call_id(second.messages, 0)}
    )


async def test_a_model_that_knows_no_tools_says_so_as_an_error_of_its_own():
    async with OllamaServer() as server, open_session() as session:
        with pytest.raises(ToolsUnsupported, match="no-tools-3") as caught:
            await collect(
                Ollama(session, server.url, timeouts=PATIENT), ask("no-tools-3", tools=({"type": "function"},))
            )

    assert ("provider_tools_unsupported", False) == (caught.value.code, caught.value.retryable)


async def test_ollama_is_asked_once_what_a_model_can_do():
    async with OllamaServer() as server, open_session() as session:
        ollama = Ollama(session, server.url, timeouts=PATIENT)

        found = [await capabilities(ollama, model) for model in ("text-1", "no-tools-1", "text-1")]

    assert [True, False, True] == [one.tools for one in found]
    assert {131072} == {one.context_tokens for one in found}
    assert ["/api/show"] * 2 == [record.path for record in server.requests]


async def test_a_row_that_says_everything_asks_nobody():
    async with OllamaServer() as server, open_session() as session:
        row = {"tools": False, "images": True, "context_tokens": 10}
        found = await capabilities(Ollama(session, server.url, timeouts=PATIENT), "text-1", row)

    assert (Capabilities(False, True, 10), []) == (found, server.requests)


async def test_what_a_row_leaves_open_ollama_says():
    async with OllamaServer() as server, open_session() as session:
        found = await capabilities(
            Ollama(session, server.url, timeouts=PATIENT), "text-1", {"images": True, "tools": None}
        )

    assert Capabilities(True, True, 131072) == found


async def test_a_model_that_is_not_there_yet_is_asked_for_again():
    async with OllamaServer() as server, open_session() as session:
        ollama = Ollama(session, server.url, timeouts=PATIENT)
        before = await ollama.describe("absent-no-tools-1")
        await collect(ollama, ask("absent-no-tools-1"))

        assert (None, False) == (before, (await capabilities(ollama, "absent-no-tools-1")).tools)


async def test_an_ollama_that_is_away_is_taken_to_know_tools():
    async with open_session() as session:
        assert Capabilities(True, False) == await capabilities(Ollama(session, "127.0.0.1:1", timeouts=PATIENT), "m")


async def test_versions_that_list_no_capabilities_tell_by_their_template():
    async with OllamaServer() as server, open_session() as session:
        server.script(says("hi"), model="old-show")
        found = await Ollama(session, server.url, timeouts=PATIENT).describe("old-show")

    assert Capabilities(True, False, 131072) == found
    assert Capabilities(False, True) == parse_show("ollama", b'{"template":"","details":{"families":["llama","clip"]}}')
    with pytest.raises(ProviderInvalidResponse):
        parse_show("ollama", b"[]")
