"""OpenAI's Responses API as a provider's: which models are called so, what is sent, sealed reasoning that goes back."""

from typing import Any

import aiohttp
import msgspec
import openai
import pytest

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
from graphs.providers.errors import (
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRefused,
    ProviderSaidNothing,
    ProviderStreamCut,
)
from graphs.providers.openai.chat_request import message_body
from graphs.providers.openai.provider import OpenAICompatible
from graphs.providers.openai.responses_reader import ResponsesReader
from graphs.providers.openai.responses_request import request_body
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.registry import Providers
from graphs.providers.settings import ProviderSettings
from tests.counterparts.behaviours import Turn, fails, says, text
from tests.counterparts.openai.azure_server import AzureServer
from tests.counterparts.openai.responses_server import ResponsesServer
from tests.graphs.model_requests import PATIENT, ask, collect, text_of
from tests.waiting import PATIENCE_S

LOOK = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
OPENAI = VENDORS["openai"]


def body_of(request: ModelRequest, **options: Any) -> dict[str, Any]:
    return msgspec.json.decode(request_body(request, OPENAI, **options))


def provider(session: aiohttp.ClientSession, server: ResponsesServer) -> OpenAICompatible:
    return OpenAICompatible(session, OPENAI.at(server.base_url), timeouts=PATIENT, by_responses=("*",))


def read(*events: Any) -> list[Delta]:
    """The deltas of these events, `Finished` last."""
    reader = ResponsesReader("openai", ask("m"))
    deltas = reader.feed([msgspec.json.encode(one) for one in events])
    reader.check()
    return [*deltas, *reader.finish()]


def said(words: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "delta": words}


def end(status: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": {"status": status, **fields}}


def test_an_end_without_a_status_is_what_its_event_says() -> None:
    last = read(
        said("Down."),
        {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}},
    )[-1]
    assert isinstance(last, Finished)
    assert "length" == last.reason
    assert isinstance(last := read(said("Down."), {"type": "response.completed", "response": {}})[-1], Finished)
    assert "stop" == last.reason


@pytest.mark.parametrize(
    ("model", "expected"),
    [("o3-pro", True), ("gpt-5.1-codex-mini", True), ("gpt-5-pro", True), ("o3", False), ("gpt-5-mini", False)],
)
def test_models_that_no_other_api_has_are_called_by_this_one(model: str, expected: bool) -> None:
    assert expected == OPENAI.needs_responses(model)
    assert not OPENAI.at("http://127.0.0.1:1/v1").needs_responses(model)


async def test_a_setting_names_more_of_them() -> None:
    async with ResponsesServer() as server:
        env = {"OPENAI_BASE_URL": server.base_url, "HEADRACE_RESPONSES_MODELS": "openai/text-2*, azure/mine"}
        async with Providers(ProviderSettings.from_env(env)) as providers:
            assert text(2) == text_of(await collect(providers.get("openai"), ask("text-2")))
            with pytest.raises(ProviderRefused, match="/chat/completions"):
                await collect(providers.get("openai"), ask("text-3"))


@pytest.mark.parametrize("pattern", ["gpt-5*", "ollama/x", "openai/"])
def test_a_pattern_without_a_provider_of_this_protocol_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"HEADRACE_RESPONSES_MODELS.*openai/gpt-5"):
        ProviderSettings.from_env({"HEADRACE_RESPONSES_MODELS": pattern})


