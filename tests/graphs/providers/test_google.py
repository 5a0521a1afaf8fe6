"""Gemini's own ways: turns by turns, signatures that must go back, reasons that are failures, and what it counts."""

from typing import Any

import aiohttp
import msgspec
import pytest

from graphs.providers.capabilities import Capabilities, capabilities
from graphs.providers.contract import (
    Delta,
    ExtraDelta,
    Finished,
    ImagePart,
    Message,
    ModelRequest,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from graphs.providers.errors import ProviderOverloaded, ProviderRefused, ProviderSaidNothing, ProviderStreamCut
from graphs.providers.google.messages import NO_SIGNATURE
from graphs.providers.google.provider import Google, model_path, parse_address
from graphs.providers.google.reader import GoogleReader
from graphs.providers.google.request import request_body
from tests.counterparts.behaviours import Turn, fails, says
from tests.counterparts.google.server import GoogleServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of

LOOK = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
SIGNED = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
CALL, RESULT = ToolCallPart("c1", "look", '{"city":"Huế"}'), ToolResultPart("c1", "rain")


def body_of(request: ModelRequest, **options: Any) -> dict[str, Any]:
    return msgspec.json.decode(request_body(request, **options))


def conversation(*messages: Message, model: str = "gemini-3-x", **fields: Any) -> ModelRequest:
    return ModelRequest(model=model, messages=messages, **fields)


def read(*answers: Any, model: str = "m") -> list[Delta]:
    """The deltas of these payloads, `Finished` last."""
    reader = GoogleReader(ask(model))
    deltas = reader.feed([one if isinstance(one, bytes) else msgspec.json.encode(one) for one in answers])
    reader.check()
    return [*deltas, *reader.finish()]


def candidate(*parts: dict[str, Any], reason: str | None = "STOP", **fields: Any) -> dict[str, Any]:
    found = {"content": {"parts": list(parts), "role": "model"}, **fields}
    return {"candidates": [found | ({"finishReason": reason} if reason else {})]}


def test_settings_of_the_request_become_googles() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    request = ask(
        "gemini-2.0-x", max_tokens=5, seed=0, stop=("a",), temperature=0.0, top_p=0.9, presence_penalty=0.1,
        frequency_penalty=0.2, tools=(LOOK,), tool_choice="required", extra={"top_k": 7},
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )  # fmt: skip

    body = body_of(request)

    assert body["generationConfig"] == {
        "temperature": 0.0, "topP": 0.9, "topK": 7, "maxOutputTokens": 5, "stopSequences": ["a"], "seed": 0,
        "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }  # fmt: skip
    assert ["b", "a"] == list(body["generationConfig"]["responseJsonSchema"]["properties"])
    declared = {"name": "look", "description": "Looks.", "parametersJsonSchema": {"type": "object"}}
    assert [{"functionDeclarations": [declared]}] == body["tools"]
    assert {"functionCallingConfig": {"mode": "ANY"}} == body["toolConfig"]


def test_nothing_is_sent_for_what_is_not_set() -> None:
    assert {"contents"} == set(body_of(ask("m")))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", {"mode": "NONE"}),
        ("auto", {"mode": "AUTO"}),
        ({"type": "function", "function": {"name": "look"}}, {"mode": "ANY", "allowedFunctionNames": ["look"]}),
    ],
)
def test_a_tool_choice_is_a_mode(choice: Any, expected: dict[str, Any]) -> None:
    assert expected == body_of(ask("m", tools=(LOOK,), tool_choice=choice))["toolConfig"]["functionCallingConfig"]


def test_a_tool_of_another_type_is_refused_with_its_type() -> None:
    with pytest.raises(ProviderRefused, match="web_search"):
        request_body(ask("m", tools=({"type": "web_search"},)))


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-flash", None, {"includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "high", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-3.5-flash", "low", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.5-flash", "none", {"thinkingLevel": "minimal"}),
        ("gemini-2.0-flash", None, None),
        ("gemini-3-pro-image", None, None),
    ],
)
def test_an_effort_is_a_budget_or_a_level_as_the_model_has_it(model: str, effort: str | None, expected: Any) -> None:
    body = body_of(ask(model, reasoning_effort=effort))

    assert expected == body.get("generationConfig", {}).get("thinkingConfig")


