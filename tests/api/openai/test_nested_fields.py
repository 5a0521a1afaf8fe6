"""A field that nobody knows, in each object that OpenAI's methods take: it reaches the model server, or is named, or the object
is refused by its name. Nothing within is dropped in silence."""

import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from openai.types import completion_create_params as texts
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses

from api.openai.responses.tools import read_tools
from tests.api.conftest import Running
from tests.api.openai.nested_fields import Place, fields, places

ODD = "of_nobody"
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
FLAT_TOOL = {"type": "function", **TOOL["function"]}
FLAT_CALL = {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"}

VALUES: dict[str, Any] = {
    **{"name": "get_weather", "arguments": "{}", "call_id": "c1", "tool_call_id": "c1", "content": "x", "schema": {}},
    **{"ImageURL.url": "https://example.com/a.png", "ResponseInputImageParam.image_url": "https://example.com/a.png"},
    **{"ResponseInputImageContentParam.image_url": "https://example.com/a.png", "mode": "auto"},
    **{"FileFile.file_data": "aGk=", "FileFile.filename": "a.txt", "vector_store_ids": ["handbook"]},
    **{"ResponseInputFileParam.file_data": "aGk=", "ResponseInputFileParam.filename": "a.txt"},
    **{"ResponseInputFileContentParam.file_data": "aGk=", "ResponseInputFileContentParam.filename": "a.txt"},
    **{"ChatCompletionMessageFunctionToolCallParam.id": "c1", "parameters": {"type": "object", "properties": {}}},
    **{"ChatCompletionAllowedToolsParam.tools": [TOOL], "ToolChoiceAllowedParam.tools": [FLAT_TOOL]},
    **{
        "JSONSchema.schema": {},
        "FunctionCallOutput.call_id": "c1",
        "ResponseConversationParamParam.id": "{conversation}",
    },
    "ResponseReasoningItemParam.summary": [],
}

REFUSED = {
    "chat": (
        *("audio", "functions", "function_call", "tools[custom]", "tool_choice[custom]", "messages[function]"),
        *("messages[user].content[input_audio]", "messages[assistant].tool_calls[custom]"),
    ),
    "responses": (
        *("tools[computer", "tools[mcp]", "tools[code_interpreter]", "tools[programmatic_tool_calling]", "prompt"),
        *("tools[image_generation]", "tools[local_shell]", "tools[shell]", "tools[custom]", "tools[tool_search]"),
        *("tools[apply_patch]", "tools[namespace].tools[custom]", "tool_choice[mcp]", "tool_choice[custom]"),
        *("tool_choice[apply_patch]", "tool_choice[shell]", "tool_choice[programmatic_tool_calling]"),
        *("input[additional_tools]", "input[configuration_update]", "input[local_shell", "input[shell_call"),
        *("input[apply_patch", "input[mcp_approval", "input[custom_tool", "input[compaction_trigger]", "input[program"),
        "input[item_reference]",
    ),
}
"""Objects that are refused with whatever is in them, by the beginning of their path: what they ask for can't be had here."""

SENT_BACK = ("input[assistant].content[output_text].annotations", "input[assistant].content[output_text].logprobs")
"""What clients send back of an answer, and asks for nothing: it is left out, and not named."""

WHOLE = ("access_programs", "background_options", "context_management", "image", "moderation", "stream_options")
"""Parameters of responses that are named as a whole."""

METHODS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", chat.CompletionCreateParamsNonStreaming, {"tools": [TOOL]}),
    "texts": ("/v1/completions", texts.CompletionCreateParamsNonStreaming, {}),
    "responses": ("/v1/responses", responses.ResponseCreateParamsNonStreaming, {"tools": [FLAT_TOOL]}),
}


def cases(method: str) -> list[Place]:
    """The places of a method; of what is refused or named as a whole only the outermost."""
    found = [one for name, inner in fields(METHODS[method][1]).items() for one in places(name, inner, VALUES)]
    whole = (*REFUSED.get(method, ()), *(WHOLE if method == "responses" else ()), *_left_out(found))
    kept, met = list[Place](), set[str]()
    for place in (one for one in found if not one.path.startswith(SENT_BACK)):
        within = next((start for start in whole if place.path.startswith(start)), None)
        if within is None or within not in met:
            kept.append(place)
        met |= {within} if within is not None else set()
    return kept


