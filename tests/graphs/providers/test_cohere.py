"""Cohere's own ways: its names, plans and thoughts that go back with calls, what is billed, ends that are failures."""

from typing import Any

import aiohttp
import msgspec
import pytest

from graphs.providers.capabilities import Capabilities
from graphs.providers.cohere.provider import Cohere, parse_address
from graphs.providers.cohere.reader import CohereReader
from graphs.providers.cohere.request import request_body
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import ProviderOverloaded, ProviderRejectedKey, ProviderSaidNothing, ProviderStreamCut
from graphs.providers.extras import ignored_extras
from tests.counterparts.behaviours import calls, fails, says
from tests.counterparts.cohere.server import CohereServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
DIG = {"type": "function", "function": {"name": "dig", "strict": True, "parameters": {"type": "object"}}}


def body_of(request: ModelRequest) -> dict[str, Any]:
    return msgspec.json.decode(request_body(request))


def read(*events: Any) -> list[Delta]:
    """The deltas of these events, `Finished` last."""
    reader = CohereReader(ask("m"))
    deltas = reader.feed([one if isinstance(one, bytes) else msgspec.json.encode(one) for one in events])
    reader.check()
    return [*deltas, *reader.finish()]


def said(words: str, kind: str = "text") -> dict[str, Any]:
    return {"type": "content-delta", "index": 0, "delta": {"message": {"content": {kind: words}}}}


def end(reason: str | None = "COMPLETE", **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason, **fields}}


def call(kind: str, index: Any, **fields: Any) -> dict[str, Any]:
    return {"type": f"tool-call-{kind}", "index": index, "delta": {"message": {"tool_calls": fields}}}


def test_settings_of_the_request_become_coheres() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    body = body_of(
        ask(
            "m", max_tokens=5, seed=0, stop=("a",), temperature=0.0, top_p=0.9, presence_penalty=0.1,
            frequency_penalty=0.2, tools=(LOOK,), tool_choice="required", reasoning_effort="low",
            extra={"top_k": 7, "safety_mode": "OFF", "num_ctx": 9},
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
    )  # fmt: skip

    assert body.pop("messages")
    assert body == {
        "model": "m", "stream": True, "max_tokens": 5, "seed": 0, "stop_sequences": ["a"], "temperature": 0.0, "p": 0.9,
        "k": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2, "tools": [LOOK], "tool_choice": "REQUIRED",
        "thinking": {"type": "enabled", "token_budget": 1024}, "safety_mode": "OFF",
        "response_format": {"type": "json_object", "json_schema": schema},
    }  # fmt: skip
    assert ["b", "a"] == list(body["response_format"]["json_schema"]["properties"])


def test_nothing_is_sent_for_what_is_not_set() -> None:
    assert {"model", "messages", "stream"} == set(body_of(ask("m")))


def test_a_named_tool_is_the_only_one_that_is_offered() -> None:
    body = body_of(ask("m", tools=(LOOK, DIG), tool_choice={"type": "function", "function": {"name": "dig"}}))

    assert ("REQUIRED", [DIG], True) == (body["tool_choice"], body["tools"], body["strict_tools"])


def test_a_conversation_with_tools_and_pictures_becomes_coheres() -> None:
    made = (ToolCallPart("c1", "look", '{"a": 1}'),)
    messages = (
        Message.of("developer", "be brief"),
        Message("user", (TextPart("what is it"), ImagePart("https://x/y.png", "low"))),
        Message("assistant", made, {"tool_plan": "I look.", "thinking": "Hm."}, vendor="cohere"),
        Message("tool", (ToolResultPart("c1", "rain"), ToolResultPart("c1", "sun"))),
        Message("assistant", made, {"tool_plan": "I look."}, vendor="openai"),
        Message("tool", (ToolResultPart("c1", "rain"),)),
        Message("assistant", ()),
    )

    wire = body_of(ModelRequest(model="m", messages=messages))["messages"]

    assert {"role": "system", "content": "be brief"} == wire[0]
    assert {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}} == wire[1]["content"][1]
    assert ("I look.", [{"type": "thinking", "thinking": "Hm."}]) == (wire[2]["tool_plan"], wire[2]["content"])
    assert ["rain", "sun"] == [m["content"] for m in wire[3:5]]
    assert {"role", "tool_calls"} == set(wire[5])
    assert 7 == len(wire)


async def test_plans_and_thoughts_come_back_with_the_calls_they_led_to() -> None:
    async with CohereServer() as server, aiohttp.ClientSession() as session:
        cohere = Cohere(session, server.url, timeouts=PATIENT)
        server.script(calls(("look", {"city": "Huế"}), ("look", {})), says("rain"))
        deltas = await collect(cohere, ask("scripted", tools=(LOOK,)))
        parts = tuple(ToolCallPart(d.id, d.name, "{}") for d in deltas if isinstance(d, ToolCallDelta) and d.id)
        (extra,) = (d.extra for d in deltas if isinstance(d, ExtraDelta))
        results = Message("tool", tuple(ToolResultPart(p.id, "rain") for p in parts))
        turn = Message("assistant", parts, extra, vendor="cohere")
        answer = await collect(
            cohere, ModelRequest(model="scripted", messages=(Message.of("user", "x"), turn, results))
        )

    assert [("look_0", "look"), ("look_1", "look")] == [(p.id, p.name) for p in parts]
    arguments = [d.arguments for d in deltas if isinstance(d, ToolCallDelta) and d.index == 0]
    assert '{"city": "Huế"}' == "".join(arguments)
    assert "I will look." == server.records[1].body["messages"][1]["tool_plan"]
    assert "rain" == text_of(answer)