def test_what_is_googles_own_goes_as_it_came() -> None:
    own = {"thinking_config": {"thinking_budget": 7}, "safety_settings": [{"category": "X"}], "cached_content": "c/1"}

    body = body_of(ask("gemini-3-x", extra={"google": own}))

    assert ({"thinking_budget": 7}, [{"category": "X"}], "c/1") == (
        body["generationConfig"]["thinkingConfig"],
        body["safetySettings"],
        body["cachedContent"],
    )


def test_turns_alternate_and_results_of_parallel_calls_are_one_turn() -> None:
    messages = (
        Message.of("system", "be brief"),
        Message.of("developer", "be kind"),
        Message("user", (TextPart("weather?"), ImagePart("data:image/png;base64,aGk="))),
        Message("assistant", (TextPart("I look."), CALL, ToolCallPart("call_0123456789abcdef_1", "look", "[1]"))),
        Message("tool", (RESULT,)),
        Message("tool", (ToolResultPart("call_0123456789abcdef_1", '{"n": 1}'),)),
        Message.of("system", "hurry"),
        Message.of("user", "well?"),
    )

    body = body_of(conversation(*messages, model="gemini-2.0-x"))

    assert {"parts": [{"text": "be brief"}, {"text": "be kind"}]} == body["systemInstruction"]
    assert ["user", "model", "user"] == [turn["role"] for turn in body["contents"]]
    user, model, after = (turn["parts"] for turn in body["contents"])
    assert [{"text": "weather?"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}] == user
    assert [
        {"text": "I look."},
        {"functionCall": {"id": "c1", "name": "look", "args": {"city": "Huế"}}},
        {"functionCall": {"name": "look", "args": {"arguments": "[1]"}}},
    ] == model
    assert [
        {"functionResponse": {"id": "c1", "name": "look", "response": {"output": "rain"}}},
        {"functionResponse": {"name": "look", "response": {"n": 1}}},
        {"text": "hurry"},
        {"text": "well?"},
    ] == after


def test_a_conversation_of_a_system_message_alone_is_said_by_the_user() -> None:
    assert [{"role": "user", "parts": [{"text": "hi"}]}] == body_of(conversation(Message.of("system", "hi")))[
        "contents"
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Message("assistant", (ToolCallPart("c1", "look", "{}", SIGNED), CALL), vendor="google"), ["c2ln", None]),
        (Message("assistant", (ToolCallPart("c1", "look", "{}", SIGNED),)), ["c2ln"]),
        (Message("assistant", (ToolCallPart("c1", "look", "{}", SIGNED), CALL), vendor="openai"), [NO_SIGNATURE, None]),
        (Message("assistant", (CALL, CALL)), [NO_SIGNATURE, None]),
        (Message("assistant", (TextPart("hi"),), extra=SIGNED, vendor="google"), ["c2ln"]),
        (Message("assistant", (), extra=SIGNED, vendor="google"), ["c2ln"]),
    ],
)
def test_signatures_go_back_to_google_alone_and_a_call_without_one_says_so(message: Message, expected: list) -> None:
    turn = body_of(conversation(Message.of("user", "x"), message, Message.of("user", "y")))["contents"][1]

    assert expected == [part.get("thoughtSignature") for part in turn["parts"]]