def test_settings_of_the_request_have_their_places_here() -> None:
    schema = {"name": "x", "strict": True, "schema": {"type": "object", "properties": {"b": {}, "a": {}}}}
    request = ask(
        "gpt-5", temperature=0.5, top_p=0.9, max_tokens=50, reasoning_effort="low", parallel_tool_calls=False,
        tools=(LOOK, {"type": "web_search"}), tool_choice={"type": "function", "function": {"name": "look"}},
        response_format={"type": "json_schema", "json_schema": schema}, extra={"verbosity": "low", "user": "u"},
    )  # fmt: skip

    body = body_of(request)

    assert body.pop("input") == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "which way does water flow"}]}
    ]
    assert body == {
        "model": "gpt-5", "stream": True, "store": False, "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "user": "u",
        "parallel_tool_calls": False, "tool_choice": {"type": "function", "name": "look"},
        "tools": [
            {"type": "function", "strict": False, "name": "look", "description": "Looks.", "parameters": {"type": "object"}},
            {"type": "web_search"},
        ],
        "text": {"verbosity": "low", "format": {"type": "json_schema", **schema}},
    }  # fmt: skip
    assert ["b", "a"] == list(body["text"]["format"]["schema"]["properties"])


def test_a_model_that_does_not_reason_is_not_asked_about_it() -> None:
    assert {"model", "input", "stream", "store"} == set(body_of(ask("gpt-4.1")))


@pytest.mark.parametrize("field", [{"stop": ("x",)}, {"presence_penalty": 0.5}])
def test_what_this_api_has_no_place_for_is_refused_by_name(field: dict[str, Any]) -> None:
    with pytest.raises(ProviderRefused, match=f"no {next(iter(field))}"):
        body_of(ask("o3-pro", **field))