def _left_out(found: Sequence[Place]) -> list[str]:
    """Items of the input that are left out whole: each kind that isn't read."""
    read = ("user", "assistant", "function_call", "function_call_output")
    kinds = {match[1] for one in found if (match := re.match(r"input\[(\w+)\]", one.path))}
    return [f"input[{kind}]" for kind in kinds - {*read}]


SEARCH = "tools[file_search]"
CASES = [(method, place) for method in METHODS for place in cases(method) if not place.path.startswith(SEARCH)]


@pytest.mark.parametrize(("method", "place"), CASES, ids=lambda one: one if isinstance(one, str) else one.path)
async def test_a_field_that_nobody_knows_is_never_dropped_in_silence(
    running: Running, method: str, place: Place
) -> None:
    mark = str(uuid4())
    body = await with_ids(running, request(method, place, mark))
    answer = await running.http.post(METHODS[method][0], json=body)
    if place.path.startswith(REFUSED.get(method, ())):
        assert answer.status_code in (400, 404), answer.text
        assert place.parameter in json.dumps(answer.json()["error"])
        return
    assert 200 == answer.status_code, (body, answer.text)
    sent = [json.dumps(record.body) for record in running.models.requests]
    assert any(mark in one for one in sent) or is_named(answer.headers.get("x-headrace-ignored", ""), place), (
        body,
        answer.headers.get("x-headrace-ignored"),
    )


def test_what_a_search_of_files_has_besides_is_named() -> None:
    """Apart from the others, since it needs a collection."""
    searches = [place for place in cases("responses") if place.path.startswith(SEARCH)]
    assert searches
    for place in searches:
        assert is_named(", ".join(read_tools(place.make({ODD: 1})).ignored), place), place.path


async def test_fields_of_embeddings_that_only_other_servers_know_are_named(running: Running) -> None:
    body = {
        "model": "openai/text-embedding-3-small",
        "input": "x",
        "input_type": "query",
        "truncate": "NONE",
        "user": "u",
    }
    answer = await running.http.post("/v1/embeddings", json=body)
    assert (200, "input_type, truncate, user") == (answer.status_code, answer.headers["x-headrace-ignored"])


def request(method: str, place: Place, mark: str) -> dict[str, Any]:
    """A request with the odd field in its place, and what it needs besides."""
    value = place.make({ODD: mark})
    match method, place.parameter:
        case "chat", "messages":
            calls, results = "tool_calls" in value[0], value[0]["role"] == "tool"
            before = [{"role": "assistant", "content": None, "tool_calls": [CALL]}] if results else []
            after = [{"role": "tool", "tool_call_id": "c1", "content": "x"}] if calls else []
            more: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}, *before, *value, *after]}
        case "responses", "input":
            kind = value[0].get("type", "message")
            before = [FLAT_CALL] if kind == "function_call_output" else []
            after = (
                [{"type": "function_call_output", "call_id": "c1", "output": "x"}] if kind == "function_call" else []
            )
            more = {"input": [{"role": "user", "content": "hi"}, *before, *value, *after]}
        case _:
            more = {place.parameter: value}
    if place.parameter == "stream_options":
        more["stream"] = True
    said = {"chat": {"messages": [{"role": "user", "content": "hi"}]}, "texts": {"prompt": "hi"}}
    needs = METHODS[method][2] if place.parameter == "tool_choice" else {}
    return {"model": "openai/text-1", **said.get(method, {"input": "hi"}), **needs, **more}


async def with_ids(running: Running, body: dict[str, Any]) -> dict[str, Any]:
    """Put what was made for it into a request that names a conversation."""
    if "{conversation}" in json.dumps(body):
        made = (await running.http.post("/v1/conversations", json={})).json()["id"]
        return json.loads(json.dumps(body).replace("{conversation}", made))
    return body


def is_named(header: str, place: Place) -> bool:
    """Whether the field, or an object that it is in, is named."""
    plain = [*re.sub(r"\[\w*\]", "", place.path).split("."), ODD]
    names = [re.sub(r"\[\d+\]| \(.*\)", "", name.strip()).split(".") for name in header.split(",") if name.strip()]
    return any(plain[: len(name)] == name for name in names)