async def test_a_signed_call_is_answered_and_a_lost_signature_costs_a_second_request() -> None:
    async with GoogleServer() as server, aiohttp.ClientSession() as session:
        google = Google(session, server.url, timeouts=PATIENT)
        step = Turn(calls=(("look", {"city": "Huế"}), ("look", {"n": 1})), signed=True)
        server.script(step, says("rain"), says("rain again"), model="gemini-3-x")
        asked = Message.of("user", "weather?")
        first, second, end = await collect(google, conversation(asked, tools=(LOOK,)))
        assert isinstance(first, ToolCallDelta)
        assert isinstance(second, ToolCallDelta)
        assert isinstance(end, Finished)
        calls = tuple(ToolCallPart(d.id, d.name, d.arguments, d.extra) for d in (first, second))
        results = Message("tool", tuple(ToolResultPart(c.id, "rain") for c in calls))
        answer = await collect(google, conversation(asked, Message("assistant", calls, vendor="google"), results))
        server.signatures.clear()  # as when another model asks, or they have expired
        again = await collect(google, conversation(asked, Message("assistant", calls, vendor="google"), results))

    assert ("tool_calls", {}, True) == (end.reason, second.extra, bool(first.extra))
    assert first.id != second.id
    assert ("rain", "rain again") == (text_of(answer), text_of(again))
    assert 4 == len(server.records)


async def test_a_model_that_shows_no_thoughts_is_asked_without() -> None:
    async with GoogleServer() as server, aiohttp.ClientSession() as session:
        server.script(fails(400, "Thinking is not enabled for this model."), says("ok"), model="gemini-3-x")
        deltas = await collect(Google(session, server.url, timeouts=PATIENT), ask("gemini-3-x"))

    assert "ok" == text_of(deltas)
    assert "generationConfig" not in server.records[1].body


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
        ("MODEL_ARMOR", "content_filter"), ("IMAGE_SAFETY", "content_filter"), ("ESCALATION", "content_filter"),
    ],
)  # fmt: skip
def test_a_finish_reason_is_one_of_ours(reason: str, expected: str) -> None:
    finished = read(candidate({"text": "hm"}, reason=reason))[-1]

    assert isinstance(finished, Finished)
    assert expected == finished.reason


@pytest.mark.parametrize(
    "reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MISSING_THOUGHT_SIGNATURE", "OTHER", "NEW_ONE", None]
)
def test_an_answer_that_was_broken_off_is_an_error_that_may_pass(reason: str | None) -> None:
    with pytest.raises(ProviderStreamCut) as caught:
        read(candidate({"text": "hm"}, reason=reason))

    assert caught.value.retryable


@pytest.mark.parametrize("parts", [(), ({"text": ""},), ({"text": "hm", "thought": True},)])
def test_an_answer_without_a_word_is_an_error_that_may_pass(parts: tuple) -> None:
    with pytest.raises(ProviderSaidNothing) as caught:
        read(candidate(*parts))

    assert caught.value.retryable


def test_a_withheld_answer_says_why_in_googles_words() -> None:
    deltas = read(candidate(reason="SAFETY", finishMessage="It was unsafe."))

    assert RefusalDelta("It was unsafe.") in deltas


def test_a_blocked_prompt_is_refused_with_its_reason() -> None:
    with pytest.raises(ProviderRefused, match="PROHIBITED_CONTENT") as caught:
        read({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})

    assert not caught.value.retryable


def test_thoughts_words_calls_and_the_signature_of_the_message_are_told_apart() -> None:
    deltas = read(
        candidate({"text": "so", "thought": True}, reason=None),
        candidate({"text": "wa"}, {"text": "ter"}, reason=None),
        candidate({"functionCall": {"id": "x7", "name": "look", "args": {"b": 1, "a": 2}}}, reason=None),
        candidate({"text": "", "thoughtSignature": "c2ln"}),
    )

    assert [
        ReasoningDelta("so"),
        TextDelta("water"),
        ToolCallDelta(0, "x7", "look", '{"b":1,"a":2}'),
        ExtraDelta(SIGNED),
    ] == deltas[:-1]


def test_thoughts_count_as_output_and_the_cache_as_input() -> None:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 64,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
    }
    finished = read(candidate({"text": "hm"}) | {"usageMetadata": usage, "modelVersion": "gemini-3-x-001"})[-1]

    expected = Usage(100, 50, cached_tokens=64, reasoning_tokens=30)
    assert Finished("stop", expected, model="gemini-3-x-001") == finished


