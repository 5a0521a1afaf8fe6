"""Anthropic's protocol: what is sent for a request, and how thoughts go back. The counterpart refuses what the vendor does."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from graphs.messages import read_message
from graphs.providers.anthropic.provider import Anthropic
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    ImagePart,
    Message,
    ModelRequest,
    Part,
    ReasoningDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
)
from graphs.providers.errors import (
    ProviderRefused,
)
from graphs.providers.extras import merge_extra
from graphs.tool_calls import ToolCalls
from tests.counterparts.anthropic.server import AnthropicServer
from tests.counterparts.anthropic.stream import REDACTED
from tests.counterparts.behaviours import Turn, calls, says
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {
    "type": "object",
    "properties": {"why": {"type": "string", "minLength": 3}, "ok": {"type": "boolean"}},
    "required": ["why", "ok"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}}


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


def answer_of(deltas: list[Delta], ids: str = "") -> Message:
    """The answer as it goes back with the next request."""
    made, extra = ToolCalls(), {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            made.add(delta)
        elif isinstance(delta, ExtraDelta):
            extra = merge_extra(extra, delta.extra)
    parts: list[Part] = [TextPart(text_of(deltas))] if text_of(deltas) else []
    parts += [ToolCallPart(ids or call["id"], call["name"], call["arguments"]) for call in made.in_order]
    return Message("assistant", tuple(parts), extra, "anthropic")


def result(call_id: str, text: str) -> Message:
    return Message("tool", (ToolResultPart(call_id, text),))


async def test_turns_are_merged_results_come_first_and_foreign_ids_and_names_are_put_as_the_vendor_takes_them(
    server: AnthropicServer, provider: Anthropic
):
    called = (ToolCallPart("call:1", "my.look", '{"a": 1}'), ToolCallPart("call:2", "my.look", "broken"))
    dotted = {"type": "function", "function": {"name": "my.look", "parameters": {"properties": {}}}}
    server.script(calls(("my_look", {"n": 1})), model="scripted")
    conversation = (
        Message.of("system", "be brief"),
        Message.of("developer", "be kind"),
        Message.of("user", "one"),
        Message.of("user", " "),
        Message(
            "user", (TextPart("two"), ImagePart("data:image/jpg;base64,aGk="), ImagePart("https://x.example/i.png"))
        ),
        Message("assistant", (TextPart("I look."), *called)),
        Message.of("user", "meanwhile"),
        result("call:1", "rain"),
        result("call:2", " "),
    )

    deltas = await collect(provider, asks(*conversation, model="scripted", tools=(dotted,)))

    body = body_of(server)
    assert ["be brief", "be kind"] == [block["text"] for block in body["system"]]
    assert ["user", "assistant", "user"] == [turn["role"] for turn in body["messages"]]
    first, second, third = (turn["content"] for turn in body["messages"])
    assert ["text", "text", "image", "image"] == [block["type"] for block in first]
    assert {"type": "base64", "media_type": "image/jpeg", "data": "aGk="} == first[2]["source"]
    assert {"type": "url", "url": "https://x.example/i.png"} == first[3]["source"]
    assert [("call_1", "my_look", {"a": 1}), ("call_2", "my_look", {"arguments": "broken"})] == [
        (block["id"], block["name"], block["input"]) for block in second[1:]
    ]
    assert [("tool_result", "call_1"), ("tool_result", "call_2")] == [(b["type"], b["tool_use_id"]) for b in third[:2]]
    assert ("rain", "meanwhile") == (third[0]["content"], third[2]["text"])
    assert "content" not in third[1]
    assert ["my.look"] == [delta.name for delta in deltas if isinstance(delta, ToolCallDelta) and delta.name]


async def test_a_signed_thought_goes_back_unchanged_and_to_where_it_was(server: AnthropicServer, provider: Anthropic):
    server.script(Turn("I look.", (("look", {}),), thought="which way does it flow"), says("Down."))
    question = Message.of("user", "hi")
    options: dict[str, Any] = {"model": "scripted", "tools": (LOOK,), "reasoning_effort": "high"}

    first = await collect(provider, asks(question, **options))
    answer = answer_of(first)
    last = await collect(provider, asks(question, answer, result(answer.parts[1].id, "rain"), **options))

    assert "which way does it flow" == "".join(d.text for d in first if isinstance(d, ReasoningDelta))
    assert [True] == [bool(d.signature) for d in first if isinstance(d, ReasoningDelta) and not d.text]
    sent = body_of(server)["messages"][1]["content"]
    assert ["thinking", "text", "tool_use"] == [block["type"] for block in sent]
    assert {"type", "thinking", "signature"} == sent[0].keys()
    assert {"type": "enabled", "budget_tokens": 16_384} == body_of(server)["thinking"] | {"budget_tokens": 16_384}
    assert "Down." == text_of(last)
    assert 5 == first[-1].usage.reasoning_tokens


async def test_a_hidden_thought_goes_back_and_thoughts_between_words_and_calls_stay_between_them(
    server: AnthropicServer, provider: Anthropic
):
    server.script(Turn("Well.", thought=REDACTED))
    deltas = await collect(provider, asks(Message.of("user", "hi"), model="scripted"))
    first = answer_of(deltas)
    signed = {"type": "redacted_thinking", "data": "x"}
    places = [[0, 0], [3, 0], [6, 1], [99, 9]]
    woven = Message(
        "assistant",
        (TextPart("abcdef"), ToolCallPart("c1", "look", "{}"), ToolCallPart("c2", "look", "{}")),
        {"thinking_blocks": [{**signed, "after": place} for place in places]},
        "anthropic",
    )
    asked = (Message.of("user", "hi"), first, Message.of("user", "go"), woven, result("c1", "x"), result("c2", "y"))
    await collect(provider, asks(*asked, tools=(LOOK,)))

    assert [(True, REDACTED)] == [(d.redacted, d.signature) for d in deltas if isinstance(d, ReasoningDelta)]
    turns = body_of(server)["messages"]
    assert ["redacted_thinking", "text"] == [block["type"] for block in turns[1]["content"]]
    assert [
        *("redacted_thinking", "abc", "redacted_thinking", "def"),
        *("tool_use", "redacted_thinking", "tool_use", "redacted_thinking"),
    ] == [block.get("text", block["type"]) for block in turns[3]["content"]]


@pytest.mark.parametrize("vendor", ["openai", "google"])
async def test_another_vendors_extras_are_never_sent(server: AnthropicServer, provider: Anthropic, vendor: str):
    block = {"type": "thinking", "thinking": "x", "signature": "eA=="}
    extra = {"thinking_blocks": [block], "cache_control": {"type": "ephemeral"}, "reasoning_content": "x"}
    answer = Message("assistant", (TextPart("hi"),), extra, vendor)

    await collect(provider, asks(Message.of("user", "hi"), answer, Message.of("user", "go")))

    assert [{"type": "text", "text": "hi"}] == body_of(server)["messages"][1]["content"]


async def test_thoughts_that_the_vendor_refuses_are_left_out_and_the_question_is_asked_again(
    server: AnthropicServer, provider: Anthropic
):
    block = {"type": "thinking", "thinking": "another conversation's", "signature": "eA=="}
    called = Message("assistant", (ToolCallPart("c1", "look", "{}"),), {"thinking_blocks": [block]}, "anthropic")
    asked = asks(
        *(Message.of("user", "hi"), called, result("c1", "rain")),
        tools=(LOOK,),
        max_tokens=9000,
        reasoning_effort="low",
    )

    deltas = await collect(provider, asked)

    assert "water" == text_of(deltas)
    assert [400, 200] == [record.status for record in server.records]
    assert ["tool_use"] == [b["type"] for b in body_of(server)["messages"][1]["content"]]
    assert "thinking" not in body_of(server)
    with pytest.raises(ProviderRefused):  # what has nothing to do with thoughts is not asked twice
        await collect(provider, ask("refuse-400"))
    assert 3 == len(server.records)


@pytest.mark.parametrize(
    ("effort", "model", "max_tokens", "thinking", "config"),
    [
        ("high", "claude-sonnet-4-5", None, {"type": "enabled", "budget_tokens": 16_384}, None),
        ("minimal", "claude-sonnet-4-5", 3000, {"type": "enabled", "budget_tokens": 1024}, None),
        ("high", "claude-sonnet-4-5", 4000, {"type": "enabled", "budget_tokens": 2000}, None),
        ("high", "claude-sonnet-4-5", 1500, None, None),
        ("none", "claude-sonnet-4-5", None, {"type": "disabled"}, None),
        ("high", "claude-sonnet-5", None, {"type": "adaptive", "display": "summarized"}, {"effort": "high"}),
        ("xhigh", "claude-sonnet-5", None, {"type": "adaptive", "display": "summarized"}, {"effort": "high"}),
        ("minimal", "claude-sonnet-5", None, {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
        ("none", "claude-sonnet-5", None, None, {"effort": "low"}),
        ("nobody's", "claude-sonnet-4-5", None, None, None),
    ],
)
async def test_an_effort_becomes_what_the_model_takes(
    server: AnthropicServer,
    provider: Anthropic,
    effort: str,
    model: str,
    max_tokens: int | None,
    thinking: Any,
    config: Any,
):
    await collect(provider, ask(model, reasoning_effort=effort, max_tokens=max_tokens))

    assert (thinking, config) == (body_of(server).get("thinking"), body_of(server).get("output_config"))


async def test_temperature_goes_only_to_models_that_take_one_and_don_t_think(
    server: AnthropicServer, provider: Anthropic
):
    warm = {"temperature": 1.5, "top_p": 0.5, "extra": {"top_k": 3}, "max_tokens": 5000}
    await collect(provider, ask("claude-sonnet-4-5", **warm))
    await collect(provider, ask("claude-sonnet-4-5", **warm, reasoning_effort="low"))
    await collect(provider, ask("claude-sonnet-5", **warm))

    names = ("temperature", "top_p", "top_k")
    assert [{"temperature": 1.0, "top_p": 0.5, "top_k": 3}, {}, {}] == [
        {name: record.body[name] for name in names if name in record.body} for record in server.records
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        ("auto", None, None),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"type": "function", "function": {"name": "look"}}, None, {"type": "tool", "name": "look"}),
    ],
)
async def test_a_tool_choice_is_put_in_the_vendors_words(
    server: AnthropicServer, provider: Anthropic, choice: Any, parallel: bool | None, sent: Any
):
    await collect(provider, ask("text-1", tools=(LOOK,), tool_choice=choice, parallel_tool_calls=parallel))

    assert sent == body_of(server).get("tool_choice")


async def test_tools_whose_calls_are_shown_are_declared(server: AnthropicServer, provider: Anthropic):
    called = Message("assistant", (ToolCallPart("c1", "look", "{}"),))
    await collect(
        provider, asks(Message.of("user", "hi"), called, result("c1", "rain"), Message.of("system", "Answer."))
    )

    body = body_of(server)
    assert (["look"], {"type": "none"}) == ([tool["name"] for tool in body["tools"]], body["tool_choice"])
    assert "<system>\nAnswer.\n</system>" == body["messages"][2]["content"][1]["text"]


async def test_a_system_message_stays_in_the_middle_for_models_that_take_one_there(
    server: AnthropicServer, provider: Anthropic
):
    said = (Message.of("user", "hi"), Message.of("system", "Be brief."))
    await collect(provider, asks(*said, model="claude-opus-5"))
    await collect(provider, asks(*said, Message.of("user", "go"), model="claude-opus-5"))

    assert ["user", "system"] == [turn["role"] for turn in body_of(server, 0)["messages"]]
    assert [["hi", "<system>\nBe brief.\n</system>", "go"]] == [
        [block["text"] for block in turn["content"]] for turn in body_of(server)["messages"]
    ]


async def test_what_is_sent_again_is_read_from_the_cache(server: AnthropicServer, provider: Anthropic):
    system, question = Message.of("system", "word " * 2000), Message.of("user", "hi there")
    first = (await collect(provider, asks(system, question, tools=(LOOK,))))[-1].usage
    said = (Message.of("assistant", "hello"), Message.of("user", "go on"))
    second = (await collect(provider, asks(system, question, *said, tools=(LOOK,))))[-1].usage
    short = (await collect(provider, ask("text-1")))[-1].usage

    assert (2002, 0, 2002) == (first.input_tokens, first.cached_tokens, first.cache_write_tokens)
    assert (2005, 2002, 3) == (second.input_tokens, second.cached_tokens, second.cache_write_tokens)
    assert (5, 0, 0) == (short.input_tokens, short.cached_tokens, short.cache_write_tokens)


async def test_what_the_cache_keeps_for_an_hour_is_counted_apart(server: AnthropicServer, provider: Anthropic):
    for ttl, counted in (("1h", 2000), ("5m", 0)):
        mark = {"cache_control": {"type": "ephemeral", "ttl": ttl}}
        used = (await collect(provider, asks(Message("user", (TextPart(f"{ttl} " * 2000, mark),)))))[-1].usage

        assert (2000, counted) == (used.cache_write_tokens, used.cache_write_1h_tokens)


async def test_a_clients_own_marks_are_kept_at_most_four_and_none_is_added(
    server: AnthropicServer, provider: Anthropic
):
    mark = {"type": "ephemeral", "ttl": "1h"}
    marked = [Message("user", (TextPart(f"{n} " * 2000, {"cache_control": mark}),)) for n in range(5)]
    await collect(provider, asks(Message("system", (TextPart("be brief"),), {"cache_control": mark}), *marked))
    await collect(provider, ask("text-1", "word " * 2000, extra={"cache_control": mark}))

    body = body_of(server, 0)
    blocks = [*body["system"], *(block for turn in body["messages"] for block in turn["content"])]
    assert [None, None, mark, mark, mark, mark] == [block.get("cache_control") for block in blocks]
    assert (mark, False) == (
        body_of(server)["cache_control"],
        "cache_control" in body_of(server)["messages"][0]["content"][0],
    )


async def test_a_mark_on_a_part_of_a_tools_result_is_that_of_the_result(server: AnthropicServer, provider: Anthropic):
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    content = [{"type": "text", "text": "rain"}, {"type": "text", "text": "and sun", **mark}]
    call = Message("assistant", (ToolCallPart("c1", "look", "{}"),))
    result = read_message({"role": "tool", "tool_call_id": "c1", "content": content})
    await collect(provider, asks(Message.of("user", "look"), call, result))

    (block,) = body_of(server)["messages"][-1]["content"]
    assert mark | {"type": "tool_result", "tool_use_id": "c1", "content": "rain\nand sun"} == block


async def test_a_schema_is_closed_for_models_that_answer_by_one(server: AnthropicServer, provider: Anthropic):
    await collect(provider, ask("claude-sonnet-5", response_format=FORMAT))

    schema = body_of(server)["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is False
    assert ["why", "ok"] == list(schema["properties"])
    assert {"type": "string", "description": "{minLength: 3}"} == schema["properties"]["why"]


@pytest.mark.parametrize("response_format", [FORMAT, {"type": "json_object"}])
async def test_other_models_answer_by_a_tool(server: AnthropicServer, provider: Anthropic, response_format: Any):
    server.script(calls(("json_answer", {"why": "it flows", "ok": True})), model="claude-3-haiku")

    deltas = await collect(provider, ask("claude-3-haiku", response_format=response_format))

    assert {"why": "it flows", "ok": True} == msgspec.json.decode(text_of(deltas))
    assert ("stop", []) == (deltas[-1].reason, [d for d in deltas if isinstance(d, ToolCallDelta)])
    choice = {"type": "tool", "name": "json_answer", "disable_parallel_tool_use": True}
    assert choice == body_of(server)["tool_choice"]


async def test_an_open_schema_is_given_to_a_tool_beside_the_others(server: AnthropicServer, provider: Anthropic):
    open_one = {"type": "object", "properties": {"map": {"type": "object", "additionalProperties": {"type": "string"}}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": open_one}}
    server.script(calls(("json_answer", {"map": {}})), calls(("look", {})), model="claude-sonnet-5")
    asked = ask("claude-sonnet-5", response_format=wanted, tools=(LOOK,))

    answered, called = await collect(provider, asked), await collect(provider, asked)

    assert ('{"map": {}}', "stop") == (text_of(answered), answered[-1].reason)
    assert ("", "tool_calls") == (text_of(called), called[-1].reason)
    assert {"type": "any", "disable_parallel_tool_use": True} == body_of(server)["tool_choice"]


async def test_extras_go_where_the_vendor_has_a_place_for_them(server: AnthropicServer, provider: Anthropic):
    extra = {"user": "u1", "metadata": {"project": "x"}, "service_tier": "flex", "store": True, "logit_bias": {}}
    await collect(provider, ask("text-1", extra=extra))
    native = {"metadata": {"user_id": "u2"}, "service_tier": "auto", "user": "u1"}
    managed = {"context_management": {"edits": []}, "anthropic_beta": ["context-management-2025-06-27", "x\ny"]}
    await collect(provider, ask("text-1", extra={**native, **managed}))

    first, second = body_of(server, 0), body_of(server)
    assert {"user_id": "u1"} == first["metadata"]
    assert first.keys().isdisjoint({"service_tier", "store", "logit_bias", "user"})
    assert ({"user_id": "u2"}, "auto", {"edits": []}) == tuple(
        second[name] for name in ("metadata", "service_tier", "context_management")
    )
    assert "context-management-2025-06-27" == server.records[-1].headers["anthropic-beta"]


async def test_an_image_that_the_vendor_does_not_take_is_refused_before_it_is_asked(
    server: AnthropicServer, provider: Anthropic
):
    with pytest.raises(ProviderRefused, match="image/png"):
        await collect(provider, asks(Message("user", (ImagePart("data:image/svg+xml;base64,aGk="),))))

    assert [] == server.records
