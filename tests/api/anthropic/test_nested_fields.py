"""A field that nobody knows, in each object that Anthropic's SDK sends: it reaches the model server, or is named, or the object
is refused by its place."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from anthropic.types import message_create_params as messages

from tests.api.anthropic.conftest import Talking
from tests.api.openai.nested_fields import Place, fields, places
from tests.api.openai.test_nested_fields import ODD, is_named

VALUES: dict[str, Any] = {
    **{
        "name": "get_weather",
        "content": "x",
        "text": "x",
        "id": "c1",
        "tool_use_id": "c1",
        "url": "https://example.com/a",
    },
    **{"data": "aGk=", "media_type": "image/png", "input": {}, "input_schema": {"type": "object"}, "schema": {}},
    **{"Base64PDFSourceParam.media_type": "application/pdf", "PlainTextSourceParam.media_type": "text/plain"},
    "DocumentBlockParam.source": {"type": "text", "media_type": "text/plain", "data": "x"},
    **{"SearchResultBlockParam.content": [{"type": "text", "text": "x"}], "budget_tokens": 1024},
    **{"ToolReferenceBlockParam.tool_name": "x", "ThinkingConfigEnabledParam.budget_tokens": 1024},
}
TAKEN = {
    "user": ("text", "image", "document", "search_result", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
    "system": ("text",),
}
"""Blocks that a turn may have here. Others are refused by their type: `server_tool_use`, and what runs at Anthropic."""

OF_ONE_KIND = re.compile(
    r"(citations|caller|tools|content)\[(?!char_location|direct|custom)[\w]*(_location|execution_\d+|_\d{8}|_state)\]"
)
"""Members of unions that are left out or refused whole, each as the one of its kind that is tried."""


REFUSED = re.compile(r"source\[file\]|\[document\]\.source\[(base64|url)\]|source\[content\]\.content\[image\]")
"""Documents that are no text here, or only for Anthropic's models; and files that aren't there."""

MARKS = "tools[custom].cache_control"
"""Marks for the cache ask other makers' models for nothing, and are not named."""


def cases() -> list[Place]:
    """The places in a request, of those that are taken."""
    params = messages.MessageCreateParamsNonStreaming
    found = [one for name, inner in fields(params).items() for one in places(name, inner, VALUES)]
    return [place for place in found if is_taken(place.path) and not OF_ONE_KIND.search(place.path)]


def is_taken(path: str) -> bool:
    block = re.match(r"messages\[(\w+)\]\.content\[(\w+)\]", path)
    return block is None or block[2] in TAKEN[block[1]]


@pytest.mark.parametrize("model", ["openai/text-1", "anthropic/claude-sonnet-4-5"])
@pytest.mark.parametrize("place", cases(), ids=lambda place: place.path)
async def test_a_field_that_nobody_knows_is_never_dropped_in_silence(
    talking: Talking, place: Place, model: str
) -> None:
    mark = str(uuid4())
    body = request(model, place, mark)
    answer = await talking.http.post("/v1/messages", json=body)
    sent = [json.dumps(record.body) for server in (talking.openai, talking.anthropic) for record in server.records]
    named = answer.headers.get("x-headrace-ignored", "")
    if any(mark in one for one in sent) or is_named(named, place):
        return
    if REFUSED.search(place.path):
        assert 400 <= answer.status_code < 500, answer.text
    else:
        assert place.path.startswith(MARKS), (body, named, answer.text)


def request(model: str, place: Place, mark: str) -> dict[str, Any]:
    value = place.make({ODD: mark})
    base: dict[str, Any] = {"model": model, "max_tokens": 2048, "messages": [{"role": "user", "content": "hi"}]}
    if place.parameter != "messages":
        needs = {"tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]}
        return {**base, **(needs if place.parameter == "tool_choice" else {}), place.parameter: value}
    return base | {"messages": [*base["messages"], *turns(value[0])]}


CALL = {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "x"}


def turns(turn: dict[str, Any]) -> list[dict[str, Any]]:
    """A turn as it may stand after one of the user's: calls have results, and results calls."""
    content = turn["content"]
    kind = content[0]["type"] if isinstance(content, list) else "text"
    match kind:
        case "tool_result":
            return [{"role": "assistant", "content": [CALL]}, turn]
        case "tool_use":
            return [{**turn, "role": "assistant"}, {"role": "user", "content": [RESULT]}]
        case "thinking" | "redacted_thinking":
            said = [*content, {"type": "text", "text": "x"}]
            return [{**turn, "role": "assistant", "content": said}, {"role": "user", "content": "x"}]
        case _:
            return [turn]
