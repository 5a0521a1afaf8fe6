"""A `ModelRequest` as the body of OpenAI's chat completions."""

from typing import Any

import msgspec

from graphs.providers.answers.fields import record
from graphs.providers.contract import ImagePart, Message, ModelRequest, Part, TextPart, ToolCallPart, ToolResultPart
from graphs.providers.extras import FUNCTION, IMAGE, ITEM_PHASE
from graphs.providers.openai.responses_request import REASONING_ITEMS
from graphs.providers.openai.vendors import Vendor


def request_body(request: ModelRequest, vendor: Vendor) -> bytes:
    """Return the JSON body of a streaming chat completion."""
    body: dict[str, Any] = {
        **request.extra,
        "model": request.model,
        "messages": [wire for m in request.messages for wire in message_body(m, vendor)],
        "stream": True,
    }
    if vendor.stream_usage:
        body["stream_options"] = {"include_usage": True}
    if request.max_tokens is not None:
        kept = request.max_tokens_name if vendor.keeps_token_name and request.max_tokens_name in TOKEN_NAMES else ""
        body[kept or vendor.max_tokens_field] = request.max_tokens
    for field in _SAME_NAME_FIELDS:
        if (value := getattr(request, field)) is not None and value != ():
            body[field] = value
    return msgspec.json.encode(body)


TOKEN_NAMES = frozenset({"max_tokens", "max_completion_tokens"})

_SAME_NAME_FIELDS = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
)


def message_body(message: Message, vendor: Vendor) -> list[dict[str, Any]]:
    """Return OpenAI's messages for one of ours; one with several tool results becomes several."""
    if message.vendor not in ("", vendor.name):
        message = message.without_extras()
    extra = _without_reasoning_items(message.extra)
    results = [p for p in message.parts if isinstance(p, ToolResultPart)]
    if results:
        return [{**extra, "role": "tool", "tool_call_id": p.tool_call_id, "content": _result(p)} for p in results]
    role = "system" if message.role == "developer" and not vendor.developer_role else message.role
    body: dict[str, Any] = {**extra, "role": role, "content": _content(message)}
    calls = [p for p in message.parts if isinstance(p, ToolCallPart)]
    if calls:
        body["tool_calls"] = [
            {
                **_without_reasoning_items(p.extra),
                "id": p.id,
                "type": "function",
                "function": {**record(p.extra, FUNCTION), "name": p.name, "arguments": p.arguments},
            }
            for p in calls
        ]
    return [body]


def _without_reasoning_items(extra: dict[str, Any]) -> dict[str, Any]:
    """Return an extra as this API knows it: what the Responses API says of an answer is for itself."""
    return {name: value for name, value in extra.items() if name not in (REASONING_ITEMS, ITEM_PHASE)}


def _result(part: ToolResultPart) -> str | list[dict[str, Any] | None]:
    return [_content_part(one) for one in part.parts] if part.parts else part.text


def _content(message: Message) -> str | list[dict[str, Any]] | None:
    shown = [part for part in message.parts if isinstance(part, TextPart | ImagePart)]
    if not any(isinstance(part, ImagePart) or part.extra for part in shown):
        # A plain string wherever possible: many servers' chat templates support nothing else.
        return message.text if shown else None
    return [content_part for part in message.parts if (content_part := _content_part(part))]


def _content_part(part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {**part.extra, "type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
        return {**part.extra, "type": "image_url", IMAGE: {**record(part.extra, IMAGE), **image}}
    return None