def test_thoughts_words_and_calls_are_told_apart() -> None:
    deltas = read(
        {"type": "message-start", "id": "x"},
        said("so", "thinking"),
        said("wa"),
        said("ter"),
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": {}}}},
        call("start", 0, id="c1", function={"name": "look", "arguments": ""}),
        call("delta", 0, function={"arguments": "[7]"}),
        {"type": "something-new"},
        end("TOOL_CALL"),
    )

    assert [
        ReasoningDelta("so"),
        TextDelta("water"),
        ToolCallDelta(0, "c1", "look"),
        ToolCallDelta(0, arguments="[7]"),
        ExtraDelta({"thinking": "so"}),
    ] == deltas[:-1]


def test_calls_without_ids_or_numbers_are_told_apart() -> None:
    deltas = read(
        call("start", None, function={"name": "look", "arguments": ""}),
        call("delta", None, function={"arguments": '{"n":1}'}),
        call("start", None, function={"name": "dig", "arguments": ""}),
        call("delta", None, function={"arguments": "[7]"}),
        end("TOOL_CALL"),
    )
    made = [d for d in deltas if isinstance(d, ToolCallDelta)]

    assert [(0, "look"), (0, ""), (1, "dig"), (1, "")] == [(d.index, d.name) for d in made]
    assert 2 == len({d.id for d in made if d.id})


@pytest.mark.parametrize(
    ("reason", "expected"), [("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length"), ("ERROR_TOXIC", "content_filter")]
)
def test_a_finish_reason_is_one_of_ours(reason: str, expected: str) -> None:
    finished = read(said("hm"), end(reason))[-1]

    assert isinstance(finished, Finished)
    assert expected == finished.reason


@pytest.mark.parametrize(
    "events", [[said("hm"), end("TIMEOUT")], [said("hm"), end("NEW")], [said("hm"), end(None)], [end()]]
)
def test_an_answer_that_was_broken_off_or_has_no_word_is_an_error_that_may_pass(events: list) -> None:
    with pytest.raises((ProviderStreamCut, ProviderSaidNothing)) as caught:
        read(*events)

    assert caught.value.retryable


@pytest.mark.parametrize("event", [end("ERROR", error="model went away"), {"message": "model went away"}])
def test_an_error_in_mid_answer_has_coheres_words(event: dict) -> None:
    with pytest.raises(ProviderOverloaded, match="model went away"):
        read(said("hm"), event)


def test_what_is_billed_is_counted_and_floats_are_whole_numbers() -> None:
    usage = {
        "billed_units": {"input_tokens": 5.0, "output_tokens": 7},
        "tokens": {"input_tokens": 300},
        "cached_tokens": 2.0,
    }

    assert Finished("stop", Usage(5, 7, cached_tokens=2)) == read(said("hm"), end(usage=usage))[-1]


@pytest.mark.parametrize(
    "odd", [[], "x", {"billed_units": 7}, {"billed_units": {"input_tokens": 1.5, "output_tokens": -1}}]
)
def test_counts_that_are_none_are_estimated(odd: Any) -> None:
    finished = read(said("hm"), end(usage=odd))[-1]

    assert isinstance(finished, Finished)
    assert finished.usage.estimated


@pytest.mark.parametrize("odd", [7, [], {"type": 7}, {"type": "content-delta", "delta": []}, said(7), call("delta", 0)])  # type: ignore[arg-type]
def test_an_odd_field_costs_nothing_but_itself(odd: Any) -> None:
    assert "water" == text_of(read(said("wa"), odd, said("ter"), end()))


async def test_a_token_that_is_invalid_is_a_rejected_key_whatever_number_that_has() -> None:
    async with CohereServer() as server, aiohttp.ClientSession() as session:
        server.script(fails(498, "invalid token"))
        with pytest.raises(ProviderRejectedKey):
            await collect(Cohere(session, server.url, timeouts=PATIENT), ask("scripted"))


async def test_models_of_all_pages_are_listed_and_one_describes_itself() -> None:
    async with CohereServer() as server, aiohttp.ClientSession() as session:
        cohere = Cohere(session, server.url, timeouts=PATIENT)
        names = [model.name for model in await cohere.list_models()]
        can = await cohere.describe("command-a-03-2025")
        missing = await cohere.describe("no-such-model")

    assert "embed-v4.0" in names
    assert "rerank-v4.0" not in names
    assert Capabilities(tools=True, images=False, context_tokens=256_000) == can
    assert missing is None


async def test_a_text_that_is_to_be_found_is_embedded_as_one() -> None:
    async with CohereServer() as server, aiohttp.ClientSession() as session:
        await Cohere(session, server.url, timeouts=PATIENT).embed_for(["a"], "embed-v4.0", "passage")

    assert "search_document" == server.requests[-1].body["input_type"]


@pytest.mark.parametrize(
    "given", ["https://api.cohere.ai/compatibility/v1/", "https://api.cohere.ai/v2", "https://api.cohere.ai"]
)
def test_an_address_is_that_of_no_version(given: str) -> None:
    assert "https://api.cohere.ai" == parse_address(given)


def test_what_no_place_is_found_for_is_named() -> None:
    names = ["top_k", "safety_mode", "google", "user"]

    assert ["google", "user"] == ignored_extras("cohere", names)
    assert ["safety_mode", "user"] == ignored_extras("google", names)