def test_items_stand_in_the_order_in_which_they_were_made() -> None:
    thought, other = {"reasoning_items": [ITEM]}, {"reasoning_items": [ITEM | {"id": "rs_2"}]}
    messages = (
        Message.of("system", "be brief"),
        Message("user", (TextPart("see"), ImagePart("https://x/y.png"))),
        Message("assistant", (TextPart("I look."), ToolCallPart("c1", "look", "{}", other)), thought, vendor="openai"),
        Message("tool", (ToolResultPart("c1", "rain"),)),
        Message("assistant", (ToolCallPart("c2", "look", "{}", thought),), vendor="google"),
        Message("tool", (ToolResultPart("c2", "sun"),)),
        Message("assistant", (), thought, vendor="openai"),
    )

    items = body_of(ModelRequest(model="gpt-5", messages=messages))["input"]

    assert [("message", "system"), ("message", "user")] == [(i["type"], i["role"]) for i in items[:2]]
    assert {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"} == items[1]["content"][1]
    rest = [i.get("id") or i["type"] for i in items[2:]]
    outputs = ["function_call_output", "function_call", "function_call_output"]
    assert ["rs_1", "message", "rs_2", "function_call", *outputs] == rest
    assert "output_text" == items[3]["content"][0]["type"]


def test_what_was_thought_here_is_not_said_in_the_other_api() -> None:
    thought = {"reasoning_items": [ITEM], "annotations": [], "item_phase": "commentary"}
    message = Message("assistant", (ToolCallPart("c1", "look", "{}", thought),), thought, vendor="openai")

    (body,) = message_body(message, OPENAI)

    assert {"role", "content", "tool_calls", "annotations"} == set(body)
    assert "reasoning_items" not in body["tool_calls"][0]


def test_a_phase_and_marks_for_the_cache_are_kept() -> None:
    mark, phase = {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}, {"item_phase": "commentary"}
    said = {"type": "message", "id": "m1", "role": "assistant", "phase": "commentary"}
    deltas = read(
        {"type": "response.output_text.delta", "delta": "I look."},
        {"type": "response.output_item.done", "output_index": 0, "item": said},
        end(),
    )
    user = Message("user", (TextPart("see", mark), ImagePart("https://x/y.png", extra=mark | {"other": 1})))
    answer = Message("assistant", (TextPart("I look.", mark),), phase, vendor="openai")

    items = body_of(ModelRequest(model="gpt-5", messages=(user, answer, Message.of("user", "well?"))))["input"]

    assert ExtraDelta(phase) in deltas
    assert [mark | {"type": "input_text", "text": "see"}] == items[0]["content"][:1]
    assert mark | {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"} == items[0]["content"][1]
    assert ("commentary", [{"type": "output_text", "text": "I look."}]) == (items[1]["phase"], items[1]["content"])


async def test_sealed_reasoning_goes_back_and_what_can_not_be_opened_costs_a_second_request() -> None:
    async with ResponsesServer() as server, aiohttp.ClientSession() as session:
        step = Turn(calls=(("look", {"city": "Huế"}), ("look", {"n": 1})), signed=True)
        server.script(step, says("rain", thought="So."), says("rain again"))
        asked = Message.of("user", "weather?")
        request = ModelRequest(model="scripted", messages=(asked,), tools=(LOOK,), reasoning_effort="low")
        deltas = await collect(provider(session, server), request)
        parts: dict[int, ToolCallPart] = {}
        for d in deltas:
            if isinstance(d, ToolCallDelta):
                was = parts.get(d.index, ToolCallPart("", "", ""))
                extra = was.extra | d.extra
                parts[d.index] = ToolCallPart(was.id or d.id, was.name or d.name, was.arguments + d.arguments, extra)
        turn = Message("assistant", tuple(parts.values()), vendor="openai")
        results = Message("tool", tuple(ToolResultPart(part.id, "rain") for part in parts.values()))
        request = msgspec.structs.replace(request, messages=(asked, turn, results))
        answer = await collect(provider(session, server), request)
        server.sealed.clear()  # as at another organisation
        again = await collect(provider(session, server), request)

    assert "I must look.\n\nI must look." == "".join(d.text for d in deltas if isinstance(d, ReasoningDelta))
    assert ['{"city": "Huế"}', '{"n": 1}'] == [part.arguments for part in parts.values()]
    kinds = [item["type"] for item in server.records[1].body["input"]]
    assert ["message", *["reasoning", "function_call"] * 2, *["function_call_output"] * 2] == kinds
    (extra,) = (d.extra for d in answer if isinstance(d, ExtraDelta))
    assert ["So."] == [part["text"] for item in extra["reasoning_items"] for part in item["summary"]]
    assert ("rain", "rain again", 4) == (text_of(answer), text_of(again), len(server.records))


async def test_summaries_that_are_not_granted_are_not_asked_for_again() -> None:
    async with ResponsesServer() as server, aiohttp.ClientSession() as session:
        server.script(fails(400, "Your organization must be verified to generate reasoning summaries."), says("ok"))
        deltas = await collect(provider(session, server), ask("scripted", reasoning_effort="low"))

    assert "ok" == text_of(deltas)
    assert {"effort": "low"} == server.records[1].body["reasoning"]


async def test_azures_deployments_are_called_so_too() -> None:
    class Recorder(AzureServer):
        async def handle(self, exchange: Any) -> None:
            exchange.answer(404, {"error": {"code": "404", "message": "Resource not found"}})

    async with Recorder() as server, aiohttp.ClientSession() as session:
        for address in (server.base_url, f"{server.url}/openai?api-version=2025-04-01-preview"):
            azure = OpenAICompatible(session, VENDORS["azure"].at(address), key="k", by_responses=("mine",))
            with pytest.raises(ProviderRefused):
                await collect(azure, ask("mine"))

    assert ["/openai/v1/responses", "/openai/responses?api-version=2025-04-01-preview"] == [
        r.path for r in server.requests
    ]


def test_usage_has_its_parts_and_the_model_its_name() -> None:
    usage = {
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
        "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 30},
    }  # fmt: skip
    expected = Usage(100, 50, cached_tokens=64, cache_write_tokens=8, reasoning_tokens=30)

    assert Finished("stop", expected, model="gpt-5-2026") == read(said("hm"), end(usage=usage, model="gpt-5-2026"))[-1]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([said("hm"), end("incomplete", incomplete_details={"reason": "max_output_tokens"})], "length"),
        ([said("hm"), end("incomplete", incomplete_details={"reason": "content_filter"})], "content_filter"),
    ],
)
def test_an_incomplete_answer_says_why(events: list, expected: str) -> None:
    assert expected == read(*events)[-1].reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([said("hm")], ProviderStreamCut),
        ([said("hm"), end("incomplete", incomplete_details={"reason": "something_new"})], ProviderStreamCut),
        ([said("hm"), end("cancelled")], ProviderStreamCut),
        ([end()], ProviderSaidNothing),
        ([said("hm"), end("failed", error={"code": "server_error", "message": "x"})], ProviderOverloaded),
        ([said("hm"), end("failed", error={"code": "rate_limit_exceeded", "message": "x"})], ProviderRateLimited),
        ([said("hm"), end("failed")], ProviderOverloaded),
        ([{"type": "error", "code": "invalid_prompt", "message": "x"}], ProviderRefused),
        ([{"error": {"code": "server_error", "message": "x"}}], ProviderOverloaded),
    ],
)
def test_a_failure_is_never_an_end(events: list, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        read(*events)


@pytest.mark.parametrize(
    "odd",
    [7, [], {"type": 7}, {"type": "response.output_text.delta", "delta": 7}, {"type": "response.output_item.done", "item": []},
     {"type": "response.new_thing"}, {"type": "response.output_item.added", "item": {"type": "web_search_call"}}],
)  # fmt: skip
def test_an_odd_or_new_event_costs_nothing_but_itself(odd: Any) -> None:
    assert "water" == text_of(read(said("wa"), odd, said("ter"), end(usage=[], output="x")))


def test_a_refusal_is_one_and_parts_of_a_summary_are_apart() -> None:
    deltas = read(
        {"type": "response.reasoning_summary_part.added", "summary_index": 0},
        {"type": "response.reasoning_summary_text.delta", "delta": "One."},
        {"type": "response.reasoning_summary_part.added", "summary_index": 1},
        {"type": "response.reasoning_summary_text.delta", "delta": "Two."},
        {"type": "response.refusal.delta", "delta": "I won't."},
        end(),
    )

    assert "One.\n\nTwo." == "".join(d.text for d in deltas if isinstance(d, ReasoningDelta))
    assert RefusalDelta("I won't.") in deltas


def test_a_whole_response_instead_of_a_stream_is_read_too() -> None:
    items = [
        {"type": "message", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"n":1}'},
    ]
    deltas = read({"object": "response", "status": "completed", "output": items})

    assert [TextDelta("I look."), ToolCallDelta(0, "c1", "look", '{"n":1}')] == deltas[:2]
    assert "tool_calls" == deltas[-1].reason  # type: ignore[union-attr]


async def test_the_official_client_is_satisfied_by_the_counterpart() -> None:
    async with (
        ResponsesServer() as server,
        openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0, timeout=PATIENCE_S) as client,
    ):
        whole = await client.responses.create(model="text-5", input="hi there")
        async with client.responses.stream(model="text-5", input="hi there", max_output_tokens=3) as stream:
            cut = [event async for event in stream]
        step = Turn("I look.", calls=(("look", {"city": "Huế"}),), signed=True)
        server.script(step, says("rain"))
        tool: Any = {"type": "function", "strict": False, **LOOK["function"]}  # type: ignore[dict-item]
        asked: Any = {
            "model": "scripted",
            "tools": [tool],
            "include": ["reasoning.encrypted_content"],
            "store": False,
        }
        async with client.responses.stream(input="weather?", **asked) as stream:
            called = await stream.get_final_response()
        items: list[Any] = [{"role": "user", "content": "weather?"}, *(i.to_dict() for i in called.output)]
        call = next(item for item in called.output if item.type == "function_call")
        with pytest.raises(openai.BadRequestError, match="No tool output found"):
            await client.responses.create(input=items, **asked)
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        last = await client.responses.create(input=[*items, output], **asked)
        with pytest.raises(openai.BadRequestError, match="does not exist"):
            await client.responses.create(model="no-such", input="hi")

    assert " ".join(["water"] * 5) == whole.output_text
    assert ("incomplete", text(3)) == (cut[-1].response.status, cut[-1].response.output_text)
    assert ["message", "reasoning", "function_call"] == [item.type for item in called.output]
    assert "rain" == last.output_text