@pytest.mark.parametrize(
    "odd", [{"promptTokenCount": -5, "candidatesTokenCount": "7"}, [], "x", {"promptTokenCount": 1e9}]
)
def test_counts_that_are_none_are_estimated(odd: Any) -> None:
    finished = read(candidate({"text": "hm"}) | {"usageMetadata": odd})[-1]

    assert isinstance(finished, Finished)
    assert finished.usage.estimated
    assert finished.usage.input_tokens > 0


@pytest.mark.parametrize(
    "odd",
    [
        {"candidates": "x"}, {"candidates": [7]}, {"candidates": [{"content": []}]},
        {"candidates": [{"content": {"parts": 1}}]},
        {"candidates": [{"content": {"parts": [{"text": 7}, {"functionCall": []}, None]}}]}, {"modelVersion": 7}, [], 7,
        b'{"candidates": [{"content": {"parts": [{"text": "\xff"}]}, "avgLogprobs": NaN}]}',
    ],
)  # fmt: skip
def test_an_odd_field_costs_nothing_but_itself(odd: Any) -> None:
    deltas = read(candidate({"text": "water"}, reason=None), odd, candidate())

    assert text_of(deltas).startswith("water")


def test_nothing_after_the_finish_reason_can_fail_an_answer() -> None:
    reader = GoogleReader(ask("m"))

    reader.feed([msgspec.json.encode(candidate({"text": "water"})), b"{broken", b'{"error": {"code": 500}}'])

    reader.check()
    assert "stop" == reader.finish()[-1].reason


def test_an_array_instead_of_a_stream_is_read_too() -> None:
    whole = msgspec.json.encode([candidate({"text": "wa"}, reason=None), candidate({"text": "ter"})])

    assert "water" == text_of(read(whole))


async def test_an_error_within_a_data_line_is_googles_own() -> None:
    with pytest.raises(ProviderOverloaded, match="The model is overloaded"):
        read(candidate({"text": "a"}, reason=None), {"error": {"code": 503, "message": "The model is overloaded."}})


async def test_models_of_all_pages_are_listed_and_one_describes_itself() -> None:
    async with GoogleServer() as server, aiohttp.ClientSession() as session:
        google = Google(session, server.url, timeouts=PATIENT)
        names = [model.name for model in await google.list_models()]
        can = await capabilities(google, "gemini-3-flash-preview")
        missing = await google.describe("no-such-model")
        await google.describe("gemini-3-flash-preview")

    assert 6 == len(names)
    assert "gemini-embedding-001" in names
    assert Capabilities(tools=True, images=True, context_tokens=1_048_576) == can
    assert missing is None
    assert 4 == len(server.requests)  # two pages, one model, one that is missing


async def test_a_text_that_is_searched_for_is_embedded_as_one() -> None:
    async with GoogleServer() as server, aiohttp.ClientSession() as session:
        await Google(session, server.url, timeouts=PATIENT).embed_for(["a"], "gemini-embedding-001", "query")

    (asked,) = server.requests[-1].body["requests"]
    assert ("RETRIEVAL_QUERY", "models/gemini-embedding-001") == (asked["taskType"], asked["model"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://generativelanguage.googleapis.com", "https://generativelanguage.googleapis.com/v1beta"),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
        ("http://gateway:8000/gemini/v1", "http://gateway:8000/gemini/v1"),
    ],
)
def test_an_address_means_googles_own_protocol(given: str, expected: str) -> None:
    assert expected == parse_address(given)


@pytest.mark.parametrize("given", ["gateway:8000", "http://me:pw@host", "", "http://host?x=1"])
def test_what_is_no_address_is_said_to_be_none(given: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_address(given)


def test_a_models_name_leads_nowhere_else() -> None:
    assert "models/..%2F..%2Ffiles%3Fx%23" == model_path("../../files?x#")
    assert "tunedModels/mine" == model_path("tunedModels/mine")
